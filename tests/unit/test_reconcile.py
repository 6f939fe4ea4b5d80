"""Reconciliation: which hours differ, which are sent again, which are an alarm.

Source: docs/stripe-protocol.md#reconciliation.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from metering.core.reconcile import HourValues, Verdict, is_sent_again, verdict

HOUR = datetime(2026, 3, 10, 13, tzinfo=UTC)
NOW = HOUR + timedelta(hours=5)
MINUTE = timedelta(minutes=1)


def _values(
    usage: str = "2", ledger: str = "2", stripe: str | None = "2", *, age: int = 60, since: int | None = None
) -> HourValues:
    return HourValues(
        meter="mqtt_traffic",
        hour=HOUR,
        usage=Decimal(usage),
        ledger=Decimal(ledger),
        stripe=None if stripe is None else Decimal(stripe),
        sent_at=NOW - age * MINUTE,
        differs_since=None if since is None else NOW - since * MINUTE,
    )


@pytest.mark.parametrize(
    "values",
    [
        _values(),
        _values(stripe="2.000001"),
        _values(usage="2.000001"),
        _values("0", "0", None),
        _values("0", "0", "0"),
    ],
)
def test_values_within_a_millionth_of_a_unit_agree(values: HourValues) -> None:
    """Usage, ledger and Stripe within 0.000001 agree, 0 and no event too; nothing is sent again."""
    assert Verdict.AGREES is verdict(values, NOW)
    assert not is_sent_again(values, NOW)


@pytest.mark.parametrize(
    "values",
    [
        _values(stripe="1.999998"),
        _values(stripe="2.000002"),
        _values(ledger="1"),
        _values(stripe=None),
        _values("0", "0", "3"),
        _values("0.0000001", "0.0000001", None),
    ],
)
def test_an_hour_that_differs_takes_the_next_number(values: HourValues) -> None:
    """Also one that Stripe has and we do not, and the smallest usage where Stripe has no event at all."""
    assert Verdict.SEND_AGAIN is verdict(values, NOW)
    assert is_sent_again(values, NOW)


def test_a_difference_younger_than_ten_minutes_waits_since_summaries_lag() -> None:
    """A difference whose number is 9 minutes old waits; at 10 minutes it is sent again."""
    assert Verdict.WAITS is verdict(_values(stripe=None, age=9), NOW)
    assert Verdict.SEND_AGAIN is verdict(_values(stripe=None, age=10), NOW)


def test_what_still_differs_an_hour_after_it_was_sent_again_is_overdue() -> None:
    """What differs for 59 minutes is sent again, for 60 it is overdue."""
    assert Verdict.SEND_AGAIN is verdict(_values(stripe=None, age=20, since=59), NOW)
    assert Verdict.OVERDUE is verdict(_values(stripe=None, age=20, since=60), NOW)


def test_an_overdue_hour_is_sent_again_once_an_hour() -> None:
    """An overdue hour is sent again when its number is 60 minutes old, not at 59."""
    assert not is_sent_again(_values(stripe=None, age=59, since=90), NOW)
    assert is_sent_again(_values(stripe=None, age=60, since=90), NOW)


def test_a_row_names_the_three_values_the_difference_and_its_age() -> None:
    """A row has the three values, their difference and the age in seconds; without an event null."""
    assert {
        "meter": "mqtt_traffic",
        "hour": "2026-03-10T13:00:00Z",
        "usage": "2",
        "ledger": "2",
        "stripe": "0.5",
        "difference": "1.5",
        "age": 3600,
    } == _values(stripe="0.5").row(NOW)
    assert _values(stripe=None).row(NOW)["stripe"] is None
