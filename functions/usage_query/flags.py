"""What a reader of a period's figures must know: overlaps, gaps, remarks of sources, metrics not told."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from metering.answers import Flag
from metering.catalog import Catalog
from metering.contract import HOUR_SECONDS
from metering.periods import HOUR, hour_of
from metering.rollup import OVERLAP, Hour

GAP_SECONDS = 60
"""Seconds of an hour and source that may be missing before the page shows a gap."""


def flags_of(hours: Sequence[Hour], catalog: Catalog, now: datetime) -> list[Flag]:
    """Return the period's flags, each with the number of hours it concerns."""
    closed = [hour for hour in hours if hour.start + HOUR <= now]
    counted = Counter(flag for hour in hours for flag in hour.flags)
    counted.update(_gap(name) for hour in closed for name in _gaps(hour))
    if missing := _hours_without_report(hours, now):
        counted["no_report"] = missing
    flags = [Flag(code=code, message=_text(code), hours=n) for code, n in sorted(counted.items())]
    return [*flags, *_not_told(hours, catalog)]


def _gaps(hour: Hour) -> list[str]:
    return [
        name
        for name, coverage in hour.sources.items()
        if coverage.covered_seconds <= coverage.instances * HOUR_SECONDS - GAP_SECONDS
    ]


def _hours_without_report(hours: Sequence[Hour], now: datetime) -> int:
    if not hours:
        return 0
    elapsed = (hour_of(now) - hours[0].start) // HOUR
    return elapsed - sum(hour.start + HOUR <= now for hour in hours)


def _not_told(hours: Sequence[Hour], catalog: Catalog) -> list[Flag]:
    told = {name for hour in hours for name in (*hour.counters, *hour.gauges)}
    return [
        Flag(code=f"not_told:{metric}", message=f"{metric} was not told by any source", hours=len(hours))
        for meter in catalog.meters.values()
        for metric in meter.metrics
        if metric not in told
    ]


def _gap(source: str) -> str:
    return f"gap:{source}"


def _text(code: str) -> str:
    if code == OVERLAP:
        return "journals of one instance overlapped; what both saw counts once"
    if code == "no_report":
        return "no instance reported in these hours; nothing is billed for them"
    source, _, remark = code.partition(":")
    if source == "gap":
        return f"{remark} could not be read for part of these hours; nothing is billed for that time"
    return f"{source}: {remark.replace('_', ' ')}"
