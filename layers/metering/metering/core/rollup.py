"""Reports of one hour become the hour: what all instances of a customer used in it.

A pure function of the reports; their order and their number of deliveries change nothing. Source:
docs/contract.md#several-journals-of-one-hour and docs/storage.md#invariants.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from metering.core.contract import Gauge, Report
from metering.core.instants import HOUR_SECONDS, SECOND
from metering.core.journal_groups import JournalGroups
from metering.core.journals import Journals, Span, Weight

NEWEST_VERSION = 2
"""The rule by which hours are made now. A change of what an hour is made of its reports is a new version."""
OVERLAP = "overlap"
LEFT_OUT = "left_out"
"""The flag ``left_out:<metric>``: what some journal counted of the metric does not count in the hour."""


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

    ``flags`` name what a reader must know: ``overlap``, ``left_out:<metric>`` or ``<source>:<remark>``.
    ``instances`` is how many reported, ``final`` how many of them will add nothing more; ``computed_from``
    the sum of the reports' revisions, which every stored change of a report raises. ``version`` is the rule
    by which it was made.
    """

    start: datetime
    computed_from: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    gauges: Mapping[str, Level] = field(default_factory=dict)
    sources: Mapping[str, Coverage] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    instances: int = 0
    final: int = 0
    version: int = NEWEST_VERSION


class _Rule(Protocol):
    """Which of one instance's journals count."""

    @property
    def overlap(self) -> bool:
        """Whether any two saw the same time."""

    def counting(self, weights: Mapping[int, Weight]) -> list[int]:
        """Return the journals that count for a metric, in the order of time."""


_RULES: Mapping[int, Callable[[Sequence[Span]], _Rule]] = {1: JournalGroups, 2: Journals}


def rollup(start: datetime, reports: Iterable[Report], version: int = NEWEST_VERSION) -> Hour:
    """Sum the effective reports of an hour.

    Parameters
    ----------
    start
        The hour's first second.
    reports
        The newest revision of each (instance, state_id) of that hour, in any order.
    version
        The rule; an hour that is only checked is made by its own (`Hour.version`).
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
        usage = _combined(start, ours, version)
        flags |= usage.flags
        for name, amount in usage.counters.items():
            counters[name] += amount
        for name, level in usage.gauges.items():
            gauges[name] = _beside(gauges[name], level) if name in gauges else level
        for name, covered in usage.covered.items():
            seconds[name] += covered
            having[name] += 1
    return Hour(
        start=start,
        computed_from=sum(r.revision for ours in by_instance.values() for r in ours),
        counters=dict(counters),
        gauges=gauges,
        sources={name: Coverage(seconds[name], having[name]) for name in seconds},
        flags=frozenset(flags),
        instances=len(by_instance),
        final=sum(max(ours, key=_newest).final for ours in by_instance.values()),
        version=version,
    )


@dataclass(frozen=True, slots=True)
class _Usage:
    """What one instance used in the hour, its journals combined."""

    counters: Mapping[str, int]
    gauges: Mapping[str, Level]
    covered: Mapping[str, int]
    flags: frozenset[str]


def _combined(start: datetime, reports: Sequence[Report], version: int) -> _Usage:
    """Combine one instance's journals: what they saw apart adds up, what they saw together counts once."""
    spans = [_span(start, report) for report in reports]
    lengths = [span.seconds for span in spans]
    rule = _RULES[version](spans)
    flags = {OVERLAP} if rule.overlap else set()
    flags |= _remarks(reports)

    def counting(name: str, weights: Mapping[int, Weight]) -> list[int]:
        chosen = rule.counting(weights)
        if version > 1 and any(weights[index][0] for index in weights.keys() - {*chosen}):
            flags.add(f"{LEFT_OUT}:{name}")
        return chosen

    def over_spans(amounts: Mapping[int, int]) -> dict[int, Weight]:
        return {index: (amount, lengths[index]) for index, amount in amounts.items()}

    counters = {
        name: sum(amounts[index] for index in counting(name, over_spans(amounts)))
        for name, amounts in _by_name(report.counters for report in reports).items()
    }
    gauges = {}
    for name, told in _by_name(report.gauges for report in reports).items():
        chosen = counting(name, {index: _weight(gauge) for index, gauge in told.items()})
        # The first rule knew only the maxima of the journals that count.
        gauges[name] = _level(
            [told[i] for i in chosen], told.values() if version > 1 else [told[i] for i in chosen]
        )
    covered = {}
    for name, sources in _by_name(report.sources for report in reports).items():
        seconds = {index: source.covered_seconds for index, source in sources.items()}
        covered[name] = min(sum(seconds[i] for i in rule.counting(over_spans(seconds))), HOUR_SECONDS)
    return _Usage(counters, gauges, covered, frozenset(flags))


def _by_name[V](told: Iterable[Mapping[str, V]]) -> dict[str, dict[int, V]]:
    """Turn what each journal tells into what is told of each name, by the journal's index."""
    by_name: dict[str, dict[int, V]] = defaultdict(dict)
    for index, values in enumerate(told):
        for name, value in values.items():
            by_name[name][index] = value
    return by_name


def _span(start: datetime, report: Report) -> Span:
    return Span(
        (report.observed_from - start) // SECOND, (report.observed_until - start) // SECOND, report.state_id
    )


def _weight(gauge: Gauge) -> Weight:
    """Order by the integral, then by seconds; the rest makes ties of the first rule independent of order."""
    return gauge.integral, gauge.seconds, gauge.max, gauge.last


def _level(counting: Sequence[Gauge], told: Iterable[Gauge]) -> Level:
    """Join what the journals that count saw, in the order of time; the maximum is that of all."""
    return Level(
        last=counting[-1].last,
        max=max(gauge.max for gauge in told),
        integral=sum(gauge.integral for gauge in counting),
        seconds=min(sum(gauge.seconds for gauge in counting), HOUR_SECONDS),
    )


def _beside(a: Level, b: Level) -> Level:
    """Add two instances' levels of the same hour."""
    return Level(a.last + b.last, a.max + b.max, a.integral + b.integral, a.seconds + b.seconds)


def _newest(report: Report) -> tuple[datetime, datetime, str]:
    return report.observed_until, report.observed_from, report.state_id


def _remarks(reports: Sequence[Report]) -> set[str]:
    remarks: set[str] = set()
    for report in reports:
        for name, source in report.sources.items():
            remarks.update(f"{name}:{flag}" for flag in source.flags)
            if source.status != "ok":
                remarks.add(f"{name}:{source.status}")
    return remarks
