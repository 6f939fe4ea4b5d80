"""The journal: what was counted, kept so that a kill at any point counts nothing twice and loses nothing.

One observation, its accumulation and the end of an hour are one transaction; building a report takes the
hour's next revision and freezes its bytes in one transaction. Time comes in from outside. Several threads may
call; each call is whole. Source: docs/agent-design.md#the-journal.
"""

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from agent.engine.clock import HOUR_MS, Timeline, hour_of, to_ms
from agent.engine.hour import AGENT, MeasuredHour, Owner, Reporter
from agent.engine.meter import Continuity
from agent.engine.observation import Moment, Series
from agent.engine.reading import Failure, SourceReading, TimedReading
from agent.engine.tally import MAX_HOURS_BACK, Tally
from agent.journal import owners, rows
from agent.journal.facts import Facts, begin_run, new_state_id
from agent.journal.file import JournalFile
from agent.journal.fork import parted
from agent.journal.freezing import freeze
from agent.journal.placing import in_sequence, moved
from agent.journal.rows import Frozen
from agent.journal.trimming import TRIMMED

SKEW = timedelta(seconds=60)
"""How far the wall clock may be off the service's before the report says so."""
LONGEST_JUMP_MS = 300_000
"""How far one answer alone may move the time; beyond it a second one has to agree."""
QUARANTINE_MS = 24 * HOUR_MS
"""How long a refused report is left alone before its hour gets another revision."""
DISK_FULL = "disk_full"
CLOCK_SKEW = "clock_skew"
FORKED = "journal_forked"
RENAMED = "journal_renamed"


