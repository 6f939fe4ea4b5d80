"""One UTC hour as this journal has measured it, and its way into a report.

Pure. The amounts of an hour only ever grow, but for a fork (`without_catch_up`, `minus`). Source:
docs/agent-design.md#the-journal and docs/contract.md#the-report.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from agent.engine.clock import HOUR_MS, from_ms
from agent.engine.levels import GaugeHour
from metering.core.contract import Gauge, Report, Source
from metering.core.instants import HOUR_SECONDS

AGENT = "agent"
"""The name under which the agent itself stands among a report's sources."""
AGENT_DOWN = "agent_down"
CATCH_UP_WITHDRAWN = "catch_up_withdrawn"
_DETAIL_LENGTH = 200


@dataclass(slots=True)
class SourceHour:
    """How one source could be read in an hour.

    ``catch_up`` holds, per metric, the part of the amounts that was counted while the agent was away and
    that no answer has confirmed yet; ``catch_up_from_ms`` is where that gap began.
    """

    status: str
    detail: str | None = None
    covered_ms: int = 0
    flags: set[str] = field(default_factory=set)
    catch_up_from_ms: int | None = None
    catch_up: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "SourceHour":
        """An entry that can be changed without changing this one."""
        return replace(self, flags=set(self.flags), catch_up=dict(self.catch_up))


