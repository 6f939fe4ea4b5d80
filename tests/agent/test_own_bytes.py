"""The real agent on the real broker: an orderly restart bills not one byte of its own."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from agent.collectors.mosquitto.collector import MosquittoCollector
from agent.engine.hour import MeasuredHour
from agent.engine.observation import SourceError
from agent.engine.source_state import SourceState
from agent.journal import rows
from agent.journal.file import open_read_only
from local.measuring.relay import Relay
from local.services.mosquitto import Mosquitto
from testing.waiting import wait_for
from tests.agent.process import Agent

ROUND_BYTES = 300
"""More than one round of the broker's totals takes on the wire, so that one the agent has not looked at yet
has come."""
METRICS = {
    "mqtt_bytes_sent",
    "mqtt_bytes_received",
    "mqtt_payload_bytes_sent",
    "mqtt_payload_bytes_received",
    "mqtt_messages_published",
    "mqtt_messages_received",
}


@pytest.fixture
def relay(broker: Mosquitto) -> Iterator[Relay]:
    with closing(Relay(broker.port)) as made:
        yield made


@pytest.fixture
def agent(tmp_path: Path, broker: Mosquitto, relay: Relay) -> Iterator[Agent]:
    """An agent that looks every 3 s at a broker that tells its totals every 2 s."""
    made = Agent(
        tmp_path,
        None,
        MQTT_HOST="127.0.0.1",
        MQTT_PORT=str(relay.port),
        MQTT_USERNAME=broker.username,
        MQTT_PASSWORD=broker.password,
        POLL_SECONDS="3",
    )
    with made:
        yield made


def kept(agent: Agent) -> tuple[dict[str, SourceState], list[MeasuredHour]]:
    """What the journal remembers of its sources, and its hours."""
    with open_read_only(agent.journal) as db:
        return rows.read_sources(db), rows.read_hours(db, provisional=True)


def amounts(agent: Agent) -> dict[str, int]:
    """What all hours have counted."""
    hours = kept(agent)[1]
    return {metric: sum(hour.counters.get(metric, 0) for hour in hours) for metric in METRICS}


def wait_for_rounds(agent: Agent, relay: Relay, run: int) -> None:
    """Wait until this run has committed an observation and the broker has told more since."""

    def observed() -> bool:
        state = kept(agent)[0].get("mqtt")
        return state is not None and state.run == run

    wait_for(lambda: "open hour" in agent.run("status").stdout, "the first tick")
    wait_for(observed, f"an observation of run {run}")
    seen = relay.relayed.to_client
    wait_for(lambda: relay.relayed.to_client > seen + ROUND_BYTES, "another round")


def test_orderly_restarts_bill_not_one_byte_of_the_agents_own(agent: Agent, relay: Relay) -> None:
    """Rounds nobody looked at and the goodbye are in the broker's totals; no customer caused them.

    The third run ends before it has seen a round. What a run that is killed caused after its last observation
    nobody can know: it is billed, less than a round as a rule.
    """
    wait_for_rounds(agent, relay, run=1)
    assert 0 == agent.stop()
    agent.start()
    wait_for_rounds(agent, relay, run=2)
    agent.stop()
    gone = relay.relayed
    agent.start()
    wait_for(lambda: relay.relayed.to_client > gone.to_client + ROUND_BYTES, "the subscription")
    agent.stop()
    agent.start()
    wait_for_rounds(agent, relay, run=4)
    agent.stop()

    assert relay.relayed.to_service > 0
    assert dict.fromkeys(METRICS, 0) == amounts(agent)


def test_what_the_journal_knows_of_the_own_bytes_is_what_the_relay_measured(
    agent: Agent, relay: Relay
) -> None:
    """Nothing is in flight when the agent has left: both sides of its stream agree to the byte."""
    wait_for_rounds(agent, relay, run=1)
    agent.stop()

    own = {series.metric: value for series, value in kept(agent)[0]["mqtt"].own.items()}
    measured = relay.relayed
    assert (measured.to_client, measured.to_service) == (own["mqtt_bytes_sent"], own["mqtt_bytes_received"])


def test_a_watcher_that_leaves_at_any_instant_knows_every_byte_of_its_stream(
    broker: Mosquitto, watch: Callable[..., MosquittoCollector]
) -> None:
    """Twenty connections, ended at once or after a while; the broker tells a round every 2 s."""
    for twentieths in range(2, 42, 2):
        with Relay(broker.port) as relay:
            collector = watch(broker, port=relay.port, patience_seconds=twentieths / 20)
            with suppress(SourceError):
                collector.collect()
            own = {series.metric: value for series, value in collector.close().items()}
        measured = relay.relayed
        assert (measured.to_client, measured.to_service) == (
            own["mqtt_bytes_sent"],
            own["mqtt_bytes_received"],
        )
