"""A period by UTC day."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from metering.core.accounts import BillingPeriod
from metering.core.answers import DayUsage
from metering.core.catalog import builtin_catalog
from metering.core.instants import DAY, HOUR
from metering.core.periods import Period
from metering.core.rollup import Hour, Level
from metering.core.usage import PeriodUsage
from usage_query.days import daily_breakdown

CATALOG = builtin_catalog()
NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
START = NOVEMBER.start


def breakdown(hours: list[Hour], now: datetime, period: Period = NOVEMBER) -> list[DayUsage]:
    """Return the days of a period at a moment."""
    billing = BillingPeriod(start=period.start, end=period.end, first=period.first, plan="starter@1")
    return daily_breakdown(PeriodUsage(billing, hours, CATALOG), now)


def used(start: datetime, calls: int, devices: int | None = None) -> Hour:
    """Return an hour of calls and perhaps devices."""
    gauges = {} if devices is None else {"active_devices": Level(devices, devices, devices * 3600, 3600)}
    return Hour(start=start, counters={"http_requests": calls}, gauges=gauges, instances=1)


def test_a_day_is_its_hours() -> None:
    """A day adds what its 24 hours added, and shows its last level."""
    hours = [used(START, 1, 3), used(START + 23 * HOUR, 2, 5), used(START + DAY, 4, 9)]
    first, second = breakdown(hours, START + DAY)
    assert (Decimal(3), Decimal(5)) == (first.api_calls, first.active_devices)
    assert (Decimal(4), Decimal(9)) == (second.api_calls, second.active_devices)


def test_days_up_to_today() -> None:
    """Every day from the period's first to today is there, none of the future, with or without reports."""
    days = breakdown([used(START + DAY, 1)], START + 2 * DAY + timedelta(hours=5))
    assert [date(2026, 11, day) for day in (1, 2, 3)] == [day.date for day in days]
    assert [Decimal(0), Decimal(1), Decimal(0)] == [day.api_calls for day in days]


def test_missing_is_not_zero() -> None:
    """A day on which nobody told a level has none; its sums are 0."""
    (day,) = breakdown([used(START, 7)], START)
    assert (None, None, Decimal(0)) == (day.active_devices, day.storage_gb, day.mqtt_gb)


def test_days_add_up_to_the_period() -> None:
    """The days' sums are the period's."""
    hours = [used(hour, number) for number, hour in enumerate(NOVEMBER.hours())]
    days = breakdown(hours, NOVEMBER.end + DAY)
    assert 30 == len(days)
    calls = [day.api_calls for day in days if day.api_calls is not None]
    assert 30 == len(calls)
    assert Decimal(sum(range(720))) == sum(calls)


def test_an_anchor_within_a_day() -> None:
    """The day on which a period starts shows only the hours that belong to the period."""
    period = Period(START + 12 * HOUR, NOVEMBER.end + 12 * HOUR)
    hours = [used(START + 11 * HOUR, 1), used(START + 12 * HOUR, 2)]
    assert Decimal(2) == breakdown(hours, START + 13 * HOUR, period)[0].api_calls


def test_gigabytes() -> None:
    """Traffic and storage are in GB of 2^30 bytes, calls in calls."""
    hour = Hour(
        start=START,
        counters={"mqtt_bytes_sent": 2**29, "http_bytes_received": 2**31, "http_requests": 1},
        gauges={"postgres_size_bytes": Level(2**30, 2**30, 0, 3600)},
    )
    (day,) = breakdown([hour], START)
    assert (Decimal("0.5"), Decimal(2), Decimal(1), Decimal(1)) == (
        day.mqtt_gb,
        day.http_gb,
        day.storage_gb,
        day.api_calls,
    )


def test_no_day_before_the_first_hour() -> None:
    """A period that begins later today has no day yet."""
    later = Period(START + 15 * HOUR, START + 31 * DAY)
    assert [] == breakdown([], START + 14 * HOUR, later)
    assert [START.date()] == [day.date for day in breakdown([], START + 15 * HOUR, later)]
