"""A period by UTC day, for the chart."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal

from metering.core.answers import DayUsage
from metering.core.catalog import Meter
from metering.core.forecast import last_value
from metering.core.instants import day_of
from metering.core.periods import Period
from metering.core.rollup import Hour
from metering.core.usage import PeriodUsage
from usage_query.original import figures


def daily_breakdown(usage: PeriodUsage, now: datetime) -> list[DayUsage]:
    """Return every day of the period up to today; a day without a report has no level, and sums of 0."""
    hours: dict[date, list[Hour]] = defaultdict(list)
    for hour in usage.hours:
        hours[day_of(hour.start)].append(hour)
    added = {meter: _by_day(by_hour) for meter, by_hour in usage.contributions.items()}

    def value(name: str, meter: Meter, day: date) -> Decimal | None:
        return _level(meter, hours[day]) if meter.basis.is_level else added[name].get(day, Decimal(0))

    days = []
    for day in _days_so_far(usage.span, now):
        meters = {name: value(name, meter, day) for name, meter in usage.catalog.shown(usage.terms).items()}
        days.append(DayUsage(**figures(meters, usage.catalog), date=day, meters=meters))
    return days


def _by_day(by_hour: Mapping[datetime, Decimal]) -> dict[date, Decimal]:
    days: dict[date, Decimal] = {}
    for hour, value in by_hour.items():
        day = day_of(hour)
        days[day] = days.get(day, Decimal(0)) + value
    return days


def _level(meter: Meter, hours: list[Hour]) -> Decimal | None:
    """Return the last level of a day, None where none of the meter's metrics was told."""
    told = any(name in hour.gauges for hour in hours for name in meter.metrics)
    return last_value(meter, hours) if told else None


def _days_so_far(period: Period, now: datetime) -> Iterator[date]:
    return (day for day in period.days() if day <= day_of(now)) if period.first_hour <= now else iter(())
