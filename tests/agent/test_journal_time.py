"""Hours run by the service's clock; until it is known they are provisional and find their places later."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.clock import HOUR_MS, Timeline, to_ms
from agent.engine.hour import MeasuredHour
from agent.engine.meter import Continuity
from agent.engine.observation import Moment, Observation
from agent.journal.placing import in_sequence, moved
from tests.agent.world import NOON, REQUESTS, Counters, Instance, Machine, latest, total

HOUR = timedelta(hours=1)
type Start = Callable[[Machine], Instance]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    instances: list[Instance] = []

    def begin(machine: Machine) -> Instance:
        instances.append(Instance(tmp_path / "journal", machine))
        return instances[-1]

    yield begin
    for instance in instances:
        instance.journal.close()


def old_source(machine: Machine) -> Counters:
    return Counters(machine, born=NOON - timedelta(days=1), totals={REQUESTS: 1000})


def test_an_answer_moves_the_timeline_only_as_far_as_it_must() -> None:
    """An answer moves the timeline to the near end of what it vouches for, and not at all from inside."""
    begin = Moment("b", 0, 0)
    asked, answered = Moment("b", 10**10, 0), Moment("b", 10**10 + 5 * 10**8, 0)
    timeline = Timeline(begin, to_ms(NOON), known=False)
    # 10.5 s later the answer says 12:00:10: true for any clock between 12:00:10.000 and 12:00:11.500.
    agreed = timeline.synchronized(NOON + timedelta(seconds=10), asked, answered)
    assert (True, to_ms(NOON) + 10_500) == (agreed.known, agreed.at(answered))
    ahead = timeline.synchronized(NOON + timedelta(seconds=20), asked, answered)
    assert to_ms(NOON) + 20_000 == ahead.at(answered)
    behind = timeline.synchronized(NOON - timedelta(seconds=20), asked, answered)
    assert to_ms(NOON) - 20_000 + 1500 == behind.at(answered)


def test_provisional_hours_are_not_sent(start: Start) -> None:
    """Before the service's first answer no hour is sent, though two of them are over."""
    instance = start(Machine())
    instance.live(2 * 3600)
    assert [] == instance.drain()
    assert instance.journal.provisional


@pytest.mark.parametrize(
    "off",
    [timedelta(days=-20_000), timedelta(days=-3), timedelta(seconds=-90), timedelta(0), timedelta(days=400)],
    ids=str,
)
def test_hours_by_a_wrong_wall_clock_move_to_their_places_once_the_time_is_known(
    start: Start, off: timedelta
) -> None:
    """Hours by a clock that is off by -20,000 to +400 days move to their true places, 15 in all."""
    machine = Machine(NOON + timedelta(minutes=2), off)
    source = old_source(machine)
    instance = start(machine)
    instance.look(source.observe())
    for _ in range(3):
        source.grow(5)
        instance.live(3600)
        instance.look(source.observe())
    instance.learn_the_time()
    instance.live(3600)
    reports = instance.drain()
    assert [NOON + hour * HOUR for hour in range(5)] == [report.window_start for report in reports]
    assert 15 == total(reports)
    assert all(
        report.window_start <= report.observed_from <= report.observed_until <= report.window_start + HOUR
        for report in reports
    )


def test_an_hour_by_the_wall_clock_joins_the_one_from_before_the_reboot(start: Start) -> None:
    """Amounts of one hour before and after a reboot, 5 and 7, add up to one report of the whole span."""
    machine = Machine(NOON + timedelta(minutes=10))
    source = old_source(machine)
    instance = start(machine)
    instance.learn_the_time()
    instance.look(source.observe({"active_devices": 2}))
    source.grow(5)
    instance.live(600)
    instance.look(source.observe({"active_devices": 2}))
    machine.reboot(120)
    source.restart()
    machine.wait(20)
    instance.restart()
    source.grow(7)
    instance.look(source.observe({"active_devices": 2}))
    instance.live(300)
    assert [] == instance.drain()
    instance.learn_the_time()
    instance.look()
    (report,) = instance.drain()
    assert (NOON, 12) == (report.window_start, report.counters["http_requests"])
    assert (NOON + timedelta(minutes=10), machine.true) == (report.observed_from, report.observed_until)


