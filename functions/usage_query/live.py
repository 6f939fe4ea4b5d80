"""A period's hours as they are now: stored hours, and dirty ones recomputed in memory from their reports.

Source: design page "storage", section "Reading". Markers are read first, so that an hour cleared in between
is already among the stored ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from metering.core.contract import Report
from metering.core.periods import HOUR, Period, hour_of
from metering.core.rollup import Hour, rollup
from metering.tables.hours import Hours
from metering.tables.markers import Markers
from metering.tables.reports import Reports

MOST_RECOMPUTED = 48
"""Dirty hours recomputed for one answer; beyond that the answer says how far it is."""
LOOKED_BACK = timedelta(days=31)
"""How far back the last report of an instance that went silent is looked for."""


@dataclass(frozen=True, slots=True)
class LiveHours:
    """A period's hours in order, and the instant up to which everything accepted is in them."""

    hours: list[Hour]
    as_of: datetime


def live_hours(
    customer: str, period: Period, now: datetime, markers: Markers, hours: Hours, reports: Reports
) -> LiveHours:
    """Read a period so that it is never behind what was accepted before the call."""
    dirty = [marker.hour for marker in markers.dirty_of(customer) if period.has_hour(marker.hour)]
    found = {hour.start: hour for hour in hours.between(customer, period.first_hour, period.end_hour)}
    for start in dirty[:MOST_RECOMPUTED]:
        recomputed = rollup(start, reports.of_hour(customer, start))
        if recomputed.instances:
            found[start] = recomputed
    as_of = dirty[MOST_RECOMPUTED] if len(dirty) > MOST_RECOMPUTED else now
    return LiveHours([found[start] for start in sorted(found)], min(as_of, now))


def newest_reports(
    customer: str, instances: Iterable[str], now: datetime, recent: timedelta, reports: Reports
) -> list[Report]:
    """Return the reports of the last hours, and of an instance without one the last it sent in a month.

    ``recent`` is how far back an instance that reports is expected to be found.
    """
    start = hour_of(now) - recent
    found = list(reports.between(customer, start, now + HOUR))
    missing = set(instances) - {report.instance_id for report in found}
    if missing:
        last = reports.last_hours(customer, start - LOOKED_BACK, start)
        for instance in sorted(missing & last.keys()):
            of_hour = reports.of_hour(customer, last[instance])
            found += [report for report in of_hour if report.instance_id == instance]
    return found
