"""A machine, its journal and a source for the heart's tests: real SQLite, a clock that the test moves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from agent.engine.hour import Reporter
from agent.engine.meter import Continuity
from agent.engine.observation import Moment, Observation, Series, SourceIdentity
from agent.engine.reading import Failure, SourceReading
from agent.journal.file import JournalFile
from agent.journal.journal import Journal
from agent.journal.rows import Frozen
from metering.core.contract import Report

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
REPORTER = Reporter("cust_1", "default", "1.0.0")
REQUESTS = Series("http_requests")
BYTES = Series("http_bytes_sent")
MEGABYTE = 1024 * 1024


@dataclass
class Machine:
    """A machine's clocks; ``true`` is the service's time, ``off`` how far the wall clock is away from it."""

    true: datetime = NOON
    off: timedelta = timedelta(0)
    boot: int = 1
    boot_ns: int = 10**12
    awake_ns: int = 10**12

    def moment(self) -> Moment:
        return Moment(f"boot-{self.boot}", self.boot_ns, self.awake_ns)

    def wall(self) -> datetime:
        return self.true + self.off

    def wait(self, seconds: float) -> None:
        self.awake_ns += round(seconds * 10**9)
        self.suspend(seconds)

    def suspend(self, seconds: float) -> None:
        self.boot_ns += round(seconds * 10**9)
        self.true += timedelta(seconds=seconds)

    def reboot(self, seconds: float) -> None:
        self.boot += 1
        self.true += timedelta(seconds=seconds)
        self.boot_ns = self.awake_ns = 10**9

    def twin(self) -> "Machine":
        return Machine(self.true, self.off, self.boot, self.boot_ns, self.awake_ns)


@dataclass
class Counters:
    """A source with totals: ``grow`` counts, ``restart`` starts a new life at zero."""

    machine: Machine
    born: datetime | None = None
    life: int = 1
    totals: dict[Series, int] = field(default_factory=lambda: {REQUESTS: 0})
    truth: int = 0
    tells_start: bool = False

    def __post_init__(self) -> None:
        self.born = self.born or self.machine.true

    def grow(self, amount: int, series: Series = REQUESTS) -> None:
        self.totals[series] = self.totals.get(series, 0) + amount
        self.truth += amount

    def restart(self) -> None:
        self.born = self.machine.true
        self.life += 1
        self.totals = dict.fromkeys(self.totals, 0)

    def identity(self) -> SourceIdentity:
        assert self.born is not None
        if self.tells_start:
            return SourceIdentity(exact=f"life-{self.life}", started=self.born)
        return SourceIdentity(uptime_seconds=int((self.machine.true - self.born).total_seconds()))

    def observe(self, gauges: Mapping[str, int] | None = None) -> Observation:
        return Observation(self.machine.moment(), self.identity(), dict(self.totals), dict(gauges or {}))


@dataclass
class Instance:
    """One agent's heart on a machine, without threads: the test ticks it."""

    path: Path
    machine: Machine
    wall_is_truth: bool = False
    max_bytes: int = 64 * MEGABYTE
    valid_for: int = 45
    longest_tick: int = 60
    enabled: frozenset[str] | None = None
    reporter: Reporter = REPORTER

    def __post_init__(self) -> None:
        self.journal = self._open()

    def _open(self) -> Journal:
        return Journal(
            JournalFile(self.path, self.max_bytes),
            self.machine.moment(),
            self.machine.wall(),
            self.reporter,
            longest_tick_seconds=self.longest_tick,
            enabled=self.enabled,
            wall_is_truth=self.wall_is_truth,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    def restart(self) -> None:
        self.journal.close()
        self.journal = self._open()

    def learn_the_time(self) -> None:
        """Two answers of the service: a jump needs the second one."""
        for _ in range(2):
            now = self.machine.moment()
            self.journal.synchronize(self.machine.true.replace(microsecond=0), now, now)

    def look(
        self, *observations: Observation, name: str = "http", failures: Iterable[Failure] = ()
    ) -> dict[str, Continuity]:
        return self.journal.tick(
            self.machine.moment(),
            self.machine.wall(),
            [SourceReading(name, observation, self.valid_for) for observation in observations],
            failures,
        )

    def live(self, seconds: int, step: int = 15) -> None:
        """Let time pass with the agent running and no source seen."""
        for _ in range(seconds // step):
            self.machine.wait(step)
            self.look()

    def frozen(self) -> Frozen | None:
        return self.journal.next_report(self.machine.moment())

    def drain(self) -> list[Report]:
        """Build what is due and deliver everything; the reports in the order of their delivery."""
        self.journal.build()
        reports = []
        while (frozen := self.frozen()) is not None:
            reports.append(Report.model_validate_json(frozen.body))
            self.journal.delivered(frozen, self.machine.moment())
        return reports


def total(reports: Iterable[Report], metric: str = "http_requests") -> int:
    """What final reports bill in all."""
    return sum(report.counters.get(metric, 0) for report in reports if report.final)


def latest(reports: Iterable[Report]) -> list[Report]:
    """The highest revision of each journal's hour, oldest hour first."""
    newest: dict[tuple[datetime, str], Report] = {}
    for report in reports:
        key = (report.window_start, report.state_id)
        if key not in newest or report.revision > newest[key].revision:
            newest[key] = report
    return [newest[key] for key in sorted(newest)]