def test_in_the_same_boot_a_restarted_agent_still_knows_the_time(start: Start) -> None:
    """A restart in the same boot knows the service's time at once, though the wall clock is 3 days off."""
    machine = Machine(off=timedelta(days=-3))
    instance = start(machine)
    instance.learn_the_time()
    instance.look()
    machine.wait(100)
    instance.restart()
    assert not instance.journal.provisional
    assert to_ms(machine.true) == instance.journal.now_ms(machine.moment())


def test_after_a_reboot_an_uptime_that_could_be_the_same_waits_for_the_time(start: Start) -> None:
    """After a reboot an uptime is time_unknown, not a restart; once the time is known its 30 are counted."""
    machine = Machine()
    source = old_source(machine)
    instance = start(machine)
    instance.learn_the_time()
    instance.look(source.observe())
    # A broker elsewhere that runs on while our machine reboots and wakes up with a wrong clock.
    source.grow(30)
    machine.off = timedelta(hours=-5)
    machine.reboot(600)
    instance.restart()
    assert {"http": Continuity.UNDECIDED} == instance.look(source.observe())
    assert "time_unknown" == instance.journal.snapshot()[0].hour.sources["http"].status
    instance.learn_the_time()
    machine.wait(15)
    assert {"http": Continuity.SAME} == instance.look(source.observe())
    (report,) = instance.drain()
    assert 30 == report.counters["http_requests"]


def test_without_a_service_the_wall_clock_is_the_time(tmp_path: Path) -> None:
    """Where the wall clock is the truth, an uptime is judged at once after a reboot and its 30 counted."""
    machine = Machine()
    source = old_source(machine)
    with Instance(tmp_path / "journal", machine, wall_is_truth=True) as instance:
        instance.look(source.observe())
        source.grow(30)
        machine.reboot(600)
        instance.restart()
        assert {"http": Continuity.SAME} == instance.look(source.observe())
        assert 30 == instance.journal.snapshot()[0].hour.counters["http_requests"]


def test_the_hour_never_goes_back(start: Start) -> None:
    """When the service's time falls back by 5 minutes, counting goes on in the hour that has begun."""
    machine = Machine(NOON + timedelta(minutes=59, seconds=50))
    source = old_source(machine)
    source.tells_start = True
    instance = start(machine)
    instance.learn_the_time()
    instance.look(source.observe({"active_devices": 3}))
    machine.wait(15)
    instance.look(source.observe({"active_devices": 3}))
    machine.true -= timedelta(minutes=5)
    instance.learn_the_time()
    source.grow(4)
    machine.wait(15)
    instance.look(source.observe({"active_devices": 3}))
    reports = instance.drain()
    assert [NOON, NOON + HOUR] == [report.window_start for report in reports]
    assert 4 == reports[1].counters["http_requests"]
    assert 5 == reports[1].gauges["active_devices"].seconds


def test_a_reboot_with_a_clock_in_the_past_goes_on_where_the_journal_was(start: Start) -> None:
    """After a reboot into the past, time goes on one millisecond after the journal's last instant."""
    machine = Machine(NOON + timedelta(minutes=10))
    instance = start(machine)
    instance.learn_the_time()
    instance.look()
    machine.off = timedelta(days=-20_000)
    machine.reboot(60)
    instance.restart()
    assert to_ms(NOON + timedelta(minutes=10)) + 1 == instance.journal.now_ms(machine.moment())


def test_a_wall_clock_that_is_off_by_more_than_a_minute_is_reported(start: Start) -> None:
    """A wall clock 62 s off flags its hour clock_skew, one 58 s off flags nothing."""
    machine = Machine(off=timedelta(seconds=62))
    instance = start(machine)
    instance.learn_the_time()
    instance.look()
    machine.off = timedelta(seconds=58)
    (report,) = instance.drain()
    assert ("clock_skew",) == report.sources["agent"].flags
    instance.live(3600)
    assert "agent" not in latest(instance.drain())[-1].sources


def test_a_suspended_machine_leaves_empty_hours_and_counts_what_went_on_elsewhere(start: Start) -> None:
    """Two hours asleep leave an hour that is agent_down; the 21 counted meanwhile are in the hour after."""
    machine = Machine(NOON + timedelta(minutes=10))
    source = old_source(machine)
    instance = start(machine)
    instance.learn_the_time()
    instance.look(source.observe())
    source.grow(21)
    machine.suspend(2 * 3600)
    instance.look(source.observe())
    reports = instance.drain()
    assert ["ok", "agent_down"] == [report.sources["http"].status for report in reports[:2]]
    assert [0, 0, 21] == [report.counters.get("http_requests", 0) for report in reports]


