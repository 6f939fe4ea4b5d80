"""The demo's traffic and truth: three independent counts of the same bytes agree, to the byte."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from agent.collectors.mosquitto.collector import MosquittoCollector
from agent.engine.observation import Observation, SourceIdentity
from agent.engine.own import without_own
from local.measuring.level_log import Bounds, LevelLog
from local.measuring.mqtt_wire import Counts
from local.measuring.platform_tables import create_tables
from local.measuring.relay import Relay
from local.measuring.traffic import Traffic, TrafficFailedError
from local.measuring.truth import BrokerLives, BrokerProbe, Totals, as_metrics, minus
from local.services.mosquitto import Mosquitto

type Watch = Callable[..., MosquittoCollector]
type Round = Callable[[MosquittoCollector], Observation]
type Until = Callable[[Callable[[], object]], None]

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def wall() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def after(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def platform(database: str) -> str:
    """An empty platform's database."""
    create_tables(database)
    return database


@pytest.fixture
def traffic(broker: Mosquitto, platform: str) -> Iterator[Traffic]:
    """Connected clients that have not sent a message yet."""
    with Traffic(broker.port, broker.username, broker.password, platform, wall, seed=7) as made:
        yield made


@pytest.fixture
def probe(broker: Mosquitto) -> Iterator[BrokerProbe]:
    """A probe on the broker."""
    with BrokerProbe(broker.port, broker.username, broker.password) as made:
        yield made


def test_the_probe_reads_what_the_clients_exchanged(traffic: Traffic, probe: BrokerProbe) -> None:
    """The broker's totals less the probe's own part are the clients' own counts, in all six metrics."""
    for _ in range(5):
        traffic.step()

    reading = probe.read()

    assert as_metrics(traffic.counts) == as_metrics(reading.others)


def test_the_agent_counts_the_clients_and_the_probe(
    broker: Mosquitto, traffic: Traffic, probe: BrokerProbe, watch: Watch, next_round: Round, until: Until
) -> None:
    """A probe is a client like any other to the agent: clients + probe is what is billed."""
    collector = watch(broker)
    next_round(collector)
    for _ in range(5):
        traffic.step()

    # The broker tells its totals once a second: both must have read those of one second.
    read: list[tuple[Totals, Observation]] = []

    def read_both() -> bool:
        read.append((probe.read(), collector.collect()))
        reading, seen = read[-1]
        return SourceIdentity(uptime_seconds=reading.uptime_seconds) == seen.identity

    until(read_both)
    reading, seen = read[-1]

    expected = as_metrics(traffic.counts + reading.own)
    assert expected == {series.metric: value for series, value in without_own(seen).items()}


def test_broker_less_probe_less_relay_is_the_clients(
    broker: Mosquitto, traffic: Traffic, probe: BrokerProbe, watch: Watch, next_round: Round
) -> None:
    """The agent's own bytes, measured in between, close the sum once it is gone, its goodbye included."""
    with Relay(broker.port) as relay:
        collector = watch(broker, port=relay.port)
        next_round(collector)
        traffic.step()
        next_round(collector)
        collector.close()
        traffic.step()
        others = probe.read().others
        agent = relay.relayed

    clients = traffic.counts
    assert clients.bytes_received == others.bytes_received - agent.to_client
    assert clients.bytes_sent == others.bytes_sent - agent.to_service


def test_the_truth_goes_on_over_a_restart_of_the_broker(broker: Mosquitto, traffic: Traffic) -> None:
    """Readings just before and after a restart add up to what the clients exchanged in both lives."""
    lives = BrokerLives()
    traffic.step()
    with BrokerProbe(broker.port, broker.username, broker.password) as probe:
        lives.end(probe.read())
    broker.restart(kill=True)
    traffic.reconnect()
    traffic.step()
    with BrokerProbe(broker.port, broker.username, broker.password) as probe:
        total = lives.total(probe.read())

    assert as_metrics(traffic.counts) == as_metrics(total)


def test_the_same_seed_makes_the_same_traffic(broker: Mosquitto, platform: str) -> None:
    """Two runs differ in their times alone."""
    made = []
    for _ in range(2):
        with Traffic(broker.port, broker.username, broker.password, platform, wall, seed=11) as traffic:
            before = traffic.counts
            for _ in range(3):
                traffic.step()
            made.append(minus(traffic.counts, before))

    assert made[0] == made[1]
    assert made[0] != Counts()


def test_paused_traffic_stands_still_and_goes_on(traffic: Traffic, until: Until) -> None:
    """After `pause` nothing moves, so two readings may be compared; `resume` goes on."""
    traffic.start(every_seconds=0.01)
    until(lambda: traffic.counts.messages_sent > 10)
    traffic.pause()
    paused = traffic.counts
    traffic.pause()

    assert paused == traffic.counts
    traffic.resume()
    until(lambda: traffic.counts.messages_sent > paused.messages_sent)
    traffic.pause()


def test_traffic_that_fails_says_so(broker: Mosquitto, traffic: Traffic, until: Until) -> None:
    """A demo never compares the truth of a traffic that has ended unnoticed."""
    broker.kill()
    traffic.start(every_seconds=0.01)
    until(lambda: traffic._failure)

    with pytest.raises(TrafficFailedError, match="by itself"):
        traffic.pause()
    traffic._failure = None


def test_the_log_of_devices_ends_with_what_the_database_tells(traffic: Traffic) -> None:
    """Every change of the fleet is in the log."""
    for _ in range(30):
        traffic.step()

    assert traffic.levels().total_devices == traffic.all_devices.last
    assert traffic.levels().active_devices == traffic.devices.last
    assert traffic.all_devices.last > 1


def test_a_levels_integral_is_exact_where_its_changes_are() -> None:
    """2 devices for 10 s and 5 for 20 s are 120 device-seconds."""
    log = LevelLog()
    log.note(after(-60), after(-60), 2)
    log.note(after(10), after(10), 5)

    assert Bounds(120_000, 120_000) == log.integral(NOON, after(30))


def test_a_levels_integral_is_bounded_by_when_a_change_may_be_seen() -> None:
    """One who looks every 4 s may count a rise from 2 to 5 up to 4 s late, and the fall after it as well."""
    log = LevelLog()
    log.note(after(-60), after(-60), 2)
    log.note(after(10), after(11), 5)
    log.note(after(20), after(20), 4)

    bounds = log.integral(NOON, after(30), seen_after=timedelta(seconds=4))

    assert Bounds(2 * 15_000 + 5 * 5_000 + 4 * 10_000, 2 * 10_000 + 5 * 14_000 + 4 * 6_000) == bounds
    assert 110_000 in bounds


def test_a_log_that_begins_too_late_gives_no_truth() -> None:
    """An integral over time that nobody recorded is refused."""
    log = LevelLog()
    log.note(after(1), after(1), 2)

    with pytest.raises(ValueError, match="begins after"):
        log.integral(NOON, after(30))
