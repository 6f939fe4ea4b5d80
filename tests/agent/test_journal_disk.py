"""The journal's file: a full disk, another agent, another version."""

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue

import pytest

from agent.engine.hour import MeasuredHour
from agent.engine.observation import Observation, Series
from agent.journal import file as journal_file
from agent.journal.file import JournalError, JournalFile, JournalFullError, open_read_only
from agent.journal.rows import Frozen
from agent.poller import Poller
from agent.poller import poll as look_at
from agent.run import Agent
from agent.settings import Settings
from tests.agent.world import MEGABYTE, REQUESTS, Counters, Instance, Machine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def unlimited() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_tick_that_cannot_be_written_moves_no_last_value_and_the_next_recovers_it(
    path: Path, unlimited: None
) -> None:
    """On a full disk a tick counts nothing and frees the ballast; the next one has the 13, and disk_full."""
    machine = Machine()
    source = Counters(machine)
    with Instance(path, machine) as instance:
        instance.learn_the_time()
        instance.look(source.observe())
        source.grow(13)
        machine.wait(15)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        # No file may grow: every write of the log fails as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
        with pytest.raises(JournalFullError):
            instance.look(source.observe())
        assert instance.journal.full
        assert 0 == instance.journal.snapshot()[0].hour.counters["http_requests"]
        assert not path.with_name("journal.ballast").exists()
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        machine.wait(15)
        instance.look(source.observe())
        assert not instance.journal.full
        assert path.with_name("journal.ballast").stat().st_size == journal_file.BALLAST_BYTES
        (report,) = instance.drain()
    assert 13 == report.counters["http_requests"]
    assert ("disk_full",) == report.sources["agent"].flags


class OneLook:
    """A source whose last observation before its end cannot be had again."""

    name = "http"
    metrics = frozenset({REQUESTS.metric})
    valid_for_seconds = 45

    def __init__(self, machine: Machine) -> None:
        self.source = Counters(machine, tells_start=True)

    def collect(self) -> Observation:
        return self.source.observe()

    def close(self) -> dict[Series, int]:
        """Nothing is kept open."""
        return {}


def test_the_log_is_bounded_while_somebody_reads_the_journal(path: Path) -> None:
    """A shell or a backup left open pins the log: ticks fail beyond the bound until it has ended."""
    log = path.with_name("journal-wal")
    with closing(JournalFile(path, MEGABYTE)) as journal:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM meta").fetchall()
            with pytest.raises(JournalFullError, match="another program reads"):
                _ticks(journal, 1000)
            assert not journal.full
            assert 2 * MEGABYTE > log.stat().st_size
        _ticks(journal, 1)
        assert MEGABYTE > log.stat().st_size


def _ticks(journal: JournalFile, count: int) -> None:
    for number in range(count):
        with journal.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('tick', ?)", (f"{number:08d}" * 1000,))


def test_an_observation_that_could_not_be_written_is_offered_again(path: Path, unlimited: None) -> None:
    """After a restart of the source, nobody else knows what it counted before."""
    machine = Machine()
    one = OneLook(machine)
    settings = Settings(customer_id="cust_1", journal_path=path, health_address=None, poll_seconds=1)
    mailbox: SimpleQueue[Poller | None] = SimpleQueue()
    agent = Agent(settings, machine, [one], mailbox)
    (poller,) = agent._pollers

    def look() -> None:
        machine.wait(1)
        poller.result = look_at(one)
        agent._tick([poller])

    look()
    one.source.grow(13)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    look()
    machine.wait(1)
    agent._tick([])
    assert poller.result is not None
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    machine.wait(1)
    agent._tick([])
    assert poller.result is None
    one.source.restart()
    one.source.grow(4)
    look()
    assert 17 == agent.journal.snapshot()[0].hour.counters["http_requests"]
    agent.journal.close()


