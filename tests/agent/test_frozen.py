"""An agent that was frozen reads a broker's uptime late; the broker is still the same one."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from agent.engine.hour import MeasuredHour
from agent.engine.meter import Continuity, Elapsed, is_same_life, lateness_ms
from agent.engine.observation import Observation, Series, SourceIdentity
from agent.engine.source_state import SourceState
from agent.journal import rows
from agent.journal.file import open_read_only
from local.measuring.mqtt_wire import WireClient
from local.services.mosquitto import Mosquitto
from testing.waiting import wait_for
from tests.agent.process import Agent
from tests.agent.world import NOON, Counters, Instance, Machine

BYTES = Series("mqtt_bytes_received")
DAY_MS = 86_400_000
ROUND_SECONDS = 9
FROZEN_SECONDS = 16
"""One round comes meanwhile and is read 7 s late: more than the 5 s that any uptime may be off."""


@pytest.fixture
def machine() -> Machine:
    return Machine(NOON + timedelta(minutes=10))


@pytest.fixture
def instance(tmp_path: Path, machine: Machine) -> Iterator[Instance]:
    with Instance(tmp_path / "journal", machine) as made:
        made.learn_the_time()
        yield made


def test_a_round_read_late_after_29_frozen_seconds_loses_nothing(instance: Instance) -> None:
    """Rounds of 11 s, 460,000 bytes each; one is read 7 s late, the next in time.

    The first has grown too little for the span, the next too much: each was taken for someone else.
    """
    machine = instance.machine

    def broker(uptime: int, total: int) -> Observation:
        return Observation(machine.moment(), SourceIdentity(uptime_seconds=uptime), {BYTES: total})

    instance.look(broker(5000, 7_000_000))
    seen = []
    for seconds, uptime, rounds in ((29, 5022, 2), (4, 5033, 3), (11, 5044, 4)):
        machine.wait(seconds)
        seen.append(instance.look(broker(uptime, 7_000_000 + rounds * 460_000))["http"])

    (report,) = instance.drain()
    assert [Continuity.SAME] * 3 == seen
    assert (1_840_000, ()) == (report.counters["mqtt_bytes_received"], report.sources["http"].flags)


@pytest.mark.parametrize("drift_seconds", [-17, 17])
def test_ten_days_of_absence_at_20_ppm_of_drift_are_caught_up(instance: Instance, drift_seconds: int) -> None:
    """The broker's clock and ours part by 17 s in ten days: the tolerance grows with the span."""
    source = Counters(instance.machine, NOON - timedelta(days=1))
    instance.look(source.observe())
    source.grow(900)
    instance.machine.wait(864_000)
    assert source.born is not None
    source.born -= timedelta(seconds=drift_seconds)
    instance.restart()

    assert {"http": Continuity.SAME} == instance.look(source.observe())
    assert 900 == instance.drain()[-1].counters["http_requests"]


def test_drift_alone_is_no_lateness() -> None:
    """A broker whose clock runs 20 ppm slow for a year leaves no room for an uptime that grew too fast."""
    late_ms, day = 0, Elapsed(DAY_MS, DAY_MS)
    for number in range(365):
        slow_seconds = round(86_400 * (1 - 20e-6)) - number % 2
        late_ms = lateness_ms(0, slow_seconds, day, late_ms)

    assert 0 == late_ms
    assert not is_same_life(0, 86_400 + 15, day, late_ms)


def test_what_was_read_late_may_be_caught_up_once() -> None:
    """An uptime that grew by more than the span is the same life's only as far as the last was late."""
    late_ms = lateness_ms(5000, 5022, Elapsed(29_000, 29_000))
    four = Elapsed(4_000, 4_000)

    assert 7_000 == late_ms
    assert is_same_life(5022, 5033, four, late_ms)
    assert 0 == lateness_ms(5022, 5033, four, late_ms)
    assert not is_same_life(5033, 5044, four)


def test_a_broker_that_restarted_while_the_agent_was_frozen_is_followed(instance: Instance) -> None:
    """Its new life is read late, too: the round after it has grown more than the span, and is the same."""
    machine = instance.machine

    def broker(uptime: int, total: int) -> Observation:
        return Observation(machine.moment(), SourceIdentity(uptime_seconds=uptime), {BYTES: total})

    instance.look(broker(5000, 7_000_000))
    machine.wait(50)
    restarted = instance.look(broker(32, 1000))
    machine.wait(3)
    followed = instance.look(broker(43, 1500))

    assert [Continuity.RESTARTED, Continuity.SAME] == [restarted["http"], followed["http"]]
    assert 1500 == instance.drain()[0].counters["mqtt_bytes_received"]


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that does not run."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def kept(agent: Agent) -> tuple[SourceState | None, list[MeasuredHour]]:
    """What the journal remembers of the broker, and its hours."""
    with open_read_only(agent.journal) as db:
        return rows.read_sources(db).get("mqtt"), rows.read_hours(db, provisional=True)


def uptime(state: SourceState) -> int:
    """The uptime that the agent has counted last."""
    assert state.identity is not None
    assert state.identity.uptime_seconds is not None
    return state.identity.uptime_seconds


def later_round(agent: Agent, than: SourceState | None = None) -> SourceState:
    """The first round that the agent has counted after another one."""

    def come() -> bool:
        state = kept(agent)[0]
        return state is not None and (than is None or state.at != than.at)

    wait_for(come, "a round")
    state = kept(agent)[0]
    assert state is not None
    return state


def test_an_agent_stopped_by_a_signal_counts_every_byte_of_the_same_broker(tmp_path: Path) -> None:
    """SIGSTOP for longer than a round: neither the late uptime nor the one after it is someone else's."""
    with Mosquitto(tmp_path / "mosquitto", sys_interval=ROUND_SECONDS - 1) as broker:
        agent = Agent(
            tmp_path,
            None,
            MQTT_HOST="127.0.0.1",
            MQTT_PORT=str(broker.port),
            MQTT_USERNAME=broker.username,
            MQTT_PASSWORD=broker.password,
        )
        with agent, WireClient(broker.port, "device", broker.username, broker.password) as device:
            wait_for(lambda: "open hour" in agent.run("status").stdout, "the first tick")
            last = later_round(agent)
            while uptime(last) <= FROZEN_SECONDS:  # a younger life could have begun within the span
                last = later_round(agent, last)
            thaw_ns = last.at.awake_ns + FROZEN_SECONDS * 1_000_000_000
            sent = []

            def publish_until_thaw() -> bool:
                device.publish("readings/one", bytes(100), 0)
                sent.append(100)
                return time.clock_gettime_ns(time.CLOCK_MONOTONIC) >= thaw_ns

            with frozen(agent.pid):
                wait_for(publish_until_thaw, "the end of the frozen time")
            late = later_round(agent, last)
            later_round(agent, late)
            _, hours = kept(agent)

    flags = {flag for hour in hours for flag in hour.sources["mqtt"].flags}
    assert (late.late_ms > 5000, set()) == (True, flags - {"lower_bound"})
    assert sum(sent) == sum(hour.counters["mqtt_payload_bytes_received"] for hour in hours)
