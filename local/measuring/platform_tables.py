"""The platform's own tables, as far as billing reads them, and their levels as SQL tells them."""

from dataclasses import dataclass

import psycopg

_TABLES = (
    """CREATE TABLE devices (
        id integer PRIMARY KEY,
        is_active boolean NOT NULL,
        is_online boolean NOT NULL DEFAULT false
    )""",
    """CREATE TABLE readings (
        device_id integer NOT NULL REFERENCES devices,
        topic text NOT NULL,
        payload bytea NOT NULL
    )""",
)


@dataclass(frozen=True, slots=True)
class Levels:
    """What the database shows at one moment: devices, and its size in bytes."""

    active_devices: int
    total_devices: int
    size_bytes: int


def create_tables(dsn: str) -> None:
    """Make the platform's tables in an empty database."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in _TABLES:
            connection.execute(table.encode())


def read_levels(connection: psycopg.Connection) -> Levels:
    """The levels now, in one statement, so that they belong together."""
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE is_active), count(*), pg_database_size(current_database())"
        " FROM devices"
    ).fetchone()
    if row is None:
        raise AssertionError("an aggregate without a group always gives a row")
    return Levels(*row)
