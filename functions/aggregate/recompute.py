"""Recomputing one hour of one customer from its reports.

Source: design page "storage", section "Recomputing an hour". Every step may fail or run twice: the sum of the
revisions decides which computation is newer, and a marker that was touched meanwhile stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from metering.catalog import Basis, Catalog
from metering.periods import DAY, day_of, period_of
from metering.rollup import Hour, rollup
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.markers import Markers
from metering.tables.reports import Reports


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables that a recomputation reads and writes."""

    customers: Customers
    reports: Reports
    markers: Markers
    hours: Hours


def recompute(customer: str, hour: datetime, now: datetime, tables: Tables, catalog: Catalog) -> Hour | None:
    """Recompute an hour if it is still dirty; return it, or None when there was nothing to do."""
    marker = tables.markers.dirty_hour(customer, hour)
    if marker is None:
        return None
    computed = rollup(hour, tables.reports.of_hour(customer, hour))
    if computed.instances:
        tables.hours.put(customer, computed)
        for day in _days_to_send(customer, hour, now, tables.customers, catalog):
            tables.markers.touch_unsent(customer, day)
    tables.markers.clear_dirty(marker)
    return computed


def _days_to_send(
    customer: str, hour: datetime, now: datetime, customers: Customers, catalog: Catalog
) -> Iterator[date]:
    """Yield the hour's day, and with a peak meter every later day of the period whose rises may change."""
    day = day_of(hour)
    yield day
    if not any(meter.basis is Basis.PEAK for meter in catalog.meters.values()):
        return
    period = period_of((stored.span for stored in customers.periods(customer)), hour)
    last = day_of(now) if period is None else min(day_of(now), day_of(period.end_hour))
    while (day := day + DAY) <= last:
        yield day
