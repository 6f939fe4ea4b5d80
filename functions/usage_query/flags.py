"""What a reader of a period's figures must know: overlaps, gaps, remarks of sources, metrics not told."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from metering.core.alert_texts import moment
from metering.core.answers import Flag
from metering.core.contract import OLDEST_WINDOW
from metering.core.instants import DAY, HOUR, HOUR_SECONDS
from metering.core.rollup import LEFT_OUT, OVERLAP, Hour
from metering.core.usage import PeriodUsage

GAP_SECONDS = 60
"""Seconds of an hour and source that may be missing before the page shows a gap."""


def flags_of(usage: PeriodUsage, instances: int, now: datetime) -> list[Flag]:
    """Return the period's flags, each with the number of hours it concerns.

    Parameters
    ----------
    usage
        The period with its hours, in order.
    instances
        How many instances the customer has now.
    now
        The present: hours still open have no gaps yet.
    """
    hours = usage.hours
    closed = [hour for hour in hours if hour.start + HOUR <= now]
    counted = Counter(flag for hour in hours for flag in hour.flags)
    counted.update(_gap(name) for hour in closed for name in _gaps(hour))
    counted.update(_missing(usage, closed, now))
    counted["instance_missing"] = _hours_with_an_instance_missing(closed, instances)
    flags = [Flag(code=code, message=_text(code), hours=n) for code, n in sorted(counted.items()) if n]
    return [*flags, *_not_told(usage)]


def ended(at: datetime) -> Flag:
    """Say what a reader sees once the subscription has ended."""
    return Flag(
        code="ended", message=f"the subscription ended on {moment(at)}; this is its last period", hours=0
    )


def not_begun(at: datetime) -> Flag:
    """Say when billing begins, before it has."""
    message = f"billing begins on {moment(at)}; what is used before is not sold"
    return Flag(code="not_begun", message=message, hours=0)


def unbilled(start: datetime, end: datetime) -> Flag:
    """Say that a former period is on no invoice."""
    message = f"the period from {moment(start)} to {moment(end)} is on no invoice; you are told before it is"
    return Flag(code="unbilled", message=message, hours=0)


def used_after(at: datetime) -> Flag:
    """Say that usage came in after the subscription had ended."""
    message = f"what was used after {moment(at)}, when the subscription ended, is on no invoice"
    return Flag(code="unbilled", message=message, hours=0)


def _missing(usage: PeriodUsage, closed: Sequence[Hour], now: datetime) -> Counter[str]:
    """Count the hours that are over and not there: without a report, or kept no more."""
    there = {hour.start for hour in closed}
    over = [hour for hour in usage.span.hours() if hour + HOUR <= now and hour not in there]
    return Counter("expired" if hour < now - OLDEST_WINDOW else "no_report" for hour in over)


def _gaps(hour: Hour) -> list[str]:
    return [
        name
        for name, coverage in hour.sources.items()
        if coverage.covered_seconds <= coverage.instances * HOUR_SECONDS - GAP_SECONDS
    ]


def _hours_with_an_instance_missing(closed: Sequence[Hour], instances: int) -> int:
    """Count hours in which fewer instances reported than had before, but for those taken out of service."""
    missing, most = 0, 0
    for hour in closed:
        most = max(most, hour.instances)
        missing += hour.instances < min(most, instances)
    return missing


def _not_told(usage: PeriodUsage) -> list[Flag]:
    hours = usage.hours
    told = {name for hour in hours for name in (*hour.counters, *hour.gauges)}
    return [
        Flag(code=f"not_told:{metric}", message=f"{metric} was not told by any source", hours=len(hours))
        for meter in usage.catalog.shown(usage.terms).values()
        for metric in meter.metrics
        if metric not in told
    ]


def _gap(source: str) -> str:
    return f"gap:{source}"


_TEXTS = {
    OVERLAP: "journals of one instance overlapped; what both saw counts once",
    "no_report": "no instance reported in these hours; nothing is billed for them",
    "expired": f"hours are kept for {OLDEST_WINDOW // DAY} days; the figures lack those that are older",
    "instance_missing": "an instance that reported before did not; nothing is billed for it in these hours",
}


def _text(code: str) -> str:
    if code in _TEXTS:
        return _TEXTS[code]
    source, _, remark = code.partition(":")
    if source == LEFT_OUT:
        return f"{remark}: journals of one instance overlapped; what does not fit together was left out"
    if source == "gap":
        return f"{remark} could not be read for part of these hours; nothing is billed for that time"
    return f"{source}: {remark.replace('_', ' ')}"
