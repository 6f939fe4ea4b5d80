"""The journal: one transaction an observation, every hour a report, what the agent missed comes later."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.engine.clock import from_ms
from agent.engine.meter import Continuity
from agent.engine.observation import Observation, Series, SourceIdentity
from agent.engine.reading import Failure
from agent.journal.file import JournalFile
from metering.core.contract import Report
from tests.agent.world import BYTES, MEGABYTE, NOON, REQUESTS, Counters, Instance, Machine, latest, total

HOUR = timedelta(hours=1)


@pytest.fixture
def machine() -> Machine:
    return Machine(NOON + timedelta(minutes=10))


@pytest.fixture
def instance(tmp_path: Path, machine: Machine) -> Iterator[Instance]:
    with Instance(tmp_path / "journal", machine) as made:
        made.learn_the_time()
        yield made


@pytest.fixture
def source(machine: Machine) -> Counters:
    return Counters(machine, born=NOON - timedelta(days=1), totals={REQUESTS: 1000})


def test_an_amount_is_what_came_since_the_last_look(instance: Instance, source: Counters) -> None:
    """The first look is a baseline; four looks 15 s apart, 7 more at each, are 28 over 60 covered seconds."""
    instance.look(source.observe())
    for _ in range(4):
        source.grow(7)
        instance.machine.wait(15)
        instance.look(source.observe())
    (report,) = instance.drain()
    assert {"http_requests": 28} == report.counters
    assert 60 == report.sources["http"].covered_seconds
    assert "ok" == report.sources["http"].status


def test_the_same_observation_again_changes_nothing(instance: Instance, source: Counters) -> None:
    """An observation that comes again, alone or twice in one tick, adds nothing: 7 stay 7."""
    instance.look(source.observe({"active_devices": 4}))
    source.grow(7)
    instance.machine.wait(15)
    seen = source.observe({"active_devices": 4})
    assert {"http": Continuity.SAME} == instance.look(seen)
    instance.machine.wait(15)
    assert {} == instance.look(seen, seen)
    (report,) = instance.drain()
    assert 7 == report.counters["http_requests"]


def test_an_observation_that_went_through_is_not_counted_again_by_the_next_run(
    instance: Instance, source: Counters
) -> None:
    """The next run counts on from the last committed observation: 7 stay 7, and none of it is catch-up."""
    instance.look(source.observe())
    source.grow(7)
    instance.machine.wait(15)
    instance.look(source.observe())
    instance.restart()
    instance.machine.wait(15)
    instance.look(source.observe())
    (report,) = instance.drain()
    assert 7 == report.counters["http_requests"]
    assert report.sources["http"].catch_up_from is None


def test_building_takes_the_next_revision_and_freezes_the_bytes(instance: Instance, source: Counters) -> None:
    """A frozen revision keeps its bytes over a restart and new amounts, until the next one is built."""
    instance.look(source.observe())
    instance.journal.build()
    first = instance.frozen()
    instance.restart()
    again = instance.frozen()
    assert first == again
    source.grow(5)
    instance.machine.wait(15)
    instance.look(source.observe())
    assert first == instance.frozen()
    instance.journal.build()
    newest = instance.frozen()
    assert first is not None
    assert newest is not None
    assert (1, 2) == (first.revision, newest.revision)
    assert 5 == Report.model_validate_json(newest.body).counters["http_requests"]


def test_revisions_go_on_counting_after_a_restart(instance: Instance) -> None:
    """A journal opened again takes the next revision of its hour: 1, 2, 3, 4 over three restarts."""
    instance.look()
    revisions = [instance.drain()[0].revision]
    for _ in range(3):
        instance.restart()
        instance.look()
        revisions.append(instance.drain()[0].revision)
    assert [1, 2, 3, 4] == revisions


def test_an_hour_that_ended_gets_one_final_report_and_then_leaves_the_journal(
    instance: Instance, source: Counters
) -> None:
    """An hour that ended is reported as final once, observed to its very end, and never sent again."""
    instance.look(source.observe())
    source.grow(7)
    instance.live(2700)
    instance.look(source.observe())
    source.grow(11)
    instance.live(1800)
    instance.look(source.observe())
    reports = instance.drain()
    assert [(NOON, True), (NOON + HOUR, False)] == [(r.window_start, r.final) for r in reports]
    assert [7, 11] == [r.counters.get("http_requests", 0) for r in reports]
    assert (NOON + timedelta(minutes=10), NOON + HOUR) == (
        reports[0].observed_from,
        reports[0].observed_until,
    )
    assert [NOON + HOUR] == [r.window_start for r in instance.drain()]


def test_every_hour_in_which_the_agent_was_down_gets_an_empty_report(
    instance: Instance, source: Counters
) -> None:
    """Each hour that the agent was down gets a final report without counters, every source agent_down."""
    instance.look(source.observe())
    source.grow(40)
    instance.machine.wait(3 * 3600)
    instance.restart()
    instance.look(source.observe())
    down = instance.drain()[1:3]
    assert [NOON + HOUR, NOON + 2 * HOUR] == [report.window_start for report in down]
    for report in down:
        assert report.final
        assert {} == report.counters
        assert report.window_start == report.observed_from == report.observed_until
        assert {"agent": "agent_down", "http": "agent_down"} == {
            name: entry.status for name, entry in report.sources.items()
        }


def test_what_a_source_counted_while_the_agent_was_down_goes_to_the_hour_where_it_is_seen(
    instance: Instance, source: Counters
) -> None:
    """What came in 3 h of absence is in the hour of the next look, catch_up_from being the look before."""
    instance.look(source.observe())
    seen_at = instance.machine.true
    source.grow(40)
    instance.machine.wait(3 * 3600)
    instance.restart()
    instance.look(source.observe())
    report = latest(instance.drain())[-1]
    assert (NOON + 3 * HOUR, 40) == (report.window_start, report.counters["http_requests"])
    assert seen_at == report.sources["http"].catch_up_from


def test_what_a_source_counted_while_the_machine_was_suspended_is_catch_up_too(
    instance: Instance, source: Counters
) -> None:
    """Three hours of suspension are an absence: what came in them is catch-up of the hour after it."""
    instance.look(source.observe())
    seen_at = instance.machine.true
    source.grow(1000)
    instance.machine.suspend(3 * 3600)
    instance.look(source.observe())
    instance.machine.wait(15)
    source.grow(1)
    instance.look(source.observe())
    instance.journal.build()
    oldest = instance.frozen()
    assert oldest is not None
    assert NOON == from_ms(oldest.start_ms)
    # The hours of the absence have no answer yet: the one that catches up waits for them.
    last = instance.drain()[-1]
    assert (NOON + 3 * HOUR, 1001) == (last.window_start, last.counters["http_requests"])
    assert seen_at == last.sources["http"].catch_up_from


def test_what_was_observed_before_a_suspension_does_not_end_its_gap(
    instance: Instance, source: Counters
) -> None:
    """A reading made before a suspension and handled after it leaves the 40 of the gap catch-up."""
    instance.look(source.observe())
    instance.machine.wait(15)
    on_its_way = source.observe()
    instance.machine.suspend(3600)
    source.grow(40)
    instance.look(on_its_way)
    instance.machine.wait(15)
    instance.look(source.observe())
    instance.machine.wait(15)
    source.grow(2)
    instance.look(source.observe())
    assert {"http": {"http_requests": 40}} == instance.journal.snapshot()[0].hour.pending_catch_up()


def test_a_report_with_catch_up_waits_for_every_hour_from_the_gaps_first_on(
    instance: Instance, source: Counters
) -> None:
    """Catch-up goes out once every hour of its gap is delivered or quarantined, and not while one waits."""
    instance.look(source.observe())
    source.grow(40)
    instance.machine.wait(2 * 3600)
    instance.restart()
    instance.look(source.observe())
    instance.journal.build()
    order = []
    for _ in range(2):
        frozen = instance.frozen()
        assert frozen is not None
        order.append(frozen.start_ms)
        # Not answered yet: it does not let the one with the catch-up pass.
        instance.journal.postponed(frozen, "503", instance.journal.now_ms(instance.machine.moment()) + 1000)
    assert instance.frozen() is None
    instance.machine.wait(2)
    first = instance.frozen()
    assert first is not None
    instance.journal.delivered(first, instance.machine.moment())
    second = instance.frozen()
    assert second is not None
    instance.journal.quarantined(second, "422 invalid_report")
    third = instance.frozen()
    assert third is not None
    assert order == [first.start_ms, second.start_ms]
    assert third.start_ms > second.start_ms


def test_answered_catch_up_is_ours_and_holds_nothing_back(instance: Instance, source: Counters) -> None:
    """Once catch-up is answered it is pending no more, and the next revision of its hour goes out at once."""
    instance.look(source.observe())
    source.grow(40)
    instance.machine.wait(3600)
    instance.restart()
    instance.look(source.observe())
    instance.drain()
    look = instance.journal.snapshot()[0].hour
    assert {} == look.pending_catch_up()
    (report,) = instance.drain()
    assert report.sources["http"].catch_up_from is not None


def test_a_failing_source_keeps_its_last_value_and_says_what_is_wrong(
    instance: Instance, source: Counters
) -> None:
    """A source that fails says why and is covered no longer; the next good look covers all 315 s again."""
    instance.look(source.observe())
    instance.machine.wait(15)
    instance.look(failures=[Failure("http", "unreachable", "connection refused")])
    source.grow(9)
    instance.live(300)
    (broken,) = instance.drain()
    assert ("unreachable", "connection refused") == (
        broken.sources["http"].status,
        broken.sources["http"].detail,
    )
    assert broken.sources["http"].covered_seconds <= 15
    instance.look(source.observe())
    (whole,) = instance.drain()
    assert (9, "ok", 315) == (
        whole.counters["http_requests"],
        whole.sources["http"].status,
        whole.sources["http"].covered_seconds,
    )


def test_what_died_with_a_source_is_missing_from_its_covered_seconds(
    instance: Instance, source: Counters
) -> None:
    """A restarted source is covered from its birth on: the 10 s of its new life, not the 10 s before it."""
    instance.look(source.observe())
    instance.machine.wait(10)
    source.restart()
    instance.machine.wait(10)
    source.grow(3)
    instance.look(source.observe())
    (report,) = instance.drain()
    assert (3, 10) == (report.counters["http_requests"], report.sources["http"].covered_seconds)


def test_a_source_never_read_is_missing_not_zero(instance: Instance) -> None:
    """A source that could never be read has no counter at all and 0 covered seconds."""
    instance.look(failures=[Failure("influxdb", "unreachable", "connection refused")])
    (report,) = instance.drain()
    assert {} == report.counters
    assert ("unreachable", 0) == (
        report.sources["influxdb"].status,
        report.sources["influxdb"].covered_seconds,
    )


def test_someone_else_behind_the_address_is_flagged_and_adds_nothing(
    instance: Instance, source: Counters
) -> None:
    """A total of 50,000 behind an uptime that fits no restart adds 0 and is flagged source_identity."""
    instance.look(source.observe())
    instance.machine.wait(15)
    other = Observation(
        instance.machine.moment(), SourceIdentity(uptime_seconds=9_999_999), {REQUESTS: 50_000}
    )
    assert {"http": Continuity.SOMEONE_ELSE} == instance.look(other)
    (report,) = instance.drain()
    assert (0, ("source_identity",)) == (report.counters["http_requests"], report.sources["http"].flags)


def test_counters_without_an_identity_are_refused(instance: Instance) -> None:
    """Totals that come without an identity make no counter; their source is unidentified."""
    instance.look(Observation(instance.machine.moment(), None, {REQUESTS: 5}))
    (report,) = instance.drain()
    assert ({}, "unidentified") == (report.counters, report.sources["http"].status)


def test_levels_are_integrated_and_split_at_the_hour(instance: Instance, machine: Machine) -> None:
    """A level read every 15 s is integrated to the second and parted at the full hour: 3000 s and 600 s."""
    for step in range(4 * 60):
        instance.look(Observation(machine.moment(), None, gauges={"active_devices": 10 + step % 2}))
        machine.wait(15)
    instance.look()
    first, second = instance.drain()
    assert (3000, 600) == (first.gauges["active_devices"].seconds, second.gauges["active_devices"].seconds)
    assert 3000 * 10 + 1500 == first.gauges["active_devices"].integral
    assert 11 == first.gauges["active_devices"].max


def test_a_level_of_the_past_is_held_only_as_long_as_it_is_valid(
    instance: Instance, machine: Machine
) -> None:
    """A level that is not read again is held for the 45 s of its validity, though 600 s go by."""
    instance.look(Observation(machine.moment(), None, gauges={"active_devices": 10}))
    machine.wait(600)
    instance.look()
    (report,) = instance.drain()
    assert (45, 450) == (report.gauges["active_devices"].seconds, report.gauges["active_devices"].integral)
    assert 45 == report.sources["http"].covered_seconds


def test_one_bad_source_does_not_spoil_the_tick_of_another(instance: Instance, source: Counters) -> None:
    """A source with a negative total is malformed, and what another counted in that hour is unhurt."""
    instance.look(source.observe())
    source.grow(2)
    instance.machine.wait(15)
    bad = Observation(instance.machine.moment(), SourceIdentity(exact="x"), {Series("http_requests"): -1})
    instance.look(bad, name="broken")
    instance.look(source.observe())
    (report,) = instance.drain()
    assert (2, "malformed") == (report.counters["http_requests"], report.sources["broken"].status)


def test_a_source_that_is_switched_off_says_nothing_and_is_caught_up_when_it_is_back(
    instance: Instance, source: Counters
) -> None:
    """A source that is not enabled is in no report, and its 9 are counted once it is enabled again."""
    instance.look(source.observe())
    source.grow(9)
    instance.enabled = frozenset({"other"})
    instance.restart()
    instance.live(2 * 3600)
    assert "http" not in instance.drain()[-1].sources
    instance.enabled = None
    instance.restart()
    instance.look(source.observe())
    assert 9 == instance.drain()[-1].counters["http_requests"]


def only(instance: Instance, name: str) -> None:
    """A run in which this source alone is enabled."""
    instance.enabled = frozenset({name})
    instance.restart()
    instance.look()


def test_what_another_source_filled_meanwhile_is_not_caught_up(instance: Instance, source: Counters) -> None:
    """A scraper takes a source's place for a while and gives it back: 2,800 in all, not 5,200."""
    instance.look(source.observe({"mqtt_connections": 4}))
    for name, amount in (("http", 400), ("scraper", 0), ("scraper", 2400), ("http", 0), ("http", 7)):
        if name not in (instance.enabled or {"http"}):
            only(instance, name)
        source.grow(amount)
        instance.machine.wait(15)
        instance.look(source.observe({"mqtt_connections": 4}), name=name)
    (report,) = instance.drain()
    assert 2807 == report.counters["http_requests"]
    assert ("other_source",) == report.sources["http"].flags
    # The level is held by one at a time.
    assert 4 * 75 >= report.gauges["mqtt_connections"].integral


