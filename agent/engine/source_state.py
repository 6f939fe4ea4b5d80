"""What the engine remembers of one source from one observation to the next. Pure.

Source: docs/agent-design.md#counting-rules and docs/agent-design.md#levels.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from agent.engine.levels import HeldLevel
from agent.engine.observation import Moment, Series, SourceIdentity

_PER_SERIES = ("values", "own", "former")


@dataclass(frozen=True, slots=True)
class SourceState:
    """What the engine remembers of one source between two observations.

    ``told_at`` is when it last told who it is (an observation of levels alone need not), with its service
    time; ``covered_until_ms`` is how far it counts as covered; ``run`` is the agent's start that made the
    last observation: a later one has a gap to catch up. ``own`` is what that run's watching had caused in
    the source's totals by then, ``former`` what earlier runs had, in the same life of the source.
    ``seen`` is the run that observed it last (``run`` may be one that only left it). ``displaced`` are its
    metrics that another source has filled since: its next observation is a baseline for them.
    ``late_ms`` is how late its uptime may have been read (`agent.engine.meter.lateness_ms`).
    """

    at: Moment
    at_ms: int
    told_at: Moment
    told_at_ms: int
    covered_until_ms: int
    valid_for_ms: int
    run: int
    healthy: bool = True
    missed: bool = False
    identity: SourceIdentity | None = None
    values: dict[Series, int] = field(default_factory=dict)
    levels: dict[str, HeldLevel] = field(default_factory=dict)
    own: dict[Series, int] = field(default_factory=dict)
    former: dict[Series, int] = field(default_factory=dict)
    late_ms: int = 0
    seen: int = 0
    displaced: frozenset[str] = frozenset()

    @property
    def metrics(self) -> frozenset[str]:
        """What it has filled so far."""
        return frozenset({series.metric for series in self.values} | self.levels.keys())

    def displaced_by(self, others: Iterable["SourceState"]) -> "SourceState":
        """The state when these sources may have filled some of its metrics since it was last observed."""
        since = {metric for other in others if other.seen > self.seen for metric in other.metrics}
        displaced = self.displaced | (since & self.metrics)
        held = {metric: level for metric, level in self.levels.items() if metric not in displaced}
        return replace(self, displaced=displaced, levels=held)

    def to_json(self) -> str:
        """The state as the journal keeps it."""
        fields = asdict(replace(self, values={}, own={}, former={}, identity=None))
        fields["displaced"] = sorted(self.displaced)
        for name in _PER_SERIES:
            fields[name] = [[s.metric, s.part, value] for s, value in getattr(self, name).items()]
        if self.identity is not None:
            started = self.identity.started
            fields["identity"] = [
                self.identity.exact,
                None if started is None else started.isoformat(),
                self.identity.uptime_seconds,
            ]
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The state as the journal kept it."""
        fields: dict[str, Any] = json.loads(text)
        fields["seen"] = fields.get("seen", fields["run"])
        fields["displaced"] = frozenset(fields.get("displaced", ()))
        fields["at"], fields["told_at"] = Moment(**fields["at"]), Moment(**fields["told_at"])
        for name in _PER_SERIES:
            fields[name] = {Series(metric, part): value for metric, part, value in fields[name]}
        fields["levels"] = {metric: HeldLevel(**level) for metric, level in fields["levels"].items()}
        if fields["identity"] is not None:
            exact, started, uptime = fields["identity"]
            fields["identity"] = SourceIdentity(
                exact, None if started is None else datetime.fromisoformat(started), uptime
            )
        return cls(**fields)
