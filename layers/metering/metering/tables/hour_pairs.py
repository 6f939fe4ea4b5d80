"""Hours as they are stored beside hours as their reports make them now, streamed.

Shared by whoever compares the two: the daily sweep and ``ops replay``. Source: docs/storage.md#invariants.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from metering.core.rollup import NEWEST_VERSION, Hour, rollup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from metering.core.contract import Report
    from metering.tables.tables import Tables


@dataclass(frozen=True, slots=True)
class HourPair:
    """One hour made of its reports, so many of them, and the one that is stored, if one is.

    ``recomputed`` is made by the rule of the stored one.
    """

    hour: datetime
    recomputed: Hour
    stored: Hour | None
    reports: int


def made_as(stored: Hour | None, start: datetime, reports: Iterable[Report]) -> Hour:
    """Make an hour of its reports by the rule by which the stored one was made."""
    return rollup(start, reports, stored.version if stored else NEWEST_VERSION)


def hour_pairs(customer_id: str, start: datetime, end: datetime, tables: Tables) -> Iterator[HourPair]:
    """Yield each hour in ``[start, end)`` that has reports or is stored, in order.

    The reports of one hour, and one page of each query, are in memory at a time. The reads of a pair lie
    apart in time: one that differs is to be read again before it counts.
    """
    stored = tables.hours.between(customer_id, start, end)
    ahead = next(stored, None)
    by_hour = groupby(tables.reports.between(customer_id, start, end), key=lambda report: report.window_start)
    for hour, group in by_hour:
        while ahead is not None and ahead.start < hour:
            yield HourPair(ahead.start, Hour(ahead.start), ahead, 0)
            ahead = next(stored, None)
        of_hour = list(group)
        same = ahead if ahead is not None and ahead.start == hour else None
        yield HourPair(hour, made_as(same, hour, of_hour), same, len(of_hour))
        if same is not None:
            ahead = next(stored, None)
    while ahead is not None:
        yield HourPair(ahead.start, Hour(ahead.start), ahead, 0)
        ahead = next(stored, None)