def test_a_source_that_only_waited_displaces_nobody(instance: Instance, source: Counters) -> None:
    """A scraper that was enabled and never reached anything has counted nothing: all is caught up."""
    instance.look(source.observe(), name="scraper")
    instance.machine.wait(15)
    only(instance, "http")
    instance.look(source.observe())
    only(instance, "scraper")
    own = {"scraper": {REQUESTS: 3}}
    instance.journal.tick(instance.machine.moment(), instance.machine.wall(), left=own)
    source.grow(9)
    instance.machine.wait(15)
    only(instance, "http")
    instance.look(source.observe())
    assert 9 == instance.drain()[-1].counters["http_requests"]


def test_only_the_metrics_that_had_another_owner_begin_anew(instance: Instance, source: Counters) -> None:
    """A source of two figures, one of which another source filled meanwhile: the other is caught up."""
    source.grow(1, BYTES)
    instance.look(source.observe())
    only(instance, "scraper")
    other = Counters(instance.machine, NOON - timedelta(days=2), totals={BYTES: 50})
    instance.look(other.observe(), name="scraper")
    source.grow(30)
    source.grow(5000, BYTES)
    other.grow(5000, BYTES)
    instance.machine.wait(15)
    instance.look(other.observe(), name="scraper")
    only(instance, "http")
    instance.look(source.observe())
    counters = instance.drain()[-1].counters
    assert (30, 5000) == (counters["http_requests"], counters["http_bytes_sent"])


