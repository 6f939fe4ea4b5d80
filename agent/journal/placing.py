"""Provisional hours find their places once the service has told the time.

Pure. Until then hours ran by the wall clock of the agent's start; all are off by one and the same span.
They are moved by whole hours, so that a small offset moves nothing, never before the last hour known for
certain and never into the future. Source: docs/agent-design.md#time.
"""

from collections.abc import Iterable

from agent.engine.clock import HOUR_MS, hour_of
from agent.engine.hour import AGENT, AGENT_DOWN, MeasuredHour, SourceHour


def moved(
    hour: MeasuredHour, offset_ms: int, since_ms: int, earliest_ms: int, latest_ms: int
) -> MeasuredHour:
    """The provisional hour at the full hour nearest to its true time, between two full hours."""
    start_ms = hour_of(hour.start_ms + offset_ms + HOUR_MS // 2)
    placed = hour.copy()
    placed.start_ms = min(max(start_ms, earliest_ms), latest_ms)
    if hour.observed_from_ms is not None:
        placed.observed_from_ms = _within(placed, hour.observed_from_ms + offset_ms)
    if hour.observed_until_ms is not None:
        placed.observed_until_ms = _within(placed, hour.observed_until_ms + offset_ms)
    for entry in placed.sources.values():
        if entry.catch_up_from_ms is not None and entry.catch_up_from_ms >= since_ms:
            entry.catch_up_from_ms += offset_ms
    return placed


def _within(hour: MeasuredHour, instant_ms: int) -> int:
    return min(max(instant_ms, hour.start_ms), hour.end_ms)


def in_sequence(hours: Iterable[MeasuredHour], open_ms: int, sources: Iterable[str]) -> list[MeasuredHour]:
    """One hour for each full hour up to the open one: parts added up, gaps filled with empty hours."""
    placed: dict[int, MeasuredHour] = {}
    for hour in hours:
        other = placed.get(hour.start_ms)
        placed[hour.start_ms] = hour if other is None else other.plus(hour)
    names = [AGENT, *sources]
    return [
        placed.get(start_ms)
        or MeasuredHour(start_ms, sources={name: SourceHour(AGENT_DOWN) for name in names})
        for start_ms in range(min(placed, default=open_ms), open_ms + 1, HOUR_MS)
    ]
