"""A period's hours as they are now: stored hours, and dirty ones recomputed in memory from their reports.

Source: docs/storage.md#reading. Markers are read first, so that an hour cleared in between is already among
the stored ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from metering.core.accounts import BillingPeriod
from metering.core.catalog import Catalog
from metering.core.contract import Report
from metering.core.instants import HOUR, hour_of
from metering.core.rollup import rollup
from metering.core.usage import PeriodUsage
from metering.tables.reports import Reports
from metering.tables.tables import Tables

MOST_RECOMPUTED = 48
"""Dirty hours recomputed for one answer; beyond that the answer says how far it is."""
LOOKED_BACK = timedelta(days=31)
"""How far back the last report of an instance that went silent is looked for."""


@dataclass(frozen=True, slots=True)
class LiveUsage:
    """A period's usage, and the instant up to which everything accepted is in it."""

    usage: PeriodUsage
    as_of: datetime


def live_usage(
    customer_id: str, billing: BillingPeriod, now: datetime, tables: Tables, catalog: Catalog
) -> LiveUsage:
    """Read a period so that it is never behind what was accepted before the call."""
    span = billing.span
    dirty = [marker.hour for marker in tables.markers.dirty_of(customer_id) if span.has_hour(marker.hour)]
    found = {hour.start: hour for hour in tables.hours.of_period(customer_id, span)}
    for start in dirty[:MOST_RECOMPUTED]:
        version = billing.rollup_version(found.get(start))
        recomputed = rollup(start, tables.reports.of_hour(customer_id, start), version)
        if recomputed.instances:
            found[start] = recomputed
    as_of = dirty[MOST_RECOMPUTED] if len(dirty) > MOST_RECOMPUTED else now
    hours = [found[start] for start in sorted(found)]
    adjustments = tables.adjustments.of_period(customer_id, billing.start)
    return LiveUsage(PeriodUsage(billing, hours, catalog, adjustments), min(as_of, now))


def newest_reports(
    customer_id: str, instances: Iterable[str], now: datetime, recent: timedelta, reports: Reports
) -> list[Report]:
    """Return the reports of the last hours, and of an instance without one the last it sent in a month.

    ``recent`` is how far back an instance that reports is expected to be found.
    """
    start = hour_of(now) - recent
    found = list(reports.between(customer_id, start, now + HOUR))
    missing = set(instances) - {report.instance_id for report in found}
    if missing:
        last = reports.last_hours(customer_id, start - LOOKED_BACK, start)
        for instance in sorted(missing & last.keys()):
            of_hour = reports.of_hour(customer_id, last[instance])
            found += [report for report in of_hour if report.instance_id == instance]
    return found
