"""A period's hours as they are now: stored hours, and dirty ones recomputed in memory from their reports.

Source: design page "storage", section "Reading". Markers are read first, so that an hour cleared in between
is already among the stored ones.
"""

from dataclasses import dataclass
from datetime import datetime

from metering.periods import Period
from metering.rollup import Hour, rollup
from metering.tables.hours import Hours
from metering.tables.markers import Markers
from metering.tables.reports import Reports

MOST_RECOMPUTED = 48
"""Dirty hours recomputed for one answer; beyond that the answer says how far it is."""


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