def test_a_displaced_source_that_restarted_begins_anew_too(instance: Instance, source: Counters) -> None:
    """What it has counted since its restart, the other one has counted as well."""
    instance.look(source.observe())
    only(instance, "scraper")
    instance.look(source.observe(), name="scraper")
    instance.machine.wait(15)
    source.restart()
    instance.machine.wait(15)
    source.grow(70)
    instance.look(source.observe(), name="scraper")
    only(instance, "http")
    instance.look(source.observe())
    assert 70 == instance.drain()[-1].counters["http_requests"]


def test_an_hour_that_no_report_can_carry_is_put_aside_and_blocks_no_other(
    instance: Instance, source: Counters
) -> None:
    """An hour whose sum exceeds 63 bits is quarantined with its field named, and the next ones go out."""
    instance.look(source.observe())
    for _ in range(3):
        source.grow(2**62)
        instance.machine.wait(15)
        instance.look(source.observe())
        source.restart()
        instance.machine.wait(15)
        instance.look(source.observe())
    instance.live(2 * 3600)
    assert [NOON + HOUR, NOON + 2 * HOUR] == [report.window_start for report in instance.drain()]
    waiting = instance.journal.snapshot()[2]
    assert 1 == waiting.quarantined
    assert "counters.http_requests" in waiting.problems[0][1]


