"""Reports of one hour become the hour: what all instances of a customer used in it.

A pure function of the reports; their order and their number of deliveries change nothing. Source:
docs/contract.md#several-journals-of-one-hour and docs/storage.md#invariants.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from metering.core.contract import Gauge, Report
from metering.core.instants import HOUR_SECONDS

DISJOINT_BELOW = timedelta(seconds=60)
"""Spans of two journals that overlap by less than this count as disjoint, unless one holds the other."""

OVERLAP = "overlap"


@dataclass(frozen=True, slots=True)
class Level:
    """A gauge over one hour: of one instance, or summed over a customer's instances.

    ``integral`` is value x seconds. Over several instances ``max`` is the sum of their maxima and ``seconds``
    the sum of the seconds each covered.
    """

    last: int
    max: int
    integral: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the hour a source could be read: seconds summed over the instances that have it."""

    covered_seconds: int
    instances: int


@dataclass(frozen=True, slots=True)
class Hour:
    """One customer's hour.

    ``flags`` name what a reader must know: ``overlap``, or ``<source>:<remark>``. ``instances`` is how many
    reported, ``final`` how many of them will add nothing more; ``computed_from`` the sum of the reports'
    revisions, which every stored change of a report raises.
    """

    start: datetime
    computed_from: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    gauges: Mapping[str, Level] = field(default_factory=dict)
    sources: Mapping[str, Coverage] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    instances: int = 0
    final: int = 0


@dataclass(frozen=True, slots=True)
class _Usage:
    counters: dict[str, int]
    gauges: dict[str, Level]
    until: datetime


def rollup(start: datetime, reports: Iterable[Report]) -> Hour:
    """Sum the effective reports of an hour.

    Parameters
    ----------
    start
        The hour's first second.
    reports
        The newest revision of each (instance, state_id) of that hour, in any order.
    """
    by_instance: dict[str, list[Report]] = defaultdict(list)
    for report in sorted(reports, key=lambda r: (r.instance_id, r.state_id)):
        if report.window_start != start:
            raise ValueError(f"a report of {report.window_start} in the hour {start}")
        by_instance[report.instance_id].append(report)

    counters: dict[str, int] = defaultdict(int)
    gauges: dict[str, Level] = {}
    seconds: dict[str, int] = defaultdict(int)
    having: dict[str, int] = defaultdict(int)
    flags: set[str] = set()
    for ours in by_instance.values():
        usage, overlap = instance_usage(ours)
        if overlap:
            flags.add(OVERLAP)
        for name, amount in usage.counters.items():
            counters[name] += amount
        for name, level in usage.gauges.items():
            gauges[name] = _beside(gauges[name], level) if name in gauges else level
        for name, covered in _coverage(ours).items():
            seconds[name] += covered
            having[name] += 1
        flags.update(_remarks(ours))
    return Hour(
        start=start,
        computed_from=sum(r.revision for ours in by_instance.values() for r in ours),
        counters=dict(counters),
        gauges=gauges,
        sources={name: Coverage(seconds[name], having[name]) for name in seconds},
        flags=frozenset(flags),
        instances=len(by_instance),
        final=sum(max(ours, key=_newest).final for ours in by_instance.values()),
    )


def instance_usage(reports: Sequence[Report]) -> tuple[_Usage, bool]:
    """Combine one instance's journals: disjoint spans add up, overlapping ones count once.

    Returns the usage and whether any spans overlapped.
    """
    groups = _overlapping(reports)
    usages = sorted((_greatest(group) for group in groups), key=lambda usage: usage.until)
    counters: dict[str, int] = defaultdict(int)
    gauges: dict[str, Level] = {}
    for usage in usages:
        for name, amount in usage.counters.items():
            counters[name] += amount
        for name, level in usage.gauges.items():
            gauges[name] = _after(gauges[name], level) if name in gauges else level
    return _Usage(dict(counters), gauges, usages[-1].until), len(groups) < len(reports)


def _overlapping(reports: Sequence[Report]) -> list[list[Report]]:
    """Group reports whose spans overlap by a minute or more, directly or through others."""
    groups: list[list[Report]] = []
    for report in reports:
        touching = [group for group in groups if any(_overlap(report, other) for other in group)]
        apart = [group for group in groups if group not in touching]
        groups = [*apart, [r for group in touching for r in group] + [report]]
    return groups


def _overlap(a: Report, b: Report) -> bool:
    shared = min(a.observed_until, b.observed_until) - max(a.observed_from, b.observed_from)
    return shared >= DISJOINT_BELOW or _within(a, b) or _within(b, a)


def _within(inner: Report, outer: Report) -> bool:
    """Tell whether a span lies inside another: however short it is, the other saw it too (decision 7)."""
    if inner.observed_from == inner.observed_until:
        return False
    return outer.observed_from <= inner.observed_from and inner.observed_until <= outer.observed_until


def _greatest(group: Sequence[Report]) -> _Usage:
    counters: dict[str, int] = {}
    gauges: dict[str, Level] = {}
    for report in group:
        for name, amount in report.counters.items():
            counters[name] = max(amount, counters.get(name, 0))
        for name, gauge in report.gauges.items():
            level = _level(gauge)
            gauges[name] = max(level, gauges.get(name, level), key=_weight)
    return _Usage(counters, gauges, max(r.observed_until for r in group))


def _level(gauge: Gauge) -> Level:
    return Level(gauge.last, gauge.max, gauge.integral, gauge.seconds)


def _weight(level: Level) -> tuple[int, int, int, int]:
    """Order by the integral; the rest only makes ties independent of the order of reports."""
    return level.integral, level.seconds, level.max, level.last


def _after(earlier: Level, later: Level) -> Level:
    """Join two spans of one instance."""
    return Level(
        later.last,
        max(earlier.max, later.max),
        earlier.integral + later.integral,
        min(earlier.seconds + later.seconds, HOUR_SECONDS),
    )


def _beside(a: Level, b: Level) -> Level:
    """Add two instances' levels of the same hour."""
    return Level(a.last + b.last, a.max + b.max, a.integral + b.integral, a.seconds + b.seconds)


def _newest(report: Report) -> tuple[datetime, datetime, str]:
    return report.observed_until, report.observed_from, report.state_id


def _coverage(reports: Sequence[Report]) -> dict[str, int]:
    covered: dict[str, int] = defaultdict(int)
    for group in _overlapping(reports):
        for name in {name for report in group for name in report.sources}:
            covered[name] += max(r.sources[name].covered_seconds for r in group if name in r.sources)
    return {name: min(seconds, HOUR_SECONDS) for name, seconds in covered.items()}


def _remarks(reports: Sequence[Report]) -> set[str]:
    remarks: set[str] = set()
    for report in reports:
        for name, source in report.sources.items():
            remarks.update(f"{name}:{flag}" for flag in source.flags)
            if source.status != "ok":
                remarks.add(f"{name}:{source.status}")
    return remarks
