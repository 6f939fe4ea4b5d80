"""The real services of the agent's tests, each started once or anew on a port of its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from agent.collectors.mosquitto.collector import MosquittoCollector
from agent.collectors.mosquitto.settings import MosquittoSettings
from agent.engine.clock import MachineClock
from agent.engine.observation import Moment, Observation, SourceError
from local.measuring.mqtt_wire import WireClient
from local.services.mosquitto import Mosquitto
from local.services.postgres import PostgreSQL
from testing.waiting import wait_for

type Until = Callable[[Callable[[], object]], None]
type Watch = Callable[..., MosquittoCollector]
type Connect = Callable[[str], WireClient]
type Round = Callable[[MosquittoCollector], Observation]


@pytest.fixture
def until() -> Until:
    """Waits until a condition holds; fails the test at a deadline."""
    return wait_for


@pytest.fixture
def moment() -> Callable[[], Moment]:
    """The machine's own clocks."""
    return MachineClock().moment


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker whose totals start at 0."""
    with Mosquitto(tmp_path / "mosquitto") as started:
        yield started


@pytest.fixture
def watch(moment: Callable[[], Moment]) -> Iterator[Watch]:
    """Makes collectors for a broker, with its user and other settings on request."""
    made: list[MosquittoCollector] = []

    def make(
        broker: Mosquitto,
        *,
        patience_seconds: float = 12.0,
        stale_after_seconds: int | None = None,
        **other: object,
    ) -> MosquittoCollector:
        settings = MosquittoSettings.model_validate(
            {
                "host": "127.0.0.1",
                "port": broker.port,
                "username": broker.username,
                "password": broker.password,
            }
            | other
        )
        made.append(
            MosquittoCollector(
                settings,
                moment,
                1,
                patience_seconds=patience_seconds,
                stale_after_seconds=stale_after_seconds,
            )
        )
        return made[-1]

    yield make
    for collector in made:
        collector.close()


@pytest.fixture
def connect(broker: Mosquitto) -> Iterator[Connect]:
    """Connects clients that know their own bytes."""
    made: list[WireClient] = []

    def make(client_id: str) -> WireClient:
        made.append(WireClient(broker.port, client_id, broker.username, broker.password))
        return made[-1]

    yield make
    for client in made:
        client.abandon()


@pytest.fixture
def next_round() -> Round:
    """Collects until a round arrives that began after the call, so that it holds all that went before."""

    def collect(collector: MosquittoCollector) -> Observation:
        called_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        found: list[Observation] = []

        def came() -> bool:
            with suppress(SourceError):
                found.append(collector.collect())
            return bool(found) and found[-1].at.awake_ns > called_ns

        wait_for(came, "a round of the broker")
        return found[-1]

    return collect


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A PostgreSQL server that tests share; it must be left running."""
    with PostgreSQL(tmp_path_factory.mktemp("postgres")) as started:
        yield started


@pytest.fixture
def database(server: PostgreSQL, request: pytest.FixtureRequest) -> Iterator[str]:
    """The superuser's connection string for a database of the test's own."""
    name = sql.Identifier(f"test_{abs(hash(request.node.name))}")
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield server.dsn_of(server.username, server.password, name.as_string().strip('"'))
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