def test_a_month_of_hours_without_an_answer_stays_small_and_complete(
    instance: Instance, source: Counters, machine: Machine
) -> None:
    """A month without an answer keeps 744 final reports to send, with every amount, in less than 4 MB."""
    instance.look(source.observe({"active_devices": 7}))
    for _ in range(31 * 24):
        source.grow(1)
        machine.wait(3600)
        instance.look(source.observe({"active_devices": 7}))
    reports = [report for report in instance.drain() if report.final]
    assert 31 * 24 == len(reports)
    assert 31 * 24 - 1 == total(reports)
    assert instance.path.stat().st_size < 4 * MEGABYTE


def test_the_state_id_fits_the_contract_and_stays_with_the_file(instance: Instance) -> None:
    """The state id is at most 36 letters and digits, and the same when the journal is opened again."""
    before = instance.journal.state_id
    assert len(before) <= 36
    assert before.isalnum()
    instance.restart()
    assert before == instance.journal.state_id


def test_a_transaction_that_breaks_off_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    """A transaction that ends in an error leaves no row behind."""
    file = JournalFile(tmp_path / "journal", MEGABYTE)

    def break_off() -> None:
        with file.transaction() as db:
            db.execute("INSERT INTO sources (name, state) VALUES ('http', '{}')")
            raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        break_off()
    with file.transaction() as db:
        assert [(0,)] == db.execute("SELECT count(*) FROM sources").fetchall()
    file.close()
