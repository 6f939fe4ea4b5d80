"""One thread per source: one that fails or hangs never delays another.

Source: docs/agent-design.md#collectors.
"""

import logging
import re
import threading
from typing import TYPE_CHECKING

from agent.engine.clock import Clock
from agent.engine.observation import Collector, Series, SourceError
from agent.engine.reading import Failure, SourceReading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from queue import SimpleQueue

_LOG = logging.getLogger("agent.poller")
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""What the contract allows as the name or the status of a source."""
SHORTEST_PATIENCE_SECONDS = 30
_GLANCE_SECONDS = 1.0


def poll(collector: Collector) -> SourceReading | Failure:
    """Read a source once; whatever goes wrong becomes a failure with a status and a reason."""
    try:
        observation = collector.collect()
    except SourceError as error:
        status = error.status if NAME.fullmatch(error.status) else "error"
        return Failure(collector.name, status, str(error)[:200])
    except Exception as error:  # noqa: BLE001  a collector's bug must not end its thread unseen
        _LOG.exception("collector %s failed in a way it did not foresee", collector.name)
        return Failure(collector.name, "error", f"{type(error).__name__}: {error}"[:200])
    return SourceReading(collector.name, observation, collector.valid_for_seconds)


class Poller:
    """Reads one source every so many seconds and hands each result over; one at a time is on its way.

    ``mailbox`` takes the poller when its ``result`` is there; `taken` is called when it was dealt with. Once
    the source was left, ``left`` has all that watching it has caused in its totals.
    """

    def __init__(
        self,
        collector: Collector,
        clock: Clock,
        poll_seconds: int,
        mailbox: "SimpleQueue[Poller | None]",
    ) -> None:
        self.name = collector.name
        self.result: SourceReading | Failure | None = None
        self.left: Mapping[Series, int] | None = None
        self._collector = collector
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._mailbox = mailbox
        self._busy_since_ns: int | None = None
        self._taken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"poll-{self.name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def taken(self) -> None:
        """Say that the result was dealt with; the next one may come."""
        self.result = None
        self._taken.set()

    def hanging(self) -> Failure | None:
        """A failure when the source has not answered for three intervals (at least 30 s)."""
        since_ns = self._busy_since_ns
        if since_ns is None:
            return None
        seconds = (self._clock.moment().boot_ns - since_ns) // 1_000_000_000
        if seconds < max(3 * self._poll_seconds, SHORTEST_PATIENCE_SECONDS):
            return None
        return Failure(self.name, "timeout", f"no answer for {seconds} s")

    def stop(self) -> None:
        """Stop reading; a source that hangs is left to the process's end."""
        self._stopping.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end, at most so long."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._taken.clear()
            self._busy_since_ns = self._clock.moment().boot_ns
            self.result = poll(self._collector)
            self._busy_since_ns = None
            self._mailbox.put(self)
            while not self._taken.wait(_GLANCE_SECONDS) and not self._stopping.is_set():
                pass
            self._stopping.wait(self._poll_seconds)
        self.left = self._collector.close()
