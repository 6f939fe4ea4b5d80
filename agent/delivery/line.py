"""A line to the service: one key, whose it is, and what has its answer over it.

What an answer means is `agent.delivery.answers`; what becomes of the report is kept in the journal. Source:
docs/agent-design.md#sending and docs/contract.md#answers-to-a-report.
"""

import logging
import secrets
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agent.delivery.answers import (
    Answer,
    Disposition,
    back_off,
    read_answer,
    refusal_pause,
    server_time_of,
)
from agent.engine.clock import Clock, from_ms
from agent.engine.hour import Owner
from agent.journal.file import JournalFullError
from agent.journal.journal import Journal
from agent.journal.rows import Frozen
from metering.core.instants import format_instant

if TYPE_CHECKING:
    from agent.delivery.wire import Reply, Wire

_LOG = logging.getLogger("agent.sender")
_TOO_EARLY_PAUSE_MS = 60_000
_NEXT_AFTER_REFUSAL = timedelta(seconds=1)


@dataclass(slots=True)
class Sending:
    """How sending goes, for the health page: answers by disposition, and what is wrong, if anything is.

    ``former`` is the same of the key of a name that the journal no longer bears, where there is one.
    """

    answers: Counter[str] = field(default_factory=Counter)
    trouble: str = ""
    introduced: bool = False
    former: "Sending | None" = None


class Line:
    """Delivers an owner's reports over one wire, which carries one key; the owner is who the key belongs to.

    This one is for names that the journal no longer bears. `agent.delivery.sender.Sender` is the present
    owner's.
    """

    def __init__(self, journal: Journal, wire: "Wire", clock: Clock) -> None:
        self.sending = Sending()
        self._journal = journal
        self._wire = wire
        self._clock = clock
        self._owner: Owner | None = None
        self._failures = 0
        self._refusals = 0
        self._refused_in_a_row = 0
        self._doubts = 0
        self._paused_until_ns = 0

    def step(self) -> bool:
        """Do the next thing that is due; False when nothing was."""
        if self._clock.moment().boot_ns < self._paused_until_ns:
            return False
        try:
            if not self._is_needed():
                return False
            if not self.sending.introduced:
                self._introduce()
                return True
            self._prepare()
            report = self._due()
            if report is None:
                return False
            self._send(report)
        except JournalFullError as error:
            self._fail(f"the journal cannot be written: {error}")
        return True

    def _is_needed(self) -> bool:
        """Whether there is, or may come, anything to deliver."""
        needed = self._journal.has_former()
        if not needed:
            self.sending.trouble = ""
        return needed

    def _prepare(self) -> None:
        """What has to be done before the next report is chosen."""

    def _due(self) -> Frozen | None:
        """The report to send next."""
        return self._journal.next_report(self._clock.moment(), self._owner)

    def _wrong_owner(self, owner: Owner) -> str:
        """Why a key of this owner cannot be used here, or an empty text."""
        return "FORMER_INSTANCE_KEY is the key of the present name" if owner == self._journal.owner else ""

    def _adopt_interval(self, seconds: object) -> None:
        """Take over the distance of two revisions that the service tells."""

    def _introduce(self) -> None:
        asked = self._clock.moment()
        reply = self._wire.ask("GET", "/api/usage/whoami")
        answered = self._clock.moment()
        said = reply.json()
        server_time = server_time_of(said)
        owner = Owner(f"{said.get('customer_id')}", f"{said.get('instance_id')}")
        answer = read_answer(reply.status, reply.headers, reply.body, self._clock.wall())
        if answer.disposition is Disposition.REFUSED:
            self._refuse(answer.problem)
        elif reply.status != 200 or server_time is None:  # noqa: PLR2004  HTTP's own number
            self._fail(reply.trouble or f"whoami: {answer.problem}", answer.retry_after)
        elif wrong := self._wrong_owner(owner):
            self._refuse(wrong)
        elif not self._journal.synchronize(server_time, asked, answered):
            self._doubt(server_time)
        else:
            self._adopt_interval(said.get("report_every_seconds"))
            self._succeed()
            self._doubts = 0
            self._owner = owner
            self.sending.introduced = True
            _LOG.info(
                "the billing service knows us as %s; it is %s there", owner, format_instant(server_time)
            )

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
                self._refused_in_a_row = 0
                self._succeed()
            case Disposition.FORK:
                _LOG.critical(
                    "journal_forked: the service holds revision %d of %s, which this journal never built; "
                    "was this machine cloned or the journal restored? Going on under a new name",
                    answer.revision,
                    format_instant(from_ms(report.start_ms)),
                )
                self._journal.fork(report)
                self._forked()
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
                self._refused(report, problem)
            case _:
                chance = secrets.randbelow(1000)
                pause = max(back_off(report.attempts + 1, chance), answer.retry_after or timedelta(0))
                retry_ms = self._journal.now_ms(now) + pause // timedelta(milliseconds=1)
                self._journal.postponed(report, problem, retry_ms)
                self._fail(problem, answer.retry_after)

    def _forked(self) -> None:
        """The journal has a new name."""

    def _refused(self, report: Frozen, problem: str) -> None:
        """Ask whose the key is: if it is good, this report alone waits, and blocks no other."""
        pause = refusal_pause(report.attempts + 1)
        retry_ms = self._journal.now_ms(self._clock.moment()) + pause // timedelta(milliseconds=1)
        self._journal.postponed(report, problem, retry_ms)
        self.sending.introduced = False
        self._introduce()
        if not self.sending.introduced:
            return
        self.sending.trouble = f"the key is refused: {problem}"
        _LOG.error("the key is good, but the report of %s is refused: %s", from_ms(report.start_ms), problem)
        self._refused_in_a_row += 1
        if self._refused_in_a_row > 1:
            self._pause(_NEXT_AFTER_REFUSAL)

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
