"""What is sent for a day: numbers stand for one value for ever.

Source: docs/stripe-protocol.md#the-protocol, step 2.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from metering.core.accounts import BillingPeriod, PeriodState
from metering.core.catalog import builtin_catalog
from metering.core.rollup import Hour
from metering.core.usage import PeriodUsage
from metering.tables.ledger import PENDING, SENT, Day, Entry, EntryState, refused
from stripe_report.plan import Wanted, is_done, is_settled, next_entry, to_send, wanted_of, with_entries

HOUR = datetime(2026, 3, 10, 13, tzinfo=UTC)
END = HOUR + timedelta(hours=1)
QUARTER = timedelta(minutes=15)
A, B = Decimal("1.5"), Decimal(2)
KEY = ("mqtt_traffic", HOUR)


def _wanted(value: Decimal) -> dict[tuple[str, datetime], Wanted]:
    return {KEY: Wanted(value, HOUR)}


def _day(entry: Entry | None) -> Day:
    return Day("acme", date(2026, 3, 10), entries={KEY: entry} if entry else {})


def test_a_first_value_takes_number_one() -> None:
    """An hour without an entry takes number 1, pending."""
    assert Entry(1, A, PENDING) == next_entry(None, A)


def test_zero_is_never_sent_where_nothing_was() -> None:
    """0 where nothing was ever sent takes no number."""
    assert next_entry(None, Decimal(0)) is None


def test_zero_is_sent_where_something_was() -> None:
    """0 over a sent value takes the next number, so that it overwrites it."""
    assert Entry(2, Decimal(0), PENDING) == next_entry(Entry(1, A, SENT), Decimal(0))


def test_a_sent_value_is_not_sent_again() -> None:
    """The value of the newest number, when that is sent, takes no number."""
    assert next_entry(Entry(3, A, SENT), A) is None


def test_an_equal_value_written_differently_is_the_same() -> None:
    """1.50 and 1.5 are one value, which takes no second number."""
    assert next_entry(Entry(3, Decimal("1.50"), SENT), A) is None


def test_a_pending_value_goes_out_again_under_its_own_number() -> None:
    """The value of a pending number goes again under that number, 3."""
    assert Entry(3, A, PENDING) == next_entry(Entry(3, A, PENDING), A)


@pytest.mark.parametrize("state", [PENDING, SENT, refused("timestamp_too_far_in_past")])
def test_another_value_takes_the_next_number_whatever_became_of_the_last(state: EntryState) -> None:
    """Another value takes number 4 after 3, be that pending, sent or refused."""
    assert Entry(4, B, PENDING) == next_entry(Entry(3, A, state), B)


def test_a_refused_value_is_left_alone() -> None:
    """The value of a refused number takes no number."""
    assert next_entry(Entry(3, A, refused("400")), A) is None


@pytest.mark.parametrize("answers", [(SENT, SENT, SENT), (PENDING, PENDING, PENDING), (SENT, PENDING, SENT)])
def test_a_value_that_goes_from_a_to_b_to_a_gets_three_numbers(answers: Sequence[EntryState]) -> None:
    """A, B, A take the numbers 1, 2, 3, whatever the answers were."""
    numbers = []
    entry: Entry | None = None
    for value, answer in zip((A, B, A), answers, strict=True):
        entry = next_entry(entry, value)
        assert entry is not None
        numbers.append((entry.number, entry.value))
        entry = Entry(entry.number, entry.value, answer)
    assert [(1, A), (2, B), (3, A)] == numbers


def test_only_what_differs_from_the_ledger_is_to_be_sent() -> None:
    """Of two meters the one whose value is not the ledger's is sent, as number 2, and the other not."""
    other = ("api_calls", HOUR)
    day = with_entries(_day(Entry(1, A, SENT)), {other: Entry(1, A, SENT)})
    wanted = {KEY: Wanted(A, HOUR), other: Wanted(B, HOUR)}
    assert {other: Entry(2, B, PENDING)} == to_send(day, wanted)


@pytest.mark.parametrize(
    ("entry", "value", "done"),
    [
        (Entry(1, A, SENT), A, True),
        (Entry(1, A, refused("400")), A, True),
        (None, Decimal(0), True),
        (Entry(1, A, PENDING), A, False),
        (Entry(1, B, SENT), A, False),
        (Entry(1, B, refused("400")), A, False),
        (None, A, False),
    ],
)
def test_a_day_is_done_when_each_value_is_sent_refused_or_zero(
    entry: Entry | None, value: Decimal, *, done: bool
) -> None:
    """A day is done when each value is sent, refused, or 0 without a number; a pending one is not."""
    assert done is is_done(_day(entry), _wanted(value))


@pytest.mark.parametrize(
    ("now", "final", "instances", "settled"),
    [
        (END + QUARTER, 0, 2, True),
        (END + QUARTER - timedelta(seconds=1), 1, 2, False),
        (END, 2, 2, True),
        (END - timedelta(seconds=1), 2, 2, False),
        (END, 0, 0, False),
    ],
)
def test_an_hour_is_settled_a_quarter_after_it_or_at_once_when_every_instance_is_final(
    now: datetime, final: int, instances: int, *, settled: bool
) -> None:
    """An hour is settled 15 minutes after its end, or at its end once every known instance is final."""
    assert settled is is_settled(HOUR, final, instances, now)


def _billing(start: datetime, state: PeriodState = PeriodState.OPEN) -> BillingPeriod:
    end = start + timedelta(days=31)
    return BillingPeriod(start=start, end=end, first=True, plan="starter@1", state=state)


def test_hours_of_a_finalised_period_are_not_wanted() -> None:
    """Of a finalised period nothing is wanted, whatever its hours have."""
    hours = [Hour(HOUR, counters={"http_requests": 1000})]
    billing = _billing(HOUR, PeriodState.FINALISED)
    assert {} == wanted_of(PeriodUsage(billing, hours, builtin_catalog()), [HOUR])


def test_a_timestamp_is_the_hours_start_but_not_before_the_periods() -> None:
    """A timestamp is its hour's start, and the period's own start in the hour that holds it."""
    start = HOUR + timedelta(minutes=20)
    hours = [Hour(HOUR, counters={"http_requests": 1000}), Hour(END, counters={"http_requests": 2000})]
    wanted = wanted_of(PeriodUsage(_billing(start), hours, builtin_catalog()), [HOUR, END])
    assert Wanted(Decimal(1), start) == wanted["api_calls", HOUR]
    assert Wanted(Decimal(2), END) == wanted["api_calls", END]
