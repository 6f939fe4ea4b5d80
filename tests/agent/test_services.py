"""The launcher of the real programs: what it starts answers, what it cannot start says why."""

import os
import socket
from pathlib import Path

import boto3
import psycopg
import pytest

from local.environment import NotLoopback, scrubbed
from local.measuring.mqtt_wire import WireClient, WireError
from local.services.dynamodb import DynamoDbLocal
from local.services.mosquitto import Mosquitto
from local.services.postgres import PostgreSQL
from local.services.program import PortInUse, ProgramDied, ProgramMissing, ServiceError, find_program
from testing.tables import create_table


def test_no_variable_of_a_real_account_reaches_a_started_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten profile or key must never reach a real account."""
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("STRIPE_API_KEY", "sk_live")
    monkeypatch.setenv("HARMLESS", "stays")

    given = scrubbed({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"})

    assert not {"AWS_PROFILE", "STRIPE_API_KEY"} & given.keys()
    assert (given["HARMLESS"], given["AWS_ENDPOINT_URL"]) == ("stays", "http://127.0.0.1:4566")
    assert {os.devnull} == {given["AWS_CONFIG_FILE"], given["AWS_SHARED_CREDENTIALS_FILE"]}


@pytest.mark.parametrize(
    "url",
    [
        "https://dynamodb.eu-central-1.amazonaws.com",
        "http://127.0.0.1.example.com:4566",
        "http://localhost@example.com/",
        "http://[2001:db8::1]:4566",
        "postgresql://user:secret@db.example.com/platform",
    ],
)
def test_an_endpoint_on_another_machine_is_refused(url: str) -> None:
    """A local program gets loopback endpoints or is not started."""
    with pytest.raises(NotLoopback, match="AWS_ENDPOINT_URL"):
        scrubbed({"AWS_ENDPOINT_URL": url})


@pytest.mark.parametrize(
    "url",
    ["http://localhost:1", "http://x.execute-api.localhost:1/", "http://[::1]:1", "mqtt://u:p@127.0.0.1"],
)
def test_an_endpoint_on_this_machine_is_taken(url: str) -> None:
    """Loopback has several names."""
    assert url == scrubbed({"URL": url})["URL"]


def test_the_broker_refuses_anonymous_and_unknown_users(broker: Mosquitto) -> None:
    """The platform's brokers know their clients, and so does the local one."""
    with pytest.raises(WireError, match="refuses"):
        WireClient(broker.port, "stranger", "stranger", "guessed")


def test_a_persistent_broker_keeps_messages_over_a_restart(tmp_path: Path) -> None:
    """`stop` lets the program end in order, so that it can save what it keeps."""
    with Mosquitto(tmp_path / "mosquitto", persistence=True) as broker:
        with WireClient(broker.port, "device", broker.username, broker.password) as device:
            device.publish("readings/kept", b"kept", 1, retain=True)
        broker.restart()
        with WireClient(broker.port, "app", broker.username, broker.password) as app:
            app.subscribe(["readings/#"])
            kept = app.receive()

    assert kept is not None
    assert (kept.payload, kept.retained) == (b"kept", True)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """The error says which program wanted which port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"mosquitto cannot listen on 127.0.0.1:{port}"):
            Mosquitto(tmp_path / "mosquitto", port=port).start()


def test_another_program_on_the_port_is_not_taken_for_one_s_own(
    broker: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that was free when it was chosen may be somebody else's when the program starts."""
    monkeypatch.setattr("local.services.program._is_free", lambda _: True)
    with pytest.raises(ProgramDied, match="in use"):
        Mosquitto(tmp_path / "late", port=broker.port).start()


def test_a_program_that_dies_says_its_last_words(tmp_path: Path) -> None:
    """The error carries the end of the log, and nothing is left running."""
    broker = Mosquitto(tmp_path / "mosquitto", settings=["no_such_setting 1"])

    with pytest.raises(ProgramDied, match="no_such_setting"):
        broker.start()

    assert not broker.running


def test_a_missing_program_is_named_with_its_remedy() -> None:
    """Nothing is skipped silently: the error says what to install."""
    with pytest.raises(ProgramMissing, match=r"no-such-broker .*apt-get install no-such-broker"):
        find_program("no-such-broker", "apt-get install no-such-broker")


def test_a_missing_dynamodb_is_named_with_its_remedy(tmp_path: Path) -> None:
    """The archive comes from npm; the error says with which command."""
    with pytest.raises(ProgramMissing, match=r"DynamoDB Local .* npm install"):
        DynamoDbLocal(tmp_path / "dynamodb", jar=tmp_path / "DynamoDBLocal.jar").start()


def test_a_database_survives_a_killed_server_and_is_gone_after_close(tmp_path: Path) -> None:
    """`kill` and `start` bring the same data back; `close` leaves nothing behind."""
    with PostgreSQL(tmp_path / "postgres") as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
            home = connection.execute("SHOW unix_socket_directories").fetchone()
        server.restart(kill=True)
        with psycopg.connect(server.dsn) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
        assert home is not None
        assert Path(home[0]).exists()

    assert not Path(home[0]).exists()


def test_the_process_id_of_a_program_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    """Nobody kills a process by a number that once belonged to a program of ours."""
    with pytest.raises(ServiceError, match="not running"):
        _ = Mosquitto(tmp_path / "mosquitto").pid


def test_dynamodb_starts_with_no_tables_every_time(tmp_path: Path) -> None:
    """The tables are in memory: a restart is a clean slate."""
    with DynamoDbLocal(tmp_path / "dynamodb") as started:
        client = boto3.client(
            "dynamodb",
            endpoint_url=started.url,
            region_name="eu-central-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        create_table(client, "hours")
        before = client.list_tables()["TableNames"]
        started.restart(kill=True)
        after = client.list_tables()["TableNames"]
        client.close()

    assert (before, after) == (["hours"], [])
