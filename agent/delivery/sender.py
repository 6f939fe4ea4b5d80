"""The sender: asks who it is, builds reports when they are due, and delivers what waits, one at a time.

What an answer means is `agent.delivery.answers`; what becomes of the report is kept in the journal.
Source: docs/agent-design.md#sending and docs/contract.md#answers-to-a-report.
"""

import hashlib
import logging
import secrets
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agent.delivery.answers import (
    Answer,
    Disposition,
    back_off,
    is_interval,
    read_answer,
    refusal_pause,
    server_time_of,
)
from agent.engine.clock import Clock, from_ms
from agent.engine.hour import Reporter
from agent.journal.file import JournalFullError
from agent.journal.journal import Journal
from agent.journal.rows import Frozen
from metering.core.instants import HOUR_SECONDS, format_instant

if TYPE_CHECKING:
    from agent.delivery.wire import Reply, Wire

_LOG = logging.getLogger("agent.sender")
FAREWELL_SECONDS = 10
"""How long the agent goes on sending when it is told to stop."""
_TOO_EARLY_PAUSE_MS = 60_000
_FINALS_WITHIN_MS = 600_000
"""An hour's final report is built within ten minutes: the service takes an hour for settled after fifteen."""
_IDLE_SECONDS = 1.0


@dataclass(slots=True)
class Sending:
    """How sending goes, for the health page: answers by disposition, and what is wrong, if anything is."""

    answers: Counter[str] = field(default_factory=Counter)
    trouble: str = ""
    introduced: bool = False


