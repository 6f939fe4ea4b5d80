"""What came of one look at a source: a reading, or a failure.

A reading has the moment of its observation on the machine's own clocks; the engine counts it when it knows
its place in service time as well. Source: docs/agent-design.md#collectors.
"""

from dataclasses import dataclass
from datetime import datetime

from agent.engine.observation import Observation


@dataclass(frozen=True, slots=True)
class SourceReading:
    """One observation of one source; its levels may be held for ``valid_for_seconds``."""

    name: str
    observation: Observation
    valid_for_seconds: int

    @property
    def valid_for_ms(self) -> int:
        """How long its levels may be held, in milliseconds as the engine counts time."""
        return self.valid_for_seconds * 1000

    def timed(self, at_ms: int, wall: datetime, *, known: bool) -> "TimedReading":
        """The reading with its place in time."""
        return TimedReading(
            self.name, self.observation, self.valid_for_seconds, at_ms=at_ms, wall=wall, known=known
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedReading(SourceReading):
    """A reading with its place in time.

    ``at_ms`` is the observation's service time, ``wall`` what the machine's wall clock showed then; ``known``
    says whether service time is more than a guess.
    """

    at_ms: int
    wall: datetime
    known: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that could not be read: the report's status and the reason."""

    name: str
    status: str
    detail: str
