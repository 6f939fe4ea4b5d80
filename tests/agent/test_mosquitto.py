"""The mosquitto collector, against the real broker and clients that count at their own sockets."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from agent.collectors.mosquitto.broker_totals import BrokerTotals
from agent.collectors.mosquitto.collector import MosquittoCollector
from agent.engine.meter import Continuity, elapsed_between, judge
from agent.engine.observation import Moment, Observation, SourceError
from agent.engine.own import without_own
from local.measuring.mqtt_wire import Counts, WireClient
from local.services.mosquitto import Mosquitto

type Watch = Callable[..., MosquittoCollector]
type Connect = Callable[[str], WireClient]
type Round = Callable[[MosquittoCollector], Observation]
type Until = Callable[[Callable[[], object]], None]


def as_metrics(*counts: Counts) -> dict[str, int]:
    """What the broker must have counted for these clients."""
    total = sum(counts, Counts())
    return {
        "mqtt_bytes_sent": total.bytes_received,
        "mqtt_bytes_received": total.bytes_sent,
        "mqtt_payload_bytes_sent": total.payload_bytes_received,
        "mqtt_payload_bytes_received": total.payload_bytes_sent,
        "mqtt_messages_published": total.messages_received,
        "mqtt_messages_received": total.messages_sent,
    }


def counters(observation: Observation) -> dict[str, int]:
    """The totals without the agent's own, by metric; mosquitto has no sub-series."""
    return {series.metric: value for series, value in without_own(observation).items()}


def uptime_of(observation: Observation) -> int:
    """The round's uptime in seconds."""
    assert observation.identity is not None
    assert observation.identity.uptime_seconds is not None
    return observation.identity.uptime_seconds


def continuity(first: Observation, second: Observation) -> Continuity:
    """How the engine judges the second observation after the first."""
    assert first.identity is not None
    assert second.identity is not None
    elapsed = elapsed_between(first.at, second.at, 0, known=True)
    return judge(first.identity, second.identity, elapsed, datetime.now(UTC))


def status_of(collector: MosquittoCollector) -> str:
    """The status with which the next look fails, or "ok"."""
    try:
        collector.collect()
    except SourceError as error:
        return error.status
    return "ok"


def test_a_broker_with_no_customer_traffic_counts_nothing(
    broker: Mosquitto, watch: Watch, next_round: Round
) -> None:
    """The agent's own packets are in the broker's totals to the byte, and are taken off to the byte."""
    collector = watch(broker)

    first = next_round(collector)
    second = next_round(collector)

    assert as_metrics(Counts()) == counters(first)
    assert as_metrics(Counts()) == counters(second)
    assert second.gauges == {"mqtt_connections": 0}


@pytest.mark.parametrize("qos", [0, 1])
def test_messages_are_counted_exactly_in_both_directions(
    broker: Mosquitto, watch: Watch, next_round: Round, connect: Connect, qos: int
) -> None:
    """Bytes, payload bytes and messages are those that crossed the clients' own sockets."""
    collector = watch(broker)
    device, app = connect("device"), connect("app")
    app.subscribe(["readings/#"], qos)
    for number in range(20):
        device.publish(f"readings/{number}", b"x" * number * 17, qos)
    device.settle()
    app.settle()

    seen = next_round(collector)

    assert app.counts.messages_received == 20
    assert as_metrics(device.counts, app.counts) == counters(seen)
    assert seen.gauges == {"mqtt_connections": 2}


