"""The journal has a twin: what is ours alone, and what both may have reported.

A cloned machine, or a journal restored from a copy, goes on under the name of the original. When the service
shows that, this side takes a new name. Reports of one hour under different names add up where their spans
are disjoint and count once where they overlap, so the hour in which this run began is parted: what it found
in the journal (the original may have reported it too) and what it measured itself. Pure. Source:
docs/agent-design.md#fork.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.engine.hour import MeasuredHour


@dataclass(frozen=True, slots=True)
class Parts:
    """The unanswered hours after a fork: ``own`` under the new name, oldest first, the open one last.

    ``found`` is the part of the run's first hour that lay in the journal when the run began; it goes out
    under a name of its own.
    """

    own: list[MeasuredHour]
    found: MeasuredHour | None


def parted(hours: Iterable[MeasuredHour], carried: MeasuredHour, run_from_ms: int) -> Parts:
    """Part unanswered hours; amounts of the agent's absence are withdrawn from all.

    Parameters
    ----------
    hours
        The unanswered hours, oldest first, the open one last.
    carried
        The open hour as this run found it.
    run_from_ms
        When this run of the agent began.
    """
    own: list[MeasuredHour] = []
    found: MeasuredHour | None = None
    for hour in hours:
        shared = hour.start_ms == carried.start_ms and carried.observed_from_ms is not None
        if shared and run_from_ms < hour.end_ms:
            found = carried.without_catch_up()
            # Up to here the original may have lived on: the spans must overlap, or both would be billed.
            found.observed_until_ms = max(run_from_ms, hour.start_ms)
            own.append(hour.minus(carried, max(run_from_ms, hour.start_ms)).without_catch_up())
        else:
            own.append(hour.without_catch_up())
    return Parts(own, found)
