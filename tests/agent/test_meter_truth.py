"""Whatever happens to source, agent and machine: the sum of the hours is what the source counted."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.engine.clock import hour_of, to_ms
from agent.engine.hour import MeasuredHour
from agent.engine.meter import Continuity
from agent.engine.reading import Failure, SourceReading
from agent.engine.tally import Tally
from tests.agent.world import BYTES, NOON, REQUESTS, Counters, Machine

STEPS = st.one_of(
    st.tuples(st.just("grow"), st.integers(1, 10**9)),
    st.tuples(st.just("wait"), st.integers(1, 5000)),
    st.tuples(st.just("suspend"), st.integers(1, 20_000)),
    st.tuples(st.just("poll"), st.just(0)),
    st.tuples(st.just("poll again"), st.just(0)),
    st.tuples(st.just("unreachable"), st.just(0)),
    st.tuples(st.just("source restarts"), st.integers(10, 300)),
    st.tuples(st.just("agent restarts"), st.just(0)),
    st.tuples(st.just("machine reboots"), st.integers(20, 9000)),
)


class History:
    """A source, an agent's tally, and the amount that no agent could have seen."""

    def __init__(self, *, tells_start: bool) -> None:
        self.machine = Machine()
        born = NOON - timedelta(seconds=40)
        self.source = Counters(self.machine, born, totals={REQUESTS: 12, BYTES: 3400})
        self.source.tells_start = tells_start
        self.missed = 0
        self.unseen = 0
        self.closed: list[MeasuredHour] = []
        start_ms = to_ms(NOON)
        self.tally = Tally(1, start_ms, MeasuredHour(hour_of(start_ms)))
        self.last = self.source.observe({"active_devices": 5})
        self.poll()

    def poll(self) -> Continuity | None:
        self.machine.wait(1)
        self.last = self.source.observe({"active_devices": 5})
        self.unseen = 0
        return self.take()

    def take(self) -> Continuity | None:
        self.tally = self.tally.copy()
        now_ms = to_ms(self.machine.true)
        self.tally.advance(now_ms, 60_000)
        reading = SourceReading("http", self.last, 45).timed(now_ms, self.machine.wall(), known=True)
        continuity = self.tally.take(reading)
        self.closed += self.tally.closed
        self.tally.closed = []
        return continuity

    def apply(self, step: str, number: int) -> None:
        match step:
            case "grow":
                self.source.grow(number, REQUESTS if number % 2 else BYTES)
                self.unseen += number
            case "wait":
                self.machine.wait(number)
            case "suspend":
                self.machine.suspend(number)
            case "poll":
                assert self.poll() is not Continuity.SOMEONE_ELSE
            case "poll again":
                before = (dict(self.tally.hour.counters), len(self.closed))
                if self.take() is None and len(self.closed) == before[1]:
                    assert before[0] == self.tally.hour.counters
            case "unreachable":
                self.tally.fail(Failure("http", "unreachable", "connection refused"))
            case "source restarts":
                self.crash()
                self.machine.wait(number)
                self.source.restart()
                self.machine.wait(10)
            case "agent restarts":
                self.tally = Tally(self.tally.run + 1, self.tally.now_ms, self.tally.hour, self.tally.sources)
            case _:
                self.crash()
                self.machine.reboot(number)
                self.source.restart()
                self.machine.wait(10)
                self.apply("agent restarts", 0)

    def crash(self) -> None:
        """What the source counted since it was last seen dies with it."""
        self.missed += self.unseen
        self.unseen = 0


@settings(deadline=None, max_examples=200)
@given(st.lists(STEPS, max_size=40))
def test_with_a_start_time_all_is_counted_but_what_died_with_the_source(
    steps: list[tuple[str, int]],
) -> None:
    """With a start time the hours add up to what the source counted, less what died with it unseen."""
    check(History(tells_start=True), steps)


@settings(deadline=None, max_examples=200)
@given(st.lists(STEPS, max_size=40))
def test_with_an_uptime_all_is_counted_on_a_machine_that_does_not_sleep(
    steps: list[tuple[str, int]],
) -> None:
    """With an uptime alone the hours add up likewise, provided that the machine never suspends."""
    # A life that begins just before a machine sleeps can have the very uptime of the former one, since
    # uptimes of some sources stop in sleep: then nothing tells them apart, and no amount is made up.
    check(History(tells_start=False), [step for step in steps if step[0] != "suspend"])


def check(history: History, steps: list[tuple[str, int]]) -> None:
    for step, number in steps:
        history.apply(step, number)
    history.poll()
    hours = [*history.closed, history.tally.hour]
    counted = sum(amount for hour in hours for amount in hour.counters.values())
    assert history.source.truth - history.missed == counted
    starts = [hour.start_ms for hour in hours]
    assert list(range(starts[0], starts[-1] + 1, 3_600_000)) == starts
    for hour in hours:
        assert all(0 <= entry.covered_ms <= 3_600_000 for entry in hour.sources.values())
        assert all(gauge.covered_ms <= 3_600_000 for gauge in hour.gauges.values())