def test_a_clock_years_ahead_does_not_make_up_hours_beyond_the_reports_retention(start: Start) -> None:
    """A service time 1000 days ahead makes no more hours than the 400 days that reports are kept."""
    machine = Machine()
    instance = start(machine)
    instance.learn_the_time()
    instance.look()
    machine.true += timedelta(days=1000)
    instance.learn_the_time()
    instance.look()
    assert 400 * 24 + 2 == instance.journal.snapshot()[2].hours


def test_one_answer_that_is_six_hours_wrong_moves_nothing(start: Start) -> None:
    """A jump of more than five minutes needs a second answer: levels and counters stay in their hour."""
    machine = Machine(NOON + timedelta(minutes=10))
    source = old_source(machine)
    instance = start(machine)
    instance.learn_the_time()
    instance.look(source.observe({"active_devices": 4}))
    for wrong in (timedelta(hours=6), timedelta(0), timedelta(hours=-6)):
        now = machine.moment()
        taken = instance.journal.synchronize(machine.true + wrong, now, now)
        assert (wrong == timedelta(0)) == taken
        source.grow(5)
        machine.wait(15)
        instance.look(source.observe({"active_devices": 4}))

    (report,) = instance.drain()
    assert (NOON, 15) == (report.window_start, report.counters["http_requests"])
    assert 4 * 45 == report.gauges["active_devices"].integral


def test_a_jump_that_a_second_answer_agrees_with_is_made(start: Start) -> None:
    """Six hours that two answers tell are six hours; two wrong answers that differ are none."""
    machine = Machine(NOON + timedelta(minutes=10))
    instance = start(machine)
    instance.learn_the_time()
    instance.look()
    for hours, taken in ((6, False), (-6, False), (6, False), (6, True)):
        machine.wait(15)
        now = machine.moment()
        assert taken == instance.journal.synchronize(machine.true + hours * HOUR, now, now)
    instance.look()

    assert NOON + 6 * HOUR == instance.drain()[-1].window_start


def test_the_first_answer_of_a_boot_is_doubted_too(start: Start) -> None:
    """Provisional hours are not moved by six hours on one server's word."""
    machine = Machine(NOON + timedelta(minutes=10))
    instance = start(machine)
    instance.look()
    now = machine.moment()

    assert not instance.journal.synchronize(machine.true + 6 * HOUR, now, now)
    assert instance.journal.provisional
    assert instance.journal.synchronize(machine.true, now, now)
    assert NOON == instance.drain()[0].window_start


@given(st.integers(-400 * 24 * HOUR_MS, 400 * 24 * HOUR_MS), st.integers(1, 60))
def test_moved_hours_stay_in_order_and_never_reach_into_the_future(offset_ms: int, count: int) -> None:
    """Moved hours follow one another without a gap up to the open one, and no amount is lost."""
    first = to_ms(NOON)
    hours = [
        MeasuredHour(first + index * HOUR_MS, counters={"http_requests": index}) for index in range(count)
    ]
    open_ms = to_ms(NOON) + offset_ms + count * HOUR_MS
    open_ms -= open_ms % HOUR_MS
    placed = [moved(hour, offset_ms, 0, open_ms - 30 * HOUR_MS, open_ms) for hour in hours]
    sequence = in_sequence(placed, open_ms, ["http"])
    starts = [hour.start_ms for hour in sequence]
    assert list(range(starts[0], open_ms + 1, HOUR_MS)) == starts
    assert sum(range(count)) == sum(hour.counters.get("http_requests", 0) for hour in sequence)


def test_an_observation_is_placed_when_it_was_made_not_when_it_is_handled(start: Start) -> None:
    """A level counts from when it was read: all 25 s, though its tick came 10 s later."""
    machine = Machine(NOON + timedelta(minutes=30))
    instance = start(machine)
    instance.learn_the_time()
    instance.look()
    seen = Observation(machine.moment(), None, gauges={"active_devices": 6})
    machine.wait(10)
    instance.look(seen)
    machine.wait(15)
    instance.look()
    (report,) = instance.drain()
    assert 25 == report.gauges["active_devices"].seconds
