"""Two journals with one name: cloned machines and restored copies bill every request once."""

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.engine.hour import MeasuredHour, SourceHour
from agent.journal.fork import parted
from tests.agent.rig import EVERY, Rig
from tests.agent.service import Service
from tests.agent.world import NOON, Counters, Machine

HOUR = timedelta(hours=1)
type Make = Callable[[Path, Machine], Rig]


@pytest.fixture
def machine() -> Machine:
    return Machine(NOON + timedelta(minutes=5))


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    with Service(lambda: machine.true) as running:
        yield running


@pytest.fixture
def make(service: Service) -> Iterator[Make]:
    rigs: list[Rig] = []

    def begin(path: Path, machine: Machine) -> Rig:
        rigs.append(Rig(path, service, machine))
        return rigs[-1]

    yield begin
    for rig in rigs:
        rig.close()


def copy(rig: Rig, to: Path) -> Path:
    """The journal as a backup tool finds it between two transactions."""
    for suffix in ("", "-wal"):
        source = rig.instance.path.with_name(rig.instance.path.name + suffix)
        if source.exists():
            shutil.copy(source, to.with_name(to.name + suffix))
    return to


def live(rig: Rig, amount: int, seconds: int) -> None:
    """Count evenly over a span, with the sender at work; ``amount`` a quarter of an hour."""
    for _ in range(seconds // EVERY):
        rig.count(amount, EVERY)
        rig.talk()


def restored(rig: Rig, kept: Path) -> None:
    """Stop the agent and put the kept copy of the journal in place of its own."""
    rig.instance.journal.close()
    for suffix in ("", "-wal", "-shm"):
        rig.instance.path.with_name(rig.instance.path.name + suffix).unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        source = kept.with_name(kept.name + suffix)
        if source.exists():
            shutil.copy(source, rig.instance.path.with_name(rig.instance.path.name + suffix))
    rig.instance.journal = rig.instance._open()
    rig.sender = rig._sender()


@pytest.mark.parametrize("copied_at", [900, 3600, 4500])
@pytest.mark.parametrize("lived_on", [900, 2700, 7200])
def test_a_journal_restored_from_a_copy_bills_nothing_twice_and_loses_only_its_absence(
    tmp_path: Path, machine: Machine, service: Service, make: Make, copied_at: int, lived_on: int
) -> None:
    """A journal put back from a copy up to 2 h old forks, and what is billed is what the source counted."""
    rig = make(tmp_path / "journal", machine)
    rig.instance.look(rig.source.observe())
    live(rig, 10, copied_at)
    kept = copy(rig, tmp_path / "kept")
    live(rig, 10, lived_on)
    rig.talk()
    billed_before = service.billed()
    assert rig.source.truth == billed_before
    before = rig.source.truth
    restored(rig, kept)
    rig.instance.look()
    # The first look after the restoration catches up what the lost journal had reported already.
    rig.count(0, 60)
    rig.talk()
    live(rig, 10, 3600)
    live(rig, 0, 3600)
    assert "journal_forked" in rig.instance.journal.snapshot()[3]
    assert rig.source.truth == service.billed()
    assert before < service.billed()


def test_a_cloned_machine_with_the_same_broker_bills_it_once(
    tmp_path: Path, machine: Machine, service: Service, make: Make
) -> None:
    """A clone that reads the same broker takes a name of its own, and each amount is billed once."""
    original = make(tmp_path / "one", machine)
    original.instance.look(original.source.observe())
    live(original, 10, 3600)
    twin = make(copy(original, tmp_path / "two"), machine)
    twin.source = original.source
    twin.instance.look(twin.source.observe())
    for amount in [10] * 12 + [0] * 4:
        original.source.grow(amount)
        machine.wait(EVERY)
        for rig in (original, twin):
            rig.instance.look(rig.source.observe())
            rig.talk()
    assert original.source.truth == service.billed()
    assert original.instance.journal.state_id != twin.instance.journal.state_id


def test_after_a_fork_unsent_catch_up_is_withdrawn_and_said_so(
    tmp_path: Path, machine: Machine, service: Service, make: Make
) -> None:
    """A fork takes unanswered catch-up back to 0, and flags it catch_up_withdrawn and journal_forked."""
    rig = make(tmp_path / "journal", machine)
    rig.instance.look(rig.source.observe())
    live(rig, 10, EVERY)
    kept = copy(rig, tmp_path / "kept")
    live(rig, 10, 3600)
    restored(rig, kept)
    rig.count(0, 15)
    caught_up = rig.instance.journal.snapshot()[0].hour
    assert 40 == caught_up.counters["http_requests"]
    rig.talk()
    hour = rig.instance.journal.snapshot()[0].hour
    assert 0 == hour.counters["http_requests"]
    assert "catch_up_withdrawn" in hour.sources["http"].flags
    assert hour.sources["http"].catch_up_from_ms is None
    assert {"journal_forked"} <= hour.sources["agent"].flags


def test_after_a_fork_a_source_not_seen_in_this_run_starts_from_a_baseline(
    tmp_path: Path, machine: Machine, service: Service, make: Make
) -> None:
    """After a fork a source not yet read in this run begins at a baseline: its 1000 add nothing."""
    rig = make(tmp_path / "journal", machine)
    other = Counters(machine, NOON - timedelta(days=2))
    rig.instance.look(rig.source.observe())
    rig.instance.look(other.observe(), name="other")
    live(rig, 10, EVERY)
    kept = copy(rig, tmp_path / "kept")
    live(rig, 10, EVERY)
    restored(rig, kept)
    rig.count(0, 15)
    rig.talk()
    other.grow(1000)
    machine.wait(15)
    rig.instance.look(other.observe(), name="other")
    assert 0 == rig.instance.journal.snapshot()[0].hour.counters["http_requests"]


def test_a_fork_survives_a_kill_right_after_it(
    tmp_path: Path, machine: Machine, service: Service, make: Make
) -> None:
    """An agent killed right after a fork keeps its new name, and bills exactly what the source counted."""
    rig = make(tmp_path / "journal", machine)
    rig.instance.look(rig.source.observe())
    live(rig, 10, EVERY)
    kept = copy(rig, tmp_path / "kept")
    live(rig, 10, 3600)
    restored(rig, kept)
    rig.count(0, 60)
    rig.talk()
    name = rig.instance.journal.state_id
    rig.restart()
    assert name == rig.instance.journal.state_id
    live(rig, 10, 3600)
    live(rig, 0, 3600)
    assert rig.source.truth == service.billed()


def test_a_second_fork_keeps_apart_what_the_first_had_parted(
    tmp_path: Path, machine: Machine, service: Service, make: Make
) -> None:
    """Two forks in a row, what the first one parted still unsent, bill exactly what the source counted."""
    rig = make(tmp_path / "journal", machine)
    rig.instance.look(rig.source.observe())
    live(rig, 10, EVERY)
    kept = copy(rig, tmp_path / "kept")
    live(rig, 10, EVERY)
    restored(rig, kept)
    rig.count(0, 60)
    # Two forks in a row: the second one meets the part that goes by a name of its own, still unsent.
    rig.sender._introduce()
    for _ in range(2):
        rig.instance.journal.build()
        frozen = rig.instance.frozen()
        assert frozen is not None
        rig.instance.journal.fork(frozen)
    live(rig, 10, 3600)
    live(rig, 0, 3600)
    assert rig.source.truth == service.billed()


def test_a_second_fork_in_one_run_takes_nothing_away_twice(
    tmp_path: Path, machine: Machine, service: Service, make: Make
) -> None:
    """The copy of a journal that had forked, and was counting on, runs beside it on an idle machine."""
    rig = make(tmp_path / "journal", machine)
    rig.instance.look(rig.source.observe())
    live(rig, 100, EVERY)
    kept = copy(rig, tmp_path / "kept")
    live(rig, 10, EVERY)
    restored(rig, kept)
    rig.count(0, 60)
    live(rig, 10, EVERY)
    first = rig.instance.journal.state_id
    twin = make(copy(rig, tmp_path / "two"), machine)
    twin.source = Counters(machine, rig.source.born, totals=dict(rig.source.totals))
    twin.count(0, 15)
    twin.talk()
    live(rig, 1, 3600)
    live(rig, 0, 3600)
    waiting = rig.instance.journal.snapshot()[2]
    assert first != rig.instance.journal.state_id
    assert (0, ()) == (waiting.quarantined, waiting.problems)
    assert rig.source.truth == service.billed()


def test_the_hour_in_which_the_run_began_is_parted_at_that_moment() -> None:
    """What a run found, 30, ends where the run began; what it counted itself, 12, begins there."""
    carried = MeasuredHour(
        0, 0, 600_000, {"http_requests": 30}, sources={"http": SourceHour("ok", covered_ms=600_000)}
    )
    now = carried.plus(MeasuredHour(0, None, 3_000_000, {"http_requests": 12}))
    parts = parted([now], carried, run_from_ms=2_000_000)
    assert parts.found is not None
    assert (30, 0, 2_000_000) == (
        parts.found.counters["http_requests"],
        parts.found.observed_from_ms,
        parts.found.observed_until_ms,
    )
    (own,) = parts.own
    assert (12, 2_000_000, 3_000_000) == (
        own.counters["http_requests"],
        own.observed_from_ms,
        own.observed_until_ms,
    )
