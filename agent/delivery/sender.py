"""The sender: asks who it is, builds reports when they are due, and delivers what waits, one at a time.

What an answer means is `agent.delivery.answers`; what becomes of the report is kept in the journal.
Source: docs/agent-design.md#sending and docs/contract.md#answers-to-a-report.
"""

import hashlib
import logging
import threading
from typing import TYPE_CHECKING

from agent.delivery.answers import is_interval
from agent.delivery.line import Line
from agent.engine.clock import Clock
from agent.engine.hour import Owner, Reporter
from agent.journal.file import JournalFullError
from agent.journal.journal import Journal
from agent.journal.rows import Frozen
from metering.core.instants import HOUR_SECONDS

if TYPE_CHECKING:
    from agent.delivery.wire import Wire

_LOG = logging.getLogger("agent.sender")
FAREWELL_SECONDS = 10
"""How long the agent goes on sending when it is told to stop."""
_FINALS_WITHIN_MS = 600_000
"""An hour's final report is built within ten minutes: the service takes an hour for settled after fifteen."""
_IDLE_SECONDS = 1.0


class Sender(Line):
    """Builds the journal's reports and delivers them, one request in flight, the former name's included.

    Parameters
    ----------
    journal, wire, clock
        What to send, through what, and the time.
    reporter
        Who reports.
    report_every_seconds
        The distance of two revisions until the service tells another.
    former
        A wire with the key of a name that the journal no longer bears.
    """

    def __init__(
        self,
        journal: Journal,
        wire: "Wire",
        clock: Clock,
        reporter: Reporter,
        report_every_seconds: int,
        former: "Wire | None" = None,
    ) -> None:
        super().__init__(journal, wire, clock)
        self._former = Line(journal, former, clock) if former is not None else None
        self.sending.former = self._former.sending if self._former else None
        self._reporter = reporter
        self.report_every_seconds = report_every_seconds
        self._slot: int | None = None
        self._hour_ms: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Begin to send, on a thread of its own."""
        self._thread.start()

    def finish(self) -> None:
        """Build a last revision of the open hour, send for at most ten seconds, and stop."""
        self._stopping.set()
        self._thread.join(FAREWELL_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                due = self.step()
            except Exception as error:  # noqa: BLE001  it must be seen, and must not end delivery for good
                _LOG.exception("sending failed in a way that was not foreseen")
                self._fail(f"{type(error).__name__}: {error}")
                due = False
            if not due:
                self._stopping.wait(_IDLE_SECONDS)
        self._farewell()

    def step(self) -> bool:
        """Do the next thing that is due, here and for the former name; False when nothing was."""
        did = super().step()
        return (self._former is not None and self._former.step()) or did

    def _farewell(self) -> None:
        deadline_ns = self._clock.moment().boot_ns + FAREWELL_SECONDS * 1_000_000_000
        try:
            if not self.sending.introduced:
                self._introduce()
            if self._doubts:
                self._introduce()
            self._journal.build()
            while self.sending.introduced and self._clock.moment().boot_ns < deadline_ns:
                report = self._due()
                if report is None:
                    return
                self._send(report)
                if self.sending.trouble:
                    return
        except JournalFullError as error:
            _LOG.warning("stopping with a journal that cannot be written: %s", error)

    def _is_needed(self) -> bool:
        return True

    def _due(self) -> Frozen | None:
        return self._journal.next_report(self._clock.moment())

    def _wrong_owner(self, owner: Owner) -> str:
        if owner == self._reporter.owner:
            return ""
        return f"the key belongs to {owner!s:.90}; check CUSTOMER_ID, INSTANCE_ID and INSTANCE_KEY"

    def _forked(self) -> None:
        self._slot = None

    def _prepare(self) -> None:
        now_ms = self._journal.now_ms(self._clock.moment())
        every_ms = self.report_every_seconds * 1000
        offset_ms = self._offset_ms(every_ms)
        slot = (now_ms - offset_ms) // every_ms
        # The journal's own hour tells, not the clock's: the last one is over when a tick has sealed it.
        hour_ms = self._journal.hour_ms
        finals = hour_ms != self._hour_ms and now_ms >= hour_ms + offset_ms % _FINALS_WITHIN_MS
        if slot != self._slot or finals:
            self._journal.build()
            self._slot, self._hour_ms = slot, hour_ms

    def _offset_ms(self, every_ms: int) -> int:
        """Our instance's place within the interval, so that a fleet does not knock at the same second."""
        name = str(self._reporter.owner)
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % every_ms

    def _adopt_interval(self, seconds: object) -> None:
        if is_interval(seconds) and seconds != self.report_every_seconds:
            assert isinstance(seconds, int)
            _LOG.info("reports are due every %d s, says the service", seconds)
            self.report_every_seconds = min(seconds, HOUR_SECONDS)