def test_the_database_does_not_grow_beyond_its_bound_and_delivering_makes_room(path: Path) -> None:
    """A full journal stays within its 256 KB, and what is delivered makes room without a lost amount."""
    machine = Machine()
    source = Counters(machine)
    with Instance(path, machine, max_bytes=MEGABYTE // 4, longest_tick=3600) as instance:
        instance.learn_the_time()
        instance.look(source.observe())
        failed = False
        for _ in range(600):
            source.grow(1)
            machine.wait(3600)
            try:
                instance.look(source.observe())
            except JournalFullError:
                failed = True
                break
        assert failed
        assert path.stat().st_size <= MEGABYTE // 4
        delivered = 0
        while (frozen := _one(instance)) is not None and delivered < 20:
            instance.journal.delivered(frozen, machine.moment())
            delivered += 1
        instance.look(source.observe())
        assert source.truth == sum(hour for hour in _amounts(instance)) + delivered - 1


def _one(instance: Instance) -> Frozen | None:
    # Building may find no room; what is frozen already can be delivered all the same.
    with suppress(JournalFullError):
        instance.journal.build()
    return instance.frozen()


def _amounts(instance: Instance) -> list[int]:
    with open_read_only(instance.path) as db:
        rows = db.execute("SELECT content FROM hours").fetchall()
    return [MeasuredHour.from_json(content).counters.get(REQUESTS.metric, 0) for (content,) in rows]


def test_while_somebody_else_holds_the_database_nothing_is_lost(path: Path) -> None:
    """While another process holds the database a tick is refused as locked; the next one has the 13."""
    machine = Machine()
    source = Counters(machine)
    with Instance(path, machine) as instance:
        instance.learn_the_time()
        instance.look(source.observe())
        source.grow(13)
        machine.wait(15)
        shell = sqlite3.connect(path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFullError, match="locked"):
            instance.look(source.observe())
        shell.execute("ROLLBACK")
        shell.close()
        machine.wait(15)
        instance.look(source.observe())
        (report,) = instance.drain()
    assert 13 == report.counters["http_requests"]
    assert "agent" not in report.sources


def test_one_agent_at_a_time_has_the_journal(path: Path) -> None:
    """A journal that is open cannot be opened by another agent, and can once it is closed."""
    file = JournalFile(path, MEGABYTE)
    with pytest.raises(JournalError, match="another agent is using"):
        JournalFile(path, MEGABYTE)
    file.close()
    JournalFile(path, MEGABYTE).close()


def test_a_killed_agent_leaves_no_lock_behind(path: Path) -> None:
    """The journal's lock ends with the process that held it, even one that was killed."""
    script = (
        "import sys, time; from pathlib import Path; from agent.journal.file import JournalFile; "
        "file = JournalFile(Path(sys.argv[1]), 1 << 20); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"open\n" == process.stdout.readline()
        process.kill()
    JournalFile(path, MEGABYTE).close()


def test_a_journal_of_an_older_agent_is_shown_once_this_one_has_run(path: Path) -> None:
    """What looks at the journal never changes it; opening it for a run brings it up to date."""
    script = Path(__file__).with_name("recorded") / "schema_1.sql"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script.read_text(encoding="utf-8"))
    with pytest.raises(JournalError, match="let this agent run once"), open_read_only(path):
        pass
    JournalFile(path, MEGABYTE).close()
    with open_read_only(path) as db:
        assert [] == db.execute("SELECT * FROM owners").fetchall()


def test_a_journal_of_another_version_is_refused(path: Path) -> None:
    """A journal of another schema is refused, with both numbers: 99, not 1."""
    JournalFile(path, MEGABYTE).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(JournalError, match="has schema 99, not 2"):
        JournalFile(path, MEGABYTE)


def test_a_database_of_someone_else_is_refused(path: Path) -> None:
    """A database that holds tables but is no journal of this agent is refused as such."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(JournalError, match="no journal of this agent"):
        JournalFile(path, MEGABYTE)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """A file that is no SQLite database is refused with the advice to move it away."""
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(JournalError, match="move it away"):
        JournalFile(path, MEGABYTE)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A journal in a folder that is not there is refused as a place that cannot be written."""
    with pytest.raises(JournalError, match="cannot be written"):
        JournalFile(tmp_path / "missing" / "journal", MEGABYTE)


def test_a_committed_transaction_outlives_a_power_cut(path: Path) -> None:
    """Each commit waits for the disk: WAL with synchronous FULL (2)."""
    file = JournalFile(path, MEGABYTE)
    with file.transaction() as db:
        assert [("wal",), (2,)] == [
            db.execute("PRAGMA journal_mode").fetchone(),
            db.execute("PRAGMA synchronous").fetchone(),
        ]
    file.close()