def test_one_unreadable_value_costs_its_round_and_not_the_connection(
    broker: Mosquitto, watch: Watch, next_round: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a broker tells wrongly for a moment is read again when it tells it right."""
    collector = watch(broker)
    next_round(collector)
    told, wrong = BrokerTotals.message, {"$SYS/broker/bytes/sent"}

    def message(totals: BrokerTotals, topic: str, payload: bytes, *, retained: bool, at: Moment) -> None:
        if topic in wrong:
            wrong.remove(topic)
            payload = b"-" + payload[1:]
        told(totals, topic, payload, retained=retained, at=at)

    monkeypatch.setattr(BrokerTotals, "message", message)
    statuses: set[str] = set()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and "unsupported" not in statuses:
        statuses.add(status_of(collector))
    while time.monotonic() < deadline and status_of(collector) == "unsupported":
        continue

    assert "unsupported" in statuses
    assert as_metrics(Counts()) == counters(next_round(collector))


def test_qos2_and_retained_messages_are_missed_by_an_old_broker_in_one_count_alone(
    broker: Mosquitto, watch: Watch, next_round: Round, connect: Connect
) -> None:
    """Before 2.0.15 `mqtt_messages_received` is a lower bound, flagged so; every other total is exact."""
    collector = watch(broker)
    device, app = connect("device"), connect("app")
    app.subscribe(["readings/#"], 2)
    for number in range(10):
        device.publish(f"readings/{number}", b"reading", 2)
    device.publish("readings/kept", b"kept", retain=True)
    device.publish("readings/plain", b"plain")
    device.settle()
    app.settle()

    seen = next_round(collector)

    expected = as_metrics(device.counts, app.counts)
    old = "lower_bound" in seen.flags
    assert old == (broker.log_says("mosquitto version 2.0.11"))
    assert expected | ({"mqtt_messages_received": 1} if old else {}) == counters(seen)


def test_own_bytes_stay_taken_off_over_a_reconnect(
    broker: Mosquitto, watch: Watch, next_round: Round, connect: Connect, until: Until
) -> None:
    """What the agent caused on an earlier connection to the same broker is not billed on the next."""
    collector = watch(broker)
    before = next_round(collector)
    # A client that takes the agent's name has the broker hang up on the agent.
    usurper = connect(collector._client_id)
    until(lambda: collector._problem)
    usurper.settle()

    after = next_round(collector)

    assert continuity(before, after) == Continuity.SAME
    assert as_metrics(usurper.counts) == counters(after)


def test_own_pings_are_taken_off_as_well(
    broker: Mosquitto, watch: Watch, next_round: Round, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping and its answer are bytes of the agent's, not of the customer's."""
    monkeypatch.setattr("agent.collectors.mosquitto.collector._KEEPALIVE_SECONDS", 1)
    broker.settings.append("log_type all")
    broker.restart()
    collector = watch(broker)
    next_round(collector)
    until(lambda: broker.log_says("Received PINGREQ"))

    seen = [next_round(collector), next_round(collector)]

    assert [as_metrics(Counts())] * 2 == [counters(observation) for observation in seen]


def test_another_watcher_is_an_ordinary_client(
    broker: Mosquitto, watch: Watch, next_round: Round, connect: Connect
) -> None:
    """Each total holds exactly what stands before its message in a watcher's stream, own round included."""
    collector = watch(broker)
    probe = connect("probe")
    probe.subscribe(["$SYS/broker/uptime", "$SYS/broker/bytes/sent"])

    seen = next_round(collector)

    same_round = f"{uptime_of(seen)} seconds".encode()
    while (heard := probe.receive()) is not None and (heard.retained or heard.payload != same_round):
        pass
    heard = probe.receive()
    assert heard is not None
    assert heard.topic == "$SYS/broker/bytes/sent"
    assert heard.before == counters(seen)["mqtt_bytes_sent"]


def test_a_restarted_broker_is_seen_as_restarted(
    broker: Mosquitto, watch: Watch, next_round: Round, connect: Connect, until: Until
) -> None:
    """Totals begin at 0 again, the uptime says so, and the own bytes of the former life are forgotten."""
    collector = watch(broker)
    device = connect("device")
    for number in range(50):
        device.publish("readings", b"%d" % number, 1)
    # A life shorter than the tolerance of uptimes cannot be told from a restart.
    until(lambda: uptime_of(next_round(collector)) > 12)
    last = next_round(collector)
    broker.restart(kill=True)
    late = connect("device")
    late.publish("readings", b"after", 1)

    seen = next_round(collector)

    assert as_metrics(device.counts) == counters(last)
    assert continuity(last, seen) == Continuity.RESTARTED
    assert as_metrics(late.counts) == counters(seen)


def test_the_last_round_before_a_lost_connection_is_still_handed_over(
    broker: Mosquitto, watch: Watch, next_round: Round, connect: Connect, until: Until
) -> None:
    """What arrived before the broker went away is collected first, then the loss is told."""
    collector = watch(broker)
    next_round(collector)
    device = connect("device")
    device.publish("readings", b"reading", 1)
    probe = connect("probe")
    probe.subscribe(["$SYS/broker/publish/bytes/received"])
    until(lambda: (heard := probe.receive()) is not None and not heard.retained)
    broker.kill()
    until(lambda: collector._problem)

    seen = collector.collect()

    assert len(b"reading") == counters(seen)["mqtt_payload_bytes_received"]
    assert status_of(collector) == "unreachable"


def test_a_retained_uptime_is_no_sign_of_life(broker: Mosquitto, watch: Watch, connect: Connect) -> None:
    """A new subscription gets the last round's uptime at once; nothing is observed until a live one comes."""
    probe = connect("probe")
    probe.subscribe(["$SYS/broker/uptime"])
    first = probe.receive()

    assert first is not None
    assert first.retained
    assert status_of(watch(broker, patience_seconds=0.5)) == "waiting"


def test_a_broker_that_is_down_is_unreachable_and_found_again(
    broker: Mosquitto, watch: Watch, next_round: Round
) -> None:
    """A source that cannot be read says why, and is read again without a new start of the agent."""
    broker.stop()
    collector = watch(broker)

    with pytest.raises(SourceError, match="refused") as failure:
        collector.collect()
    broker.start()
    seen = next_round(collector)

    assert failure.value.status == "unreachable"
    assert as_metrics(Counts()) == counters(seen)


def test_pahos_complaints_are_for_debugging_alone(
    broker: Mosquitto,
    watch: Watch,
    until: Until,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What a lost broker means is told once, as the source's status; nothing is written past the log."""
    broker.stop()
    collector = watch(broker, patience_seconds=0.1)
    with caplog.at_level("DEBUG"):
        until(lambda: status_of(collector) == "unreachable")
        until(lambda: "Client is not connected" in caplog.text)

    assert {"DEBUG"} == {record.levelname for record in caplog.records}
    assert "" == capfd.readouterr().err


def test_a_wrong_password_is_denied_by_name(broker: Mosquitto, watch: Watch) -> None:
    """The status is `denied` and the detail names the user, never the password."""
    collector = watch(broker, password="guessed")

    with pytest.raises(SourceError, match="platform") as failure:
        collector.collect()

    assert failure.value.status == "denied"
    assert "guessed" not in str(failure.value)


def test_an_access_list_that_hides_the_totals_raises_the_alarm(
    broker: Mosquitto, watch: Watch, until: Until
) -> None:
    """The broker answers a forbidden subscription as if granted; only the missing uptime tells."""
    (broker.folder / "acl").write_text(f"user {broker.username}\ntopic readwrite readings/#\n")
    (broker.folder / "acl").chmod(0o600)
    broker.settings.append(f"acl_file {broker.folder / 'acl'}")
    broker.restart()
    collector = watch(broker, patience_seconds=0.2, stale_after_seconds=3)

    until(lambda: status_of(collector) == "stale")

    with pytest.raises(SourceError, match="access list"):
        collector.collect()


def test_a_level_is_held_for_three_rounds_of_a_slow_broker(
    broker: Mosquitto, watch: Watch, next_round: Round
) -> None:
    """Observations happen at the broker's pace: here 2 s, slower than the look's interval is made to be."""
    collector = watch(broker, stale_after_seconds=1)
    assert collector.valid_for_seconds == 1
    next_round(collector)

    assert collector.valid_for_seconds in {6, 9}


def test_a_broker_that_falls_silent_is_stale(
    broker: Mosquitto, watch: Watch, next_round: Round, until: Until
) -> None:
    """A connection that stays open without a live uptime for three intervals counts as unread."""
    collector = watch(broker, stale_after_seconds=3)
    next_round(collector)

    with broker.frozen():
        until(lambda: status_of(collector) == "stale")

    until(lambda: status_of(collector) == "ok")
