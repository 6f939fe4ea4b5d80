"""The journal's single facts, and how a new run of the agent takes up the time.

Pure. Source: docs/agent-design.md#the-journal and docs/agent-design.md#time.
"""

import secrets
from dataclasses import dataclass, replace

from agent.engine.clock import HOUR_MS, Timeline
from agent.engine.observation import Moment
from agent.engine.tally import MAX_HOURS_BACK


@dataclass(slots=True)
class Facts:
    """Who the journal is, and how it tells the time.

    ``carried`` is the open hour as this run of the agent found it (JSON), ``run_from_ms`` when the run began;
    ``provisional_since_ms`` is set while hours run by the wall clock alone. ``agent_version`` is that of the
    last run, empty in a journal of an agent that did not note it.
    """

    state_id: str
    run: int
    now_ms: int
    timeline: Timeline
    run_from_ms: int
    carried: str = ""
    provisional_since_ms: int | None = None
    delivered_ms: int | None = None
    agent_version: str = ""


def new_state_id() -> str:
    """A random name for a journal: 32 characters of the contract's alphabet."""
    return secrets.token_hex(16)


def begin_run(before: Facts | None, now: Moment, wall_ms: int) -> Facts:
    """The facts with which a run begins; ``before`` is None in a new journal.

    In the boot of the last run the time is as well known as it was then, since the clock that nobody sets has
    run on. In another boot hours are provisional until the service has told the time.
    """
    if before is None:
        timeline = Timeline(now, wall_ms, known=False)
        return Facts(new_state_id(), 1, wall_ms, timeline, wall_ms, provisional_since_ms=wall_ms)
    run = before.run + 1
    if before.timeline.anchor.boot_id == now.boot_id:
        return replace(before, run=run, run_from_ms=max(before.now_ms, before.timeline.at(now)))
    # A wall clock that went back, or forward by more than reports are kept, tells nothing: the hour goes on.
    # The millisecond more parts what was observed by a known time from what was observed by a guess.
    trusted = before.now_ms < wall_ms <= before.now_ms + MAX_HOURS_BACK * HOUR_MS
    from_ms = wall_ms if trusted else before.now_ms + 1
    return replace(
        before,
        run=run,
        run_from_ms=from_ms,
        timeline=Timeline(now, from_ms, known=False),
        provisional_since_ms=from_ms if before.timeline.known else before.provisional_since_ms,
    )
