"""The PostgreSQL collector, against the real server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from agent.collectors.postgres.collector import PostgresCollector
from agent.collectors.postgres.settings import PostgresSettings
from agent.engine.observation import Moment, SourceError
from local.services.postgres import PostgreSQL

type Read = Callable[..., PostgresCollector]


@pytest.fixture
def read(moment: Callable[[], Moment]) -> Iterator[Read]:
    """Makes collectors for a connection string, with other settings on request."""
    made: list[PostgresCollector] = []

    def make(dsn: str, **other: object) -> PostgresCollector:
        made.append(PostgresCollector(PostgresSettings.model_validate({"dsn": dsn} | other), moment, 15))
        return made[-1]

    yield make
    for collector in made:
        collector.close()


@pytest.fixture
def platform(database: str) -> str:
    """A database with the platform's devices: 2 active of 3, one of the active offline."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("CREATE TABLE devices (id serial PRIMARY KEY, is_active boolean, is_online boolean)")
        admin.execute(
            "INSERT INTO devices (is_active, is_online) VALUES (true, true), (true, false), (false, true)"
        )
    return database


def test_devices_are_counted_by_the_administrators_switch(platform: str, read: Read) -> None:
    """`is_active` counts, `is_online` does not: a device that is silent is still managed."""
    seen = read(platform).collect()

    assert (seen.gauges["active_devices"], seen.gauges["total_devices"]) == (2, 3)
    assert frozenset() == seen.flags
    assert seen.identity is None


