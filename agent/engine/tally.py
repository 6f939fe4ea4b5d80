"""What the journal holds of the present: the open hour and each source's last values.

Pure: `advance` lets time pass, `take` counts one observation, `fail` notes that a source could not be read.
The journal works on a copy and keeps it only when the transaction was committed. Source:
docs/agent-design.md#counting-rules and docs/agent-design.md#the-journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.engine import levels
from agent.engine.clock import HOUR_MS, hour_of
from agent.engine.hour import AGENT, AGENT_DOWN, MeasuredHour, SourceHour
from agent.engine.levels import HeldLevel
from agent.engine.meter import (
    Continuity,
    check_values,
    count,
    count_displaced,
    elapsed_between,
    is_later,
    judge,
    lateness_ms,
    lifetime_ms,
)
from agent.engine.observation import Series, SourceError
from agent.engine.own import without_own
from agent.engine.reading import Failure, TimedReading
from agent.engine.source_state import SourceState

MAX_HOURS_BACK = 400 * 24
"""Empty hours are not made up beyond the reports' retention: the service would refuse them."""


@dataclass(slots=True)
class Tally:
    """The open hour, the sources, and the instant up to which time has passed.

    ``closed`` collects the hours that ended since the tally was made; ``ticked`` is whether this run of the
    agent has let time pass before: what lies before its first tick, the agent was down. ``back_ms`` is when
    it was last found to be back: what was observed earlier does not end a source's gap. ``others`` has, per
    source that this run observed, its totals without what watching caused in them (`without_own`).
    """

    run: int
    now_ms: int
    hour: MeasuredHour
    sources: dict[str, SourceState] = field(default_factory=dict)
    closed: list[MeasuredHour] = field(default_factory=list)
    ticked: bool = False
    back_ms: int = 0
    others: dict[str, Mapping[Series, int]] = field(default_factory=dict)

    def copy(self) -> "Tally":
        """A tally that can be changed without changing this one; without the closed hours."""
        return Tally(
            self.run,
            self.now_ms,
            self.hour.copy(),
            dict(self.sources),
            ticked=self.ticked,
            back_ms=self.back_ms,
            others=dict(self.others),
        )

    def advance(self, to_ms: int, longest_tick_ms: int) -> None:
        """Let time pass: levels are held, sources stay covered, hours end.

        An instant before the last one changes nothing: the hour never goes back. A tick longer than
        ``longest_tick_ms`` means that the agent was away (stopped, or the machine suspended): what the
        sources counted meanwhile is to be caught up.
        """
        to_ms = max(to_ms, self.now_ms)
        present = self.ticked and to_ms - self.now_ms <= longest_tick_ms
        if not present:
            self.back_ms = to_ms
            self.sources = {name: replace(state, missed=True) for name, state in self.sources.items()}
        oldest_ms = hour_of(to_ms) - MAX_HOURS_BACK * HOUR_MS
        while self.hour.end_ms <= to_ms:
            self._hold(self.hour.end_ms)
            if present:
                self._be_there(self.now_ms, self.hour.end_ms)
            self._next_hour(max(self.hour.end_ms, oldest_ms), present=present)
        self._hold(to_ms)
        if present:
            self._be_there(self.now_ms, to_ms)
        self.hour.seen_from(to_ms)
        self.hour.observed_until_ms = to_ms
        self.hour.source(AGENT).status = "ok"
        self.now_ms = to_ms
        self.ticked = True

    def _be_there(self, from_ms: int, to_ms: int) -> None:
        self.hour.seen_from(from_ms)
        self.hour.observed_until_ms = to_ms
        self.hour.cover(AGENT, from_ms, to_ms)

    def _hold(self, to_ms: int) -> None:
        for name, state in self.sources.items():
            held = dict(state.levels)
            for metric, level in state.levels.items():
                span = (self.hour.start_ms, to_ms)
                before = self.hour.gauges.get(metric)
                held[metric], gauge = levels.integrate(level, before, span, state.valid_for_ms)
                if gauge is not None:
                    self.hour.gauges[metric] = gauge
            covered_ms = state.covered_until_ms
            if state.healthy:
                covered_ms = max(covered_ms, min(to_ms, state.at_ms + state.valid_for_ms))
                self.hour.cover(name, state.covered_until_ms, covered_ms)
            self.sources[name] = replace(state, levels=held, covered_until_ms=covered_ms)

    def _next_hour(self, start_ms: int, *, present: bool) -> None:
        ended = self.hour
        for name, state in self.sources.items():
            held = dict(state.levels)
            for metric in held.keys() & ended.gauges.keys():
                held[metric], ended.gauges[metric] = levels.seal(held[metric], ended.gauges[metric])
            self.sources[name] = replace(state, levels=held)
        self.closed.append(ended)
        self.hour = MeasuredHour(start_ms)
        for name in sorted({AGENT, *self.sources}):
            before = ended.sources.get(name)
            if present and before is not None:
                self.hour.sources[name] = SourceHour(before.status, before.detail)
            else:
                self.hour.sources[name] = SourceHour(AGENT_DOWN)

    def fail(self, failure: Failure) -> None:
        """Note that a source could not be read; its last values stay, its amounts come later."""
        entry = self.hour.source(failure.name)
        entry.status, entry.detail = failure.status, failure.detail
        state = self.sources.get(failure.name)
        if state is not None:
            self.sources[failure.name] = replace(state, healthy=False)

    def take(self, reading: TimedReading) -> Continuity | None:
        """Count one observation into the open hour; None when it was counted before.

        A source that cannot be counted from (`check_values`), or whose identity can only be judged when the
        time is known, is noted as failed and loses nothing. Returns the continuity for logs and alarms.
        """
        observation, state = reading.observation, self.sources.get(reading.name)
        if state is not None and not is_later(observation.at, state.at):
            return None
        try:
            check_values(observation)
            continuity, late_ms = self._judge(reading, state)
        except SourceError as error:
            self.fail(Failure(reading.name, error.status, str(error)))
            return Continuity.UNDECIDED
        former = self._former(state, continuity)
        known = self.others.get(reading.name, {}) if continuity is Continuity.SAME else {}
        others = without_own(observation, former, known)
        seen, displaced = replace(observation, counters=others), state.displaced if state else frozenset()
        if state and displaced:
            counted = count_displaced(continuity, state.values, seen, displaced)
        else:
            counted = count(continuity, state.values if state else {}, seen)
        self.others[reading.name] = {**known, **others}
        entry = self.hour.source(reading.name)
        entry.status, entry.detail = "ok", None
        entry.flags |= counted.flags
        for metric, amount in counted.amounts.items():
            self.hour.counters[metric] = self.hour.counters.get(metric, 0) + amount
        if state is not None and state.missed:
            _note_catch_up(entry, counted.amounts, state.at_ms)
        covered_ms = self._cover(reading, state, continuity)
        silent = observation.identity is None and state is not None
        self.sources[reading.name] = SourceState(
            at=observation.at,
            at_ms=reading.at_ms,
            told_at=state.told_at if silent and state else observation.at,
            told_at_ms=state.told_at_ms if silent and state else reading.at_ms,
            covered_until_ms=covered_ms,
            valid_for_ms=reading.valid_for_ms,
            run=self.run,
            missed=state is not None and state.missed and reading.at_ms < self.back_ms,
            identity=observation.identity or (state.identity if state else None),
            values=dict(counted.values),
            levels=self._read_levels(reading, state),
            own=dict(observation.own),
            former=former,
            late_ms=late_ms,
            seen=self.run,
        )
        return continuity

    def leave(self, name: str, own: Mapping[Series, int]) -> None:
        """Note all that this run's watching has caused in a source's totals, now that it has ended.

        A run that never observed the source has caused something, too: it joins what earlier runs had.
        """
        state = self.sources.get(name)
        if state is not None:
            former = self._former(state, Continuity.SAME)
            self.sources[name] = replace(state, run=self.run, own=dict(own), former=former)

    def _former(self, state: SourceState | None, continuity: Continuity) -> dict[Series, int]:
        """What watchers of earlier runs caused in the totals of the source's present life.

        What the run that watches now caused comes with its observations. One that ended in order told all it
        had caused (`leave`); what a killed one caused after its last observation nobody can know.
        """
        if state is None or continuity is not Continuity.SAME:
            return {}
        if state.run == self.run:
            return state.former
        return {
            series: state.former.get(series, 0) + state.own.get(series, 0)
            for series in state.former.keys() | state.own.keys()
        }

    def _judge(self, reading: TimedReading, state: SourceState | None) -> tuple[Continuity, int]:
        """Whose values these are, and how late their uptime may have been read."""
        now = reading.observation.identity
        if state is None or (now is not None and state.identity is None and not state.values):
            return Continuity.FIRST, 0
        if now is None or state.identity is None:
            return Continuity.SAME, state.late_ms
        span_ms = reading.at_ms - state.told_at_ms
        elapsed = elapsed_between(state.told_at, reading.observation.at, span_ms, known=reading.known)
        continuity = judge(state.identity, now, elapsed, reading.wall, state.late_ms)
        if continuity is Continuity.UNDECIDED:
            raise SourceError("time_unknown", "counted as soon as the service has told the time")
        last_seconds, now_seconds = state.identity.uptime_seconds, now.uptime_seconds
        if last_seconds is None or now_seconds is None:
            return continuity, 0
        if continuity is Continuity.SAME:
            return continuity, lateness_ms(last_seconds, now_seconds, elapsed, state.late_ms)
        # A life that began while this run was frozen may be older than what was read of it, by all that time.
        frozen = continuity is Continuity.RESTARTED and state.run == self.run
        return continuity, lateness_ms(0, now_seconds, elapsed) if frozen else 0

    def _cover(self, reading: TimedReading, state: SourceState | None, continuity: Continuity) -> int:
        """Note what the observation covers; returns up to where the source is covered now."""
        name, at_ms = reading.name, reading.at_ms
        identity = reading.observation.identity
        if state is None or state.displaced or continuity in {Continuity.FIRST, Continuity.SOMEONE_ELSE}:
            return max(at_ms, state.covered_until_ms if state else at_ms)
        until_ms = state.covered_until_ms
        if continuity is Continuity.RESTARTED and identity is not None:
            # What the former life counted after it was last seen is lost: that span was not covered.
            born_ms = at_ms - (lifetime_ms(identity, reading.wall) or 0)
            self.hour.uncover(name, state.at_ms, min(until_ms, born_ms))
            until_ms = max(until_ms, born_ms)
        # Totals vouch for the whole span since the last look; levels alone only for the time they were seen.
        if reading.observation.counters:
            self.hour.cover(name, until_ms, at_ms)
        return max(until_ms, at_ms)

    def _read_levels(self, reading: TimedReading, state: SourceState | None) -> dict[str, HeldLevel]:
        held = dict(state.levels) if state else {}
        for metric, value in reading.observation.gauges.items():
            held[metric] = levels.read(held.get(metric), value, reading.at_ms)
            self.hour.gauges[metric] = levels.show(self.hour.gauges.get(metric), value)
        return held

    def shift(self, offset_ms: int, since_ms: int) -> None:
        """Move what was observed from ``since_ms`` on by an offset, once the service has told the time."""
        self.now_ms += offset_ms
        for name, state in self.sources.items():
            if state.at_ms < since_ms:
                continue
            told_ms = state.told_at_ms
            self.sources[name] = replace(
                state,
                at_ms=state.at_ms + offset_ms,
                told_at_ms=told_ms + offset_ms if told_ms >= since_ms else told_ms,
                covered_until_ms=state.covered_until_ms + offset_ms,
                levels={
                    metric: replace(level, at_ms=level.at_ms + offset_ms, until_ms=level.until_ms + offset_ms)
                    for metric, level in state.levels.items()
                },
            )


def _note_catch_up(entry: SourceHour, amounts: Mapping[str, int], gap_from_ms: int) -> None:
    for metric, amount in amounts.items():
        if amount:
            entry.catch_up[metric] = entry.catch_up.get(metric, 0) + amount
            known = entry.catch_up_from_ms
            entry.catch_up_from_ms = gap_from_ms if known is None else min(known, gap_from_ms)