class Journal:
    """The journal of one agent, open for this run.

    Parameters
    ----------
    file
        The open database; the journal closes it.
    now, wall
        The moment of opening and what the wall clock shows then.
    reporter
        Who reports, in what version. For another owner than before the journal goes on under a new name; a
        new version tries again what the service refused.
    longest_tick_seconds
        The distance of two ticks beyond which the agent counts as having been away.
    enabled
        The names of the sources that are read in this run; None for every one the journal knows. What is
        remembered of others stays, and is caught up when they are enabled again, but for what another source
        filled meanwhile.
    wall_is_truth
        True without a billing service to ask: the wall clock is all the time there is.
    """

    def __init__(
        self,
        file: JournalFile,
        now: Moment,
        wall: datetime,
        reporter: Reporter,
        longest_tick_seconds: int,
        *,
        enabled: Collection[str] | None = None,
        wall_is_truth: bool = False,
    ) -> None:
        self._file = file
        self._reporter = reporter
        self._lock = threading.RLock()
        self._longest_tick_ms = longest_tick_seconds * 1000
        self._wall_is_truth = wall_is_truth
        self._alarms: set[str] = set()
        self._doubted: Timeline | None = None
        with file.transaction() as db:
            self._facts = begin_run(rows.read_facts(db), now, to_ms(wall))
            former = owners.adopt(db, self.state_id, reporter.owner)
            renamed = former != reporter.owner
            if renamed:
                self._facts = owners.hand_over(db, self._facts, former, reporter.owner)
                self._alarms.add(RENAMED)
            known = rows.read_sources(db)
            sources = {name: state.displaced_by(known.values()) for name, state in known.items()}
            if enabled is not None:
                sources = {name: state for name, state in sources.items() if name in enabled}
            found = rows.read_hours(db, provisional=self.provisional, sealed=False, state_id=self.state_id)
            start_ms = self._facts.now_ms
            hour = found[-1] if found else MeasuredHour(hour_of(start_ms))
            self._facts.carried = hour.to_json()
            if renamed:
                hour.flag(RENAMED)
            if self._facts.agent_version != reporter.agent_version:
                rows.requeue(db)
                self._facts.agent_version = reporter.agent_version
            self._tally = Tally(self._facts.run, start_ms, hour, sources)
            rows.write_tally(db, self.state_id, self._tally, provisional=self.provisional)
            rows.write_facts(db, self._facts)

    @property
    def state_id(self) -> str:
        """The name under which this journal reports, in ``[A-Za-z0-9_-]``, 32 characters."""
        return self._facts.state_id

    @property
    def provisional(self) -> bool:
        """Whether hours run by the wall clock and must not be sent yet."""
        return not self._facts.timeline.known

    @property
    def full(self) -> bool:
        """Whether the last attempt to write failed: nothing is counted until one succeeds."""
        return self._file.full

    @property
    def hour_ms(self) -> int:
        """Start of the open hour: every earlier one is over, and its final report can be built."""
        with self._lock:
            return self._tally.hour.start_ms

    def now_ms(self, moment: Moment) -> int:
        """Service time of a moment of this boot, as well as it is known."""
        with self._lock:
            return self._facts.timeline.at(moment)

    def tick(
        self,
        now: Moment,
        wall: datetime,
        readings: Iterable[SourceReading] = (),
        failures: Iterable[Failure] = (),
        left: Mapping[str, Mapping[Series, int]] | None = None,
    ) -> dict[str, Continuity]:
        """Let time pass and count observations, in one transaction.

        ``left`` has, per source that will not be looked at again in this run, all that watching it has caused
        in its totals. Returns the continuity of every source that was counted. Observations that were counted
        before change nothing.

        Raises
        ------
        JournalFullError
            When it could not be written: no last value moved, the next good tick recovers the amounts.
        """
        with self._lock:
            tally, timeline = self._tally.copy(), self._facts.timeline
            tally.advance(timeline.at(now), self._longest_tick_ms)
            self._remark(tally, wall)
            continuities: dict[str, Continuity] = {}
            for reading in readings:
                continuity = tally.take(self._timed(reading, now, wall))
                if continuity is not None:
                    continuities[reading.name] = continuity
            for failure in failures:
                tally.fail(failure)
            for name, own in (left or {}).items():
                tally.leave(name, own)
            self._keep(tally)
            return continuities

    def _timed(self, reading: SourceReading, now: Moment, wall: datetime) -> TimedReading:
        at, timeline = reading.observation.at, self._facts.timeline
        return reading.timed(
            min(timeline.at(at), timeline.at(now)),
            wall - timedelta(microseconds=(now.boot_ns - at.boot_ns) // 1000),
            known=self._wall_is_truth or not self.provisional,
        )

    def _remark(self, tally: Tally, wall: datetime) -> None:
        skew_ms = abs(to_ms(wall) - tally.now_ms)
        for remark, applies in (
            (DISK_FULL, self._file.full),
            (CLOCK_SKEW, not self.provisional and skew_ms > SKEW // timedelta(milliseconds=1)),
        ):
            if applies:
                tally.hour.flag(remark)
                self._alarms.add(remark)
            else:
                self._alarms.discard(remark)
        if CLOCK_SKEW in self._alarms:
            seconds = (to_ms(wall) - tally.now_ms) // 1000
            tally.hour.source(AGENT).detail = f"the wall clock is {seconds:+d} s off the service's"

    def _keep(self, tally: Tally) -> None:
        """Write the tally; only then does it become the journal's."""
        facts = replace(self._facts, now_ms=tally.now_ms)
        with self._file.transaction() as db:
            rows.write_tally(db, facts.state_id, tally, provisional=self.provisional)
            rows.write_facts(db, facts)
        self._file.full = False
        self._file.restore_ballast()
        self._tally, self._facts = tally, facts

    def synchronize(self, server_time: datetime, asked: Moment, answered: Moment) -> bool:
        """Take over the service's time from an answer of its own; provisional hours find their places.

        Returns False for an answer that would move the time by more than five minutes, and changes nothing,
        until a second one agrees with it: one wrong clock in a fleet of servers must not move an hour.

        Raises
        ------
        JournalFullError
            When the moved hours could not be written; the next answer tries again.
        """
        with self._lock:
            before = self._facts.timeline
            after = before.synchronized(server_time, asked, answered)
            offset_ms = after.at(answered) - before.at(answered)
            doubted, self._doubted = self._doubted, None
            agreed = doubted is not None and abs(after.at(answered) - doubted.at(answered)) <= LONGEST_JUMP_MS
            if abs(offset_ms) > LONGEST_JUMP_MS and not agreed:
                self._doubted = after
                return False
            if before.known:
                self._facts.timeline = after
            else:
                self._place_hours(after, offset_ms)
            return True

    def _place_hours(self, timeline: Timeline, offset_ms: int) -> None:
        tally, since_ms = self._tally.copy(), self._facts.provisional_since_ms or 0
        tally.shift(offset_ms, since_ms)
        with self._file.transaction() as db:
            known = rows.read_hours(db, provisional=False, sealed=False, state_id=self.state_id)
            guessed = rows.read_hours(db, provisional=True, state_id=self.state_id)
            earliest_ms = max((hour.start_ms for hour in known), default=0)
            tally.now_ms = max(tally.now_ms, earliest_ms)
            open_ms = hour_of(tally.now_ms)
            earliest_ms = max(earliest_ms, open_ms - MAX_HOURS_BACK * HOUR_MS)

            def place(hour: MeasuredHour) -> MeasuredHour:
                return moved(hour, offset_ms, since_ms, earliest_ms, open_ms)

            sequence = in_sequence([*known, *map(place, guessed)], open_ms, tally.sources)
            run_from_ms = self._facts.run_from_ms
            run_from_ms += offset_ms if run_from_ms >= since_ms else 0
            carried = [*known, place(MeasuredHour.from_json(self._facts.carried))]
            carried = [hour for hour in carried if hour.start_ms == hour_of(run_from_ms)]
            *tally.closed, tally.hour = sequence
            owners.place_former(
                db, self.state_id, lambda hour, from_ms: moved(hour, offset_ms, since_ms, from_ms, open_ms)
            )
            facts = replace(
                self._facts,
                timeline=timeline,
                now_ms=tally.now_ms,
                provisional_since_ms=None,
                run_from_ms=run_from_ms,
                carried=in_sequence(carried, hour_of(run_from_ms), ())[-1].to_json(),
            )
            rows.delete_provisional(db)
            rows.write_tally(db, facts.state_id, tally, provisional=False)
            rows.write_facts(db, facts)
        self._tally, self._facts = tally, facts

    def build(self) -> int:
        """Freeze the next revision of the open hour and the final one of each that ended; returns how many.

        Each takes its hour's next revision in the transaction that freezes its bytes, and replaces the older
        revision of that hour; so does one that was refused a day ago. Nothing is built while hours are
        provisional.
        """
        with self._lock:
            if self.provisional:
                return 0
            now_ms = self._tally.now_ms
            with self._file.transaction() as db:
                rows.requeue(db, now_ms)
                due = rows.unbuilt_hours(db)
            self._alarms.discard(TRIMMED)
            for state_id, start_ms in due:
                with self._file.transaction() as db:
                    unbuilt = rows.read_unbuilt(db, state_id, start_ms)
                    reporter = self._reporter.on_behalf_of(unbuilt.owner)
                    if freeze(db, unbuilt, reporter, now_ms + QUARANTINE_MS):
                        self._alarms.add(TRIMMED)
            return len(due)

    @property
    def owner(self) -> Owner:
        """Whose usage is counted now."""
        return self._reporter.owner

    def has_former(self) -> bool:
        """Whether hours are kept of an owner whose name the journal no longer bears."""
        with self._lock, self._file.transaction() as db:
            return bool(rows.read_former(db))

    def next_report(self, now: Moment, owner: Owner | None = None) -> Frozen | None:
        """The frozen report to send next, or None when nothing is due; of the present owner unless given."""
        with self._lock, self._file.transaction() as db:
            return rows.next_frozen(db, self._facts.timeline.at(now), owner or self.owner)

    def delivered(self, report: Frozen, now: Moment) -> None:
        """Note that the service holds this revision; a final one ends the hour's stay in the journal."""
        with self._lock:
            tally = self._tally.copy()
            facts = replace(self._facts, delivered_ms=self._facts.timeline.at(now))
            with self._file.transaction() as db:
                confirmed = rows.settle(db, report)
                if confirmed and tally.hour.start_ms == report.start_ms:
                    tally.hour.confirm_catch_up(confirmed)
                    rows.write_tally(db, facts.state_id, tally, provisional=False)
                rows.write_facts(db, facts)
            self._tally, self._facts = tally, facts

    def postponed(self, report: Frozen, problem: str, retry_ms: int) -> None:
        """Note a failed attempt and the service time before which the report is not sent again."""
        with self._lock, self._file.transaction() as db:
            rows.postpone(db, report, problem, retry_ms)

    def quarantined(self, report: Frozen, problem: str) -> None:
        """Note that the service refuses this report: it is kept, shown, and blocks nothing for a day."""
        with self._lock, self._file.transaction() as db:
            rows.quarantine(db, report, problem, self._tally.now_ms + QUARANTINE_MS)

    def built(self, report: Frozen, revision: int, digest: str) -> bool:
        """Whether this journal built the revision that the service says it holds, with that content."""
        with self._lock, self._file.transaction() as db:
            newest, content = rows.newest_revision(db, report)
        return revision < newest or (revision == newest and digest == content)

    def fork(self, report: Frozen) -> None:
        """Part from a twin: the service holds a revision of a report that this journal never built.

        Takes a new name, withdraws what was counted while the agent was away, forgets sources not seen since
        it is back, and sends the unanswered hours again under the new name. An hour that goes by a name of
        its own since an earlier fork (`agent.journal.fork.Parts`) only changes that.
        """
        with self._lock:
            if report.state_id != self.state_id:
                with self._file.transaction() as db:
                    other = new_state_id()
                    rows.write_owner(db, other, rows.read_owner(db, report.state_id))
                    rows.rename_hour(db, report, other)
                return
            state_id = new_state_id()
            tally = self._tally.copy()
            # What this run found has left the journal under a name of its own: nothing is carried any more.
            nothing = MeasuredHour(tally.hour.start_ms).to_json()
            facts = replace(self._facts, state_id=state_id, carried=nothing)
            with self._file.transaction() as db:
                hours = rows.read_hours(db, provisional=False, sealed=True, state_id=self.state_id)
                parts = parted(
                    [*hours, tally.hour], MeasuredHour.from_json(self._facts.carried), facts.run_from_ms
                )
                rows.delete_unanswered(db, self.state_id)
                rows.write_owner(db, state_id, self.owner)
                if parts.found is not None:
                    found = new_state_id()
                    rows.write_owner(db, found, self.owner)
                    rows.write_hour(db, found, parts.found, provisional=False, sealed=True)
                *tally.closed, tally.hour = parts.own
                tally.hour.flag(FORKED)
                seen = {
                    name: state
                    for name, state in tally.sources.items()
                    if state.run == facts.run and not state.missed
                }
                tally.sources = seen
                rows.keep_sources(db, seen)
                rows.write_tally(db, state_id, tally, provisional=False)
                rows.write_facts(db, facts)
            self._tally, self._facts = tally, facts
            self._alarms.add(FORKED)

    def snapshot(self) -> tuple[Tally, Facts, rows.Backlog, frozenset[str]]:
        """What the health page shows: a copy of the tally, the single facts, what waits, alarms."""
        with self._lock, self._file.transaction() as db:
            return self._tally.copy(), replace(self._facts), rows.read_backlog(db), frozenset(self._alarms)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()
