"""What a collector hands to the engine: raw values, and what tells whose values they are.

Collectors never compute amounts; the engine does (`agent.engine.meter`). What they keep is what reading
takes: a connection, what was told on it, what their own watching caused. Source:
docs/agent-design.md#collectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant on this machine's own clocks, for spans that no clock change can bend.

    ``boot_id`` names the boot (two moments of different boots cannot be subtracted); ``boot_ns`` runs
    through suspend (CLOCK_BOOTTIME), ``awake_ns`` stops in it (CLOCK_MONOTONIC); both in nanoseconds.
    """

    boot_id: str
    boot_ns: int
    awake_ns: int


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Who a source says it is; at least one of the three must be there.

    ``exact`` is an id that changes with every process or container; ``started`` a start time that the source
    itself tells (UTC), never one computed from an uptime; ``uptime_seconds`` a live uptime.
    """

    exact: str | None = None
    started: datetime | None = None
    uptime_seconds: int | None = None

    def __post_init__(self) -> None:
        if self.exact is None and self.started is None and self.uptime_seconds is None:
            raise ValueError("a source must tell an id, a start time or an uptime; it cannot be billed from")


@dataclass(frozen=True, slots=True)
class Series:
    """One cumulative series: the metric it feeds and the sub-series (label set, shard) within it."""

    metric: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one source showed at one moment.

    ``counters`` are cumulative totals; ``gauges`` are levels. ``absent_is_zero`` names metrics whose series
    start at 0 on first use; ``wide32`` those that wrap at 2^32; ``flags`` are remarks that the report carries
    for this source ("lower_bound", ...). ``identity`` may be absent only where there are no counters.

    ``own`` is everything this process's watching has caused in each total of the source's present life, be it
    in the total yet or not; ``held`` is what of it these totals hold. Both are empty for a source that does
    not count those who watch it. The engine takes them off (`agent.engine.own`), a collector never does. A
    process that ends in order tells all of its own with `Collector.close`; what a killed one caused after
    its last observation nobody can know.
    """

    at: Moment
    identity: SourceIdentity | None
    counters: Mapping[Series, int] = field(default_factory=dict)
    gauges: Mapping[str, int] = field(default_factory=dict)
    absent_is_zero: frozenset[str] = frozenset()
    wide32: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    own: Mapping[Series, int] = field(default_factory=dict)
    held: Mapping[Series, int] = field(default_factory=dict)


SHORTEST_VALIDITY_SECONDS = 45


def valid_for(interval_seconds: int) -> int:
    """How long a level may be held that is read every so many seconds: three intervals, at least 45 s.

    Both are in seconds. Below three, one look that fails or comes late would leave time unbilled.
    """
    return max(SHORTEST_VALIDITY_SECONDS, 3 * interval_seconds)


class SourceError(Exception):
    """A source could not be read; ``status`` goes into the report, the text beside it as its detail."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Collector(Protocol):
    """One source: `name` as in the report's ``sources``, and one method to read it.

    ``metrics`` are the names it may fill (two collectors with one name in common are a start-up error);
    ``valid_for_seconds`` is how long a gauge may be held without a new value (`valid_for` its interval); it
    is asked for after each look.
    """

    name: str
    metrics: frozenset[str]
    valid_for_seconds: int

    def collect(self) -> Observation:
        """Read the source once; raise `SourceError` when it cannot be read."""

    def close(self) -> Mapping[Series, int]:
        """Give back connections; called once, after the last `collect`.

        Returns all that this process's watching has caused in the totals (`Observation.own`), the leaving
        included; empty for a source that does not count those who watch it.
        """
