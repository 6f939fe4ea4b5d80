"""Adjustments: what operators add to a period, or take from it (docs/billing.md#adjustments)."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from metering.core.accounts import BillingPeriod
from metering.core.adjustments import Adjustment, adjusted, days_moved
from metering.core.catalog import builtin_catalog
from metering.core.conservation import contribution_differences
from metering.core.instants import DAY, HOUR
from metering.core.periods import Period
from metering.core.rollup import Hour
from metering.core.usage import PeriodUsage

START = datetime(2026, 3, 1, tzinfo=UTC)
SPAN = Period(START, START + 31 * DAY)
METER = "mqtt_traffic"
GIB = 2**30
BILLING = BillingPeriod(start=START, end=START + 31 * DAY, plan="starter@1")


def adjustment(quantity: str, first: int = 0, last: int | None = None, number: int = 1) -> Adjustment:
    """Return an adjustment of MQTT traffic in hours of the period, counted from its start."""
    return Adjustment(
        customer_id="acme",
        period_start=START,
        number=number,
        meter=METER,
        quantity=Decimal(quantity),
        first_hour=START + first * HOUR,
        last_hour=START + (first if last is None else last) * HOUR,
        reason="a broker counted twice",
        who="arn:aws:iam::123456789012:user/ada",
        at=START + 2 * DAY,
    )


def after(by_hour: dict[int, str], *adjustments: Adjustment) -> tuple[dict[int, Decimal], dict[int, Decimal]]:
    """Return contributions by hour of the period after adjustments, and what of each was not applied."""
    before = {METER: {START + hour * HOUR: Decimal(value) for hour, value in by_hour.items()}}
    found = adjusted(before, adjustments, SPAN)
    return (
        {(hour - START) // HOUR: value for hour, value in found.contributions[METER].items()},
        dict(found.unapplied),
    )


def test_a_positive_adjustment_is_added_in_its_hour() -> None:
    """All of it is in its first hour, also where nothing was reported."""
    assert ({0: Decimal(3), 1: Decimal("2.5")}, {}) == after({0: "3", 1: "1"}, adjustment("1.5", 1, 9))
    assert ({0: Decimal(3), 7: Decimal(2)}, {}) == after({0: "3"}, adjustment("2", 7))


def test_a_negative_adjustment_takes_from_its_hours_in_order() -> None:
    """Each hour gives what it has, until the whole is taken; hours outside keep theirs."""
    got, rest = after({0: "3", 1: "2", 2: "4", 3: "5"}, adjustment("-5", 1, 3))
    assert ({0: Decimal(3), 1: Decimal(0), 2: Decimal(1), 3: Decimal(5)}, {}) == (got, rest)


def test_what_finds_no_usage_is_unapplied() -> None:
    """No contribution falls below 0: what is left over is told."""
    assert ({0: Decimal(0), 1: Decimal(9)}, {1: Decimal(-2)}) == after({0: "3", 1: "9"}, adjustment("-5", 0))


def test_adjustments_act_in_the_order_of_their_numbers() -> None:
    """The second takes of what the first has added."""
    more, less = adjustment("5", 2, number=1), adjustment("-4", 0, 9, number=2)
    assert ({2: Decimal(1)}, {}) == after({}, less, more)


def test_an_hour_of_another_period_takes_nothing() -> None:
    """A period that was cut short has no such hour any more: all of it is unapplied."""
    assert ({}, {1: Decimal(2)}) == after({}, adjustment("2", 31 * 24))


def test_an_adjusted_contribution_keeps_to_15_digits() -> None:
    """It is rounded down like every contribution, and what was cut off is unapplied."""
    got, rest = after({0: "123456.123456789"}, adjustment("900000.000000002"))
    assert ({0: Decimal("1023456.12345679")}, {1: Decimal("0.000000001")}) == (got, rest)


def test_a_days_change_moves_later_days_of_a_negative_adjustment() -> None:
    """What its first hours have decides what it takes later; one adjustment hands on to the next."""
    chain = [adjustment("-5", 0, 30, number=1), adjustment("-5", 40, 24 * 3, number=2), adjustment("9", 100)]
    assert [date(2026, 3, day) for day in (2, 3, 4)] == days_moved(date(2026, 3, 1), chain)
    assert [] == days_moved(date(2026, 3, 4), chain)


@pytest.mark.parametrize("quantity", ["0", "0.0000000001", "1234567890123456"])
def test_a_quantity_must_be_told_to_stripe_as_it_is(quantity: str) -> None:
    """Nothing, more than nine decimals, and more than 15 digits are refused."""
    with pytest.raises(ValidationError):
        adjustment(quantity)


def test_the_same_words_are_the_same_adjustment() -> None:
    """Asked for again, by whoever, it is the one that is there; other hours make another."""
    again = adjustment("1").model_copy(update={"number": 2, "who": "another", "at": START})
    assert adjustment("1").does_the_same(again)
    assert not adjustment("1").does_the_same(adjustment("1", 1))


def test_hours_and_forecast_leave_adjustments_out() -> None:
    """They act on contributions and money alone: the forecast is that of the stored hours."""
    hours = [Hour(START + n * HOUR, counters={"mqtt_bytes_sent": GIB}, instances=1) for n in range(48)]
    plain = PeriodUsage(BILLING, hours, builtin_catalog())
    usage = PeriodUsage(BILLING, hours, builtin_catalog(), (adjustment("-20", 0, 40),))
    now = START + 2 * DAY

    assert (Decimal(48), Decimal(28)) == (plain.quantities[METER], usage.quantities[METER])
    assert Decimal("2.00") == plain.total - usage.total
    assert plain.forecast(now).quantities == usage.forecast(now).quantities
    assert [] == contribution_differences(usage)