@dataclass(slots=True)
class MeasuredHour:
    """Amounts, levels and sources of one hour; times in milliseconds since 1970.

    ``observed_from_ms`` and ``observed_until_ms`` are None in an hour in which the agent was down.
    """

    start_ms: int
    observed_from_ms: int | None = None
    observed_until_ms: int | None = None
    counters: dict[str, int] = field(default_factory=dict)
    gauges: dict[str, GaugeHour] = field(default_factory=dict)
    sources: dict[str, SourceHour] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        """The first instant that is not in the hour."""
        return self.start_ms + HOUR_MS

    def source(self, name: str) -> SourceHour:
        """The source's entry, made when it is missing."""
        return self.sources.setdefault(name, SourceHour(status="ok"))

    def flag(self, remark: str) -> None:
        """Let the hour's report say something about the agent itself."""
        self.source(AGENT).flags.add(remark)

    def seen_from(self, at_ms: int) -> None:
        """Note that the agent measures in this hour, from this instant on if it did not before."""
        if self.observed_from_ms is None:
            self.observed_from_ms = max(at_ms, self.start_ms)

    def cover(self, name: str, from_ms: int, to_ms: int) -> None:
        """Note that a source was covered over a span; only the part within the hour counts."""
        span_ms = min(to_ms, self.end_ms) - max(from_ms, self.start_ms)
        if span_ms > 0:
            entry = self.source(name)
            entry.covered_ms = min(entry.covered_ms + span_ms, HOUR_MS)

    def uncover(self, name: str, from_ms: int, to_ms: int) -> None:
        """Take back a span that was taken for covered; only the part within the hour counts."""
        span_ms = min(to_ms, self.end_ms) - max(from_ms, self.start_ms)
        entry = self.source(name)
        entry.covered_ms = max(0, entry.covered_ms - max(0, span_ms))

    def pending_catch_up(self) -> dict[str, dict[str, int]]:
        """Per source, the unconfirmed amounts of the agent's absence."""
        return {name: dict(entry.catch_up) for name, entry in self.sources.items() if entry.catch_up}

    def pending_catch_up_from_ms(self) -> int | None:
        """Where the earliest unconfirmed absence began, or None without one."""
        gaps = [entry.catch_up_from_ms for entry in self.sources.values() if entry.catch_up]
        return min((gap for gap in gaps if gap is not None), default=None)

    def confirm_catch_up(self, confirmed: dict[str, dict[str, int]]) -> None:
        """Note that an answered report carried these amounts: they are ours for good."""
        for name, amounts in confirmed.items():
            pending = self.source(name).catch_up
            for metric, amount in amounts.items():
                rest = pending.pop(metric, 0) - amount
                if rest > 0:
                    pending[metric] = rest

    def without_catch_up(self) -> "MeasuredHour":
        """The hour without what a twin of this journal may have reported as well."""
        hour = self.copy()
        for entry in hour.sources.values():
            if not entry.catch_up:
                continue
            for metric, amount in entry.catch_up.items():
                hour.counters[metric] -= amount
            entry.catch_up = {}
            entry.catch_up_from_ms = None
            entry.flags.add(CATCH_UP_WITHDRAWN)
        return hour

    def minus(self, earlier: "MeasuredHour", from_ms: int | None) -> "MeasuredHour":
        """The part of the hour that came after ``earlier``, an older state of it; seen from then on."""
        hour = self.copy()
        hour.observed_from_ms = from_ms
        for metric, amount in earlier.counters.items():
            hour.counters[metric] -= amount
        for metric, gauge in earlier.gauges.items():
            whole = hour.gauges[metric]
            hour.gauges[metric] = replace(
                whole,
                integral=max(0, whole.integral - gauge.integral),
                covered_ms=max(0, whole.covered_ms - gauge.covered_ms),
            )
        for name, entry in earlier.sources.items():
            rest = hour.source(name)
            rest.covered_ms = max(0, rest.covered_ms - entry.covered_ms)
            rest.catch_up = {
                metric: amount - entry.catch_up.get(metric, 0)
                for metric, amount in rest.catch_up.items()
                if amount > entry.catch_up.get(metric, 0)
            }
        return hour

    def plus(self, other: "MeasuredHour") -> "MeasuredHour":
        """Two parts of the same hour added up; a level never covers more than the hour."""
        hour = self.copy()
        spans = [
            (hour.observed_from_ms, hour.observed_until_ms),
            (other.observed_from_ms, other.observed_until_ms),
        ]
        hour.observed_from_ms = min((a for a, _ in spans if a is not None), default=None)
        hour.observed_until_ms = max((b for _, b in spans if b is not None), default=None)
        for metric, amount in other.counters.items():
            hour.counters[metric] = hour.counters.get(metric, 0) + amount
        for metric, gauge in other.gauges.items():
            hour.gauges[metric] = _together(hour.gauges[metric], gauge) if metric in hour.gauges else gauge
        for name, entry in other.sources.items():
            hour.sources[name] = _one_source(hour.sources[name], entry) if name in hour.sources else entry
        return hour

    def copy(self) -> "MeasuredHour":
        """An hour that can be changed without changing this one."""
        return replace(
            self,
            counters=dict(self.counters),
            gauges=dict(self.gauges),
            sources={name: entry.copy() for name, entry in self.sources.items()},
        )

    def to_json(self) -> str:
        """The hour as the journal keeps it; there its gauges are called ``areas``."""
        fields = asdict(self)
        fields["areas"] = fields.pop("gauges")
        return json.dumps(fields, default=sorted, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The hour as the journal kept it."""
        fields: dict[str, Any] = json.loads(text)
        fields["gauges"] = {metric: GaugeHour(**gauge) for metric, gauge in fields.pop("areas").items()}
        fields["sources"] = {
            name: SourceHour(**(entry | {"flags": set(entry["flags"])}))
            for name, entry in fields["sources"].items()
        }
        return cls(**fields)


def _together(one: GaugeHour, other: GaugeHour) -> GaugeHour:
    integral, covered_ms = one.integral + other.integral, one.covered_ms + other.covered_ms
    if covered_ms > HOUR_MS:
        # Provisional hours are moved by whole hours, so two may meet in one: keep the mean level, no more.
        integral, covered_ms = integral * HOUR_MS // covered_ms, HOUR_MS
    return GaugeHour(other.last, max(one.greatest, other.greatest), integral, covered_ms)


def _one_source(one: SourceHour, other: SourceHour) -> SourceHour:
    gaps = [gap for gap in (one.catch_up_from_ms, other.catch_up_from_ms) if gap is not None]
    metrics = one.catch_up.keys() | other.catch_up.keys()
    return SourceHour(
        status=other.status,
        detail=other.detail,
        covered_ms=min(HOUR_MS, one.covered_ms + other.covered_ms),
        flags=one.flags | other.flags,
        catch_up_from_ms=min(gaps, default=None),
        catch_up={m: one.catch_up.get(m, 0) + other.catch_up.get(m, 0) for m in sorted(metrics)},
    )


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose usage it is: the customer who pays, and which of the customer's instances."""

    customer_id: str
    instance_id: str

    def __str__(self) -> str:
        return f"{self.customer_id}/{self.instance_id}"


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports: the fields that every report of this agent shares."""

    customer_id: str
    instance_id: str
    agent_version: str

    @property
    def owner(self) -> Owner:
        """For whom it reports."""
        return Owner(self.customer_id, self.instance_id)

    def on_behalf_of(self, owner: Owner) -> "Reporter":
        """The same agent, reporting what it counted for another."""
        return Reporter(owner.customer_id, owner.instance_id, self.agent_version)


def report_of(hour: MeasuredHour, reporter: Reporter, state_id: str, revision: int, *, final: bool) -> Report:
    """Build the report of one revision; spans and levels are cut to whole seconds.

    Raises
    ------
    pydantic.ValidationError
        When the contract refuses the hour; a bug of ours or of a collector.
    """
    observed_from_ms = hour.start_ms if hour.observed_from_ms is None else hour.observed_from_ms
    observed_until_ms = observed_from_ms if hour.observed_until_ms is None else hour.observed_until_ms
    return Report(
        schema_version=1,
        customer_id=reporter.customer_id,
        instance_id=reporter.instance_id,
        window_start=from_ms(hour.start_ms),
        state_id=state_id,
        revision=revision,
        final=final,
        observed_from=from_ms(observed_from_ms),
        observed_until=from_ms(max(observed_from_ms, observed_until_ms)),
        agent_version=reporter.agent_version,
        counters=dict(sorted(hour.counters.items())),
        gauges={
            metric: Gauge(
                last=gauge.last,
                max=gauge.greatest,
                integral=gauge.integral // 1000,
                seconds=min(gauge.covered_ms // 1000, HOUR_SECONDS),
            )
            for metric, gauge in sorted(hour.gauges.items())
        },
        sources={
            name: _source(entry)
            for name, entry in sorted(hour.sources.items())
            if name != AGENT or entry.flags or entry.status != "ok"
        },
    )


def _source(entry: SourceHour) -> Source:
    return Source(
        status=entry.status,
        covered_seconds=min(entry.covered_ms // 1000, HOUR_SECONDS),
        detail=None if entry.detail is None else entry.detail[:_DETAIL_LENGTH],
        flags=tuple(sorted(entry.flags)),
        catch_up_from=None if entry.catch_up_from_ms is None else from_ms(entry.catch_up_from_ms),
    )
