"""The machine's clocks and the service's time.

Service time is the ``server_time`` of the service's last answer plus what passed since then on a clock that
nobody sets. Inside the agent it is a whole number of milliseconds since 1970-01-01T00:00:00Z (names end in
``_ms``), because levels are integrated in milliseconds. Source: docs/agent-design.md#time.
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from agent.engine.observation import Moment

HOUR_MS = 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the agent asks for the time; collectors take moments from it, never wall times."""

    def moment(self) -> Moment:
        """Now, on the clocks that nobody sets."""

    def wall(self) -> datetime:
        """Now, on the clock that people and daemons set (UTC)."""


class MachineClock:
    """The clocks of the Linux machine (or container host) that the agent runs on."""

    def __init__(self) -> None:
        self._boot_id = _BOOT_ID.read_text(encoding="ascii").strip()

    def moment(self) -> Moment:
        """Now, on the clocks that nobody sets."""
        return Moment(
            boot_id=self._boot_id,
            boot_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            awake_ns=time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        )

    def wall(self) -> datetime:
        """Now, on the clock that people and daemons set (UTC)."""
        return datetime.now(UTC)


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970 of a UTC instant; smaller parts are cut off."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(instant_ms: int) -> datetime:
    """The UTC instant, cut to the whole second: reports carry no fractions."""
    return _EPOCH + timedelta(seconds=instant_ms // 1000)


def hour_of(instant_ms: int) -> int:
    """Start of the full hour in which the instant lies."""
    return instant_ms - instant_ms % HOUR_MS


@dataclass(frozen=True, slots=True)
class Timeline:
    """How moments of this boot map to service time.

    ``known`` is False as long as the mapping rests on the wall clock alone: hours measured by it are
    provisional.
    """

    anchor: Moment
    anchor_ms: int
    known: bool

    def at(self, moment: Moment) -> int:
        """Service time of a moment of the anchor's boot, in milliseconds since 1970."""
        if moment.boot_id != self.anchor.boot_id:
            raise ValueError("a moment of another boot has no place on this timeline")
        return self.anchor_ms + (moment.boot_ns - self.anchor.boot_ns) // 1_000_000

    def synchronized(self, server_time: datetime, asked: Moment, answered: Moment) -> "Timeline":
        """The timeline after an answer of the service that was asked and received at two moments.

        ``server_time`` is cut to the second and ages on its way, so it vouches for an interval only. A
        timeline inside that interval stays as it is: jumping about within a second would bend every span.
        """
        earliest = to_ms(server_time)
        latest = earliest + 1000 + (answered.boot_ns - asked.boot_ns) // 1_000_000
        believed = min(max(self.at(answered), earliest), latest)
        if believed == self.at(answered):
            return replace(self, known=True)
        return Timeline(anchor=answered, anchor_ms=believed, known=True)