class Sender:
    """Delivers the journal's reports through one wire, one request in flight.

    Parameters
    ----------
    journal, wire, clock
        What to send, through what, and the time.
    reporter
        Who reports.
    report_every_seconds
        The distance of two revisions until the service tells another.
    """

    def __init__(
        self, journal: Journal, wire: "Wire", clock: Clock, reporter: Reporter, report_every_seconds: int
    ) -> None:
        self.sending = Sending()
        self._journal = journal
        self._wire = wire
        self._clock = clock
        self._reporter = reporter
        self.report_every_seconds = report_every_seconds
        self._slot: int | None = None
        self._hour_ms: int | None = None
        self._failures = 0
        self._refusals = 0
        self._doubts = 0
        self._paused_until_ns = 0
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
        """Do the next thing that is due; False when nothing was."""
        if self._clock.moment().boot_ns < self._paused_until_ns:
            return False
        try:
            if not self.sending.introduced:
                self._introduce()
                return True
            self._build_when_due()
            report = self._journal.next_report(self._clock.moment())
            if report is None:
                return False
            self._send(report)
        except JournalFullError as error:
            self._fail(f"the journal cannot be written: {error}")
        return True

    def _farewell(self) -> None:
        deadline_ns = self._clock.moment().boot_ns + FAREWELL_SECONDS * 1_000_000_000
        try:
            if not self.sending.introduced:
                self._introduce()
            if self._doubts:
                self._introduce()
            self._journal.build()
            while self.sending.introduced and self._clock.moment().boot_ns < deadline_ns:
                report = self._journal.next_report(self._clock.moment())
                if report is None:
                    return
                self._send(report)
                if self.sending.trouble:
                    return
        except JournalFullError as error:
            _LOG.warning("stopping with a journal that cannot be written: %s", error)

    def _introduce(self) -> None:
        asked = self._clock.moment()
        reply = self._wire.ask("GET", "/api/usage/whoami")
        answered = self._clock.moment()
        said = reply.json()
        server_time = server_time_of(said)
        answer = read_answer(reply.status, reply.headers, reply.body, self._clock.wall())
        if answer.disposition is Disposition.REFUSED:
            self._refuse(answer.problem)
        elif reply.status != 200 or server_time is None:  # noqa: PLR2004  HTTP's own number
            self._fail(reply.trouble or f"whoami: {answer.problem}", answer.retry_after)
        elif (said.get("customer_id"), said.get("instance_id")) != (
            self._reporter.customer_id,
            self._reporter.instance_id,
        ):
            whose = f"{said.get('customer_id')}/{said.get('instance_id')}"
            self._refuse(f"the key belongs to {whose:.90}; check CUSTOMER_ID, INSTANCE_ID and INSTANCE_KEY")
        elif not self._journal.synchronize(server_time, asked, answered):
            self._doubt(server_time)
        else:
            self._adopt_interval(said.get("report_every_seconds"))
            self._succeed()
            self._doubts = 0
            self.sending.introduced = True
            _LOG.info("the billing service knows us; it is %s there", format_instant(server_time))

    def _build_when_due(self) -> None:
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
        name = f"{self._reporter.customer_id}/{self._reporter.instance_id}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % every_ms

    def _send(self, report: Frozen) -> None:
        asked = self._clock.moment()
        reply = self._wire.ask("POST", "/api/usage/report", report.body)
        answered = self._clock.moment()
        answer = read_answer(reply.status, reply.headers, reply.body, self._clock.wall())
        if answer.server_time is not None and not self._journal.synchronize(
            answer.server_time, asked, answered
        ):
            self._doubt(answer.server_time)
        self._adopt_interval(answer.report_every_seconds)
        disposition = answer.disposition
        if disposition is Disposition.HOLDS_OTHER:
            built = self._journal.built(report, answer.revision, answer.digest)
            disposition = Disposition.DELIVERED if built else Disposition.FORK
        self.sending.answers[disposition.value] += 1
        self._settle(report, disposition, answer, reply)

    def _settle(self, report: Frozen, disposition: Disposition, answer: Answer, reply: "Reply") -> None:
        now = self._clock.moment()
        problem = reply.trouble or answer.problem
        match disposition:
            case Disposition.DELIVERED:
                self._journal.delivered(report, now)
                self._succeed()
            case Disposition.FORK:
                _LOG.critical(
                    "journal_forked: the service holds revision %d of %s, which this journal never built; "
                    "was this machine cloned or the journal restored? Going on under a new name",
                    answer.revision,
                    format_instant(from_ms(report.start_ms)),
                )
                self._journal.fork(report)
                self._slot = None
                self._succeed()
            case Disposition.TOO_EARLY:
                retry_ms = max(report.start_ms, self._journal.now_ms(now) + _TOO_EARLY_PAUSE_MS)
                self._journal.postponed(report, problem, retry_ms)
                _LOG.error("the service finds the hour in the future; the clocks disagree: %s", problem)
                self._succeed()
            case Disposition.QUARANTINE:
                self._journal.quarantined(report, problem)
                _LOG.error("the service refuses the report of %s: %s", from_ms(report.start_ms), problem)
                self._succeed()
            case Disposition.REFUSED:
                self._refuse(problem)
            case _:
                chance = secrets.randbelow(1000)
                pause = max(back_off(report.attempts + 1, chance), answer.retry_after or timedelta(0))
                retry_ms = self._journal.now_ms(now) + pause // timedelta(milliseconds=1)
                self._journal.postponed(report, problem, retry_ms)
                self._fail(problem, answer.retry_after)

    def _adopt_interval(self, seconds: object) -> None:
        if is_interval(seconds) and seconds != self.report_every_seconds:
            assert isinstance(seconds, int)
            _LOG.info("reports are due every %d s, says the service", seconds)
            self.report_every_seconds = min(seconds, HOUR_SECONDS)

    def _succeed(self) -> None:
        self._failures = self._refusals = 0
        self.sending.trouble = ""

    def _doubt(self, server_time: datetime) -> None:
        """Ask again: the answer's time is far from ours. At once the first time, for it may well be right."""
        self.sending.introduced = False
        self._doubts += 1
        said = f"the service says it is {format_instant(server_time)}, which is far from our time"
        if self._doubts > 1:
            self._fail(f"{said}; its answers disagree")
        else:
            _LOG.warning("%s; asking again", said)

    def _refuse(self, problem: str) -> None:
        self._refusals += 1
        self._failures += 1
        self.sending.trouble = f"the key is refused: {problem}"
        _LOG.critical("the key is refused, everything is kept and nothing delivered: %s", problem)
        self._pause(refusal_pause(self._refusals))

    def _fail(self, problem: str, asked_for: timedelta | None = None) -> None:
        """Pause everything for a moment: with the service away, each report on its own would knock."""
        self._failures += 1
        self.sending.trouble = problem
        pause = max(back_off(self._failures, secrets.randbelow(1000)), asked_for or timedelta(0))
        _LOG.warning("not delivered, next attempt in %d s: %s", pause.total_seconds(), problem)
        self._pause(pause)

    def _pause(self, span: timedelta) -> None:
        span_ns = span // timedelta(microseconds=1) * 1000
        self._paused_until_ns = self._clock.moment().boot_ns + span_ns