def test_the_size_is_postgresqls_own_in_bytes(platform: str, read: Read) -> None:
    """The gauge follows the database's size on disk."""
    collector = read(platform)
    before = collector.collect().gauges["postgres_size_bytes"]
    with psycopg.connect(platform, autocommit=True) as admin:
        admin.execute("CREATE TABLE ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
        truth = admin.execute("SELECT pg_database_size(current_database())").fetchone()

    after = collector.collect().gauges["postgres_size_bytes"]

    assert truth == (after,)
    assert after - before > 2000 * 1000


def test_the_devices_may_be_counted_by_other_queries(platform: str, read: Read) -> None:
    """Another platform's tables need no other collector."""
    collector = read(platform, devices_active_query="SELECT count(*) FROM devices WHERE is_online")

    seen = collector.collect()

    assert (seen.gauges["active_devices"], seen.gauges["total_devices"]) == (2, 3)


def test_without_a_devices_table_the_size_is_still_reported(database: str, read: Read) -> None:
    """A query that fails takes its own gauge away and says why; missing is not zero."""
    seen = read(database).collect()

    assert {"postgres_size_bytes", "postgres_rows"} == set(seen.gauges)
    assert frozenset({"active_devices_absent", "total_devices_absent"}) == seen.flags


def test_a_table_that_appears_later_is_counted_without_a_restart(database: str, read: Read) -> None:
    """The agent may be started before the platform has made its tables."""
    collector = read(database)
    collector.collect()
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("CREATE TABLE devices (is_active boolean)")

    seen = collector.collect()

    assert (seen.gauges["active_devices"], seen.gauges["total_devices"]) == (0, 0)
    assert frozenset() == seen.flags


def test_a_locked_table_ends_at_the_statement_timeout(platform: str, read: Read) -> None:
    """A lock on the devices costs their gauges for that look, not the others and not the session."""
    collector = read(platform, statement_timeout_seconds=1)
    with psycopg.connect(platform) as migration:
        migration.execute("LOCK TABLE devices IN ACCESS EXCLUSIVE MODE")
        locked = collector.collect()

    free = collector.collect()

    assert frozenset({"active_devices_timeout", "total_devices_timeout"}) == locked.flags
    assert {"postgres_size_bytes", "postgres_rows"} == set(locked.gauges)
    assert (free.gauges["active_devices"], free.gauges["total_devices"]) == (2, 3)


def test_a_user_without_rights_on_the_devices_is_told_so(
    platform: str, server: PostgreSQL, read: Read
) -> None:
    """A role that may only connect reads the size; the devices are flagged as denied."""
    name = psycopg.conninfo.conninfo_to_dict(platform)["dbname"]
    with psycopg.connect(platform, autocommit=True) as admin:
        admin.execute("CREATE ROLE meter LOGIN PASSWORD 'meter'")
        try:
            seen = read(server.dsn_of("meter", "meter", str(name))).collect()
        finally:
            admin.execute("DROP ROLE meter")

    assert frozenset({"active_devices_denied", "total_devices_denied"}) == seen.flags
    assert {"postgres_size_bytes", "postgres_rows"} == set(seen.gauges)


def test_a_user_who_may_not_connect_is_denied(database: str, server: PostgreSQL, read: Read) -> None:
    """Without CONNECT nothing can be read, and the source itself is in error."""
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        try:
            with pytest.raises(SourceError, match="permission denied") as failure:
                read(server.dsn_of("stranger", "stranger", name)).collect()
        finally:
            admin.execute("DROP ROLE stranger")

    assert failure.value.status == "denied"


def test_a_wrong_password_is_denied_and_not_repeated(server: PostgreSQL, read: Read) -> None:
    """The detail names the user, never the password."""
    with pytest.raises(SourceError, match="platform") as failure:
        read(server.dsn_of("platform", "guessed")).collect()

    assert failure.value.status == "denied"
    assert "guessed" not in str(failure.value)


def test_a_server_that_is_not_there_is_told_by_its_place_alone(read: Read) -> None:
    """The detail goes into the report and onto the health page: host, port, database, and the cause."""
    collector = read("host=127.0.0.1 port=9 user=agent password=geheim dbname=platform")

    with pytest.raises(SourceError) as failure:
        collector.collect()

    assert failure.value.status == "unreachable"
    assert str(failure.value) == "127.0.0.1:9/platform: Connection refused"


def test_a_connection_string_that_libpq_refuses_is_not_repeated(read: Read) -> None:
    """Libpq's complaint about an option quotes its value."""
    collector = read("host=127.0.0.1 port=9 sslmode=geheim")

    with pytest.raises(SourceError) as failure:
        collector.collect()

    assert "geheim" not in str(failure.value)


def test_the_session_cannot_write(platform: str, read: Read) -> None:
    """A query from the settings that would change the platform's data is refused by the server."""
    collector = read(platform, devices_total_query="DELETE FROM devices RETURNING 1")

    seen = collector.collect()

    assert "total_devices_failed" in seen.flags
    assert seen.gauges["active_devices"] == 2


def test_a_session_is_left_as_it_was_found(
    platform: str, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a pooler the session is the platform's a moment later, which writes and takes its time."""
    session = psycopg.connect(platform, autocommit=True)

    def pooled(_dsn: str, **options: int | None) -> psycopg.Connection:
        session.prepare_threshold = options.get("prepare_threshold", session.prepare_threshold)
        return session

    monkeypatch.setattr("agent.collectors.postgres.collector.psycopg.connect", pooled)
    collector = read("host=pooler")
    for _ in range(10):
        collector.collect()
    raw = session.pgconn
    settings = [
        raw.exec_(f"SHOW {name}".encode()).get_value(0, 0)
        for name in ("default_transaction_read_only", "statement_timeout")
    ]
    prepared = raw.exec_(b"SELECT count(*) FROM pg_prepared_statements").get_value(0, 0)
    written = raw.exec_(b"INSERT INTO devices (is_active) VALUES (true)").status

    assert [b"off", b"0"] == settings
    assert b"0" == prepared
    assert psycopg.pq.ExecStatus.COMMAND_OK == written


@pytest.mark.parametrize(
    "query",
    ["SELECT 'many'", "SELECT 1, 2", "VALUES (1), (2)", "SELECT 1 WHERE false", "SELECT -1"],
)
def test_a_query_that_gives_no_whole_number_is_refused(platform: str, read: Read, query: str) -> None:
    """One row, one column, one whole number from 0 on; anything else is flagged and not reported."""
    seen = read(platform, devices_active_query=query).collect()

    assert "active_devices" not in seen.gauges
    assert "active_devices_failed" in seen.flags


def test_a_server_that_goes_away_is_unreachable_and_found_again(tmp_path: Path, read: Read) -> None:
    """A killed server costs the looks while it is down; the next look after its return connects again."""
    with PostgreSQL(tmp_path / "postgres") as server:
        collector = read(server.dsn)
        collector.collect()
        server.kill()
        statuses = []
        for _ in range(2):
            with pytest.raises(SourceError) as failure:
                collector.collect()
            statuses.append(failure.value.status)
        server.start()

        seen = collector.collect()

    assert statuses == ["unreachable"] * 2
    assert seen.gauges["postgres_size_bytes"] > 0
