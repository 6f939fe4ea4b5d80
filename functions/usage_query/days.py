"""A period by UTC day, for the chart."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal

from metering.core.answers import DayUsage
from metering.core.billable import Contributions
from metering.core.catalog import Catalog
from metering.core.forecast import last_value
from metering.core.periods import Period, day_of
from metering.core.rollup import Hour


def daily_breakdown(
    hours: Sequence[Hour], contributed: Contributions, catalog: Catalog, period: Period, now: datetime
) -> list[DayUsage]:
    """Return every day of the period up to today; a day without a report has no level, and sums of 0."""

    def added(meter: str, day: date) -> Decimal:
        return sum((v for hour, v in contributed[meter].items() if day_of(hour) == day), Decimal(0))

    def level(meter: str, day: date) -> Decimal | None:
        ours = [hour for hour in hours if day_of(hour.start) == day]
        told = any(name in hour.gauges for hour in ours for name in catalog.meters[meter].metrics)
        return last_value(catalog.meters[meter], ours) if told else None

    return [
        DayUsage(
            date=day,
            active_devices=level("devices", day),
            mqtt_gb=added("mqtt_traffic", day),
            http_gb=added("http_traffic", day),
            storage_gb=level("storage", day),
            api_calls=added("api_calls", day) * catalog.meters["api_calls"].unit_size,
        )
        for day in _days_so_far(period, now)
    ]


def _days_so_far(period: Period, now: datetime) -> Iterator[date]:
    return (day for day in period.days() if day <= day_of(now))
