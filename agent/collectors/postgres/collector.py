"""PostgreSQL: the size of the platform's database, an estimate of its rows, and its devices.

Only levels, no totals, so it need not tell who it is. Source:
docs/agent-design.md#postgresql.
"""

import logging
import re
from collections.abc import Callable, Mapping

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from agent.collectors.postgres.settings import ACTIVE_QUERY, TOTAL_QUERY, PostgresSettings
from agent.engine.observation import Moment, Observation, Series, SourceError, valid_for

_SIZE_QUERY = "SELECT pg_database_size(current_database())"
# The statistics' own estimate, which ANALYZE and pg_stat_reset() move: reported, never billed.
_ROWS_QUERY = "SELECT coalesce(sum(n_live_tup), 0)::bigint FROM pg_stat_user_tables"

_CONNECT_SECONDS = 5
# libpq hands over no error code for a failed connection, only text, which may quote the connection string:
# of it, the server's own words are shown, or one of these causes. A server that speaks another language is
# "unreachable", whatever it says.
_SERVERS_WORDS = re.compile(r"FATAL: +(.+)")
_CAUSES = (
    "Connection refused",
    "timeout expired",
    "could not translate host name",
    "No such file or directory",
    "No route to host",
    "Network is unreachable",
    "server closed the connection unexpectedly",
    "certificate verify failed",
    "SSL",
)
_DENIALS = (
    "authentication failed",
    "permission denied",
    "no pg_hba.conf entry",
    "is not permitted to log in",
)

_log = logging.getLogger(__name__)


class PostgresCollector:
    """Asks four queries, each in a read-only transaction; one that fails leaves the others alone.

    The session is left as it was found, since behind a pooler it is the platform's a moment later: nothing is
    set beyond a transaction, and no statement is prepared.

    A query that fails takes its own gauge away (missing is not zero) and puts the flag
    ``<metric>_<reason>`` in its place, with reason ``denied``, ``absent`` (no such table or column),
    ``timeout`` or ``failed``. Only when nothing could be read is the source itself in error.
    """

    def __init__(self, settings: PostgresSettings, now: Callable[[], Moment], poll_seconds: int) -> None:
        self.name = "postgres"
        self.valid_for_seconds = valid_for(poll_seconds)
        self._settings = settings
        self._now = now
        self._queries = {
            "postgres_size_bytes": _SIZE_QUERY,
            "postgres_rows": _ROWS_QUERY,
            "active_devices": settings.devices_active_query or ACTIVE_QUERY,
            "total_devices": settings.devices_total_query or TOTAL_QUERY,
        }
        self.metrics = frozenset(self._queries)
        self._connection: psycopg.Connection | None = None
        self._complained: frozenset[str] = frozenset()

    def collect(self) -> Observation:
        """Ask all queries; the observation's moment is that before the first.

        Raises
        ------
        SourceError
            ``denied`` or ``unreachable`` without a connection, the reason of the first query when all fail.
            The next call connects again.
        """
        connection = self._connected()
        at = self._now()
        gauges: dict[str, int] = {}
        failures: dict[str, tuple[str, str]] = {}
        for metric, query in self._queries.items():
            try:
                gauges[metric] = self._ask(connection, query)
            except (psycopg.Error, _NotOneNumberError) as error:
                if connection.closed or connection.broken:
                    self.close()
                    raise SourceError("unreachable", _sentence(error)) from error
                failures[metric] = (_reason(error), _sentence(error))
        if not gauges:
            raise SourceError(*next(iter(failures.values())))
        flags = frozenset(f"{metric}_{reason}" for metric, (reason, _) in failures.items())
        self._complain(flags, failures)
        return Observation(at=at, identity=None, gauges=gauges, flags=flags)

    def close(self) -> Mapping[Series, int]:
        """Leave the server; it has no totals that watching could add to."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return {}

    def _connected(self) -> psycopg.Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        try:
            connection = psycopg.connect(
                self._settings.dsn.get_secret_value(),
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS,
                application_name="usage-agent",
                prepare_threshold=None,
            )
        except psycopg.ProgrammingError:
            raise SourceError("unreachable", "POSTGRES_DSN cannot be read by libpq") from None
        except psycopg.Error as error:
            words = _SERVERS_WORDS.search(str(error))
            if words is not None:
                denied = any(sign in words[1] for sign in _DENIALS)
                raise SourceError("denied" if denied else "unreachable", words[1]) from error
            cause = next((cause for cause in _CAUSES if cause in str(error)), "no connection")
            raise SourceError("unreachable", f"{self._place()}: {cause}") from error
        connection.read_only = True
        self._connection = connection
        return connection

    def _ask(self, connection: psycopg.Connection, query: str) -> int:
        with connection.transaction():
            connection.execute(
                "SELECT set_config('statement_timeout', %s, true)",
                [f"{self._settings.statement_timeout_seconds}s"],
            )
            return _one_whole_number(connection, query)

    def _place(self) -> str:
        """Host, port and database as the connection string names them, and nothing else of it."""
        parts = conninfo_to_dict(self._settings.dsn.get_secret_value())
        named = {"host": "default host", "port": "5432", "dbname": "default database"} | parts
        return f"{named['host']}:{named['port']}/{named['dbname']}"

    def _complain(self, flags: frozenset[str], failures: dict[str, tuple[str, str]]) -> None:
        # Flags carry no text, so the log does: once, until the failures change.
        if flags != self._complained:
            for metric, (reason, text) in failures.items():
                _log.warning("postgres: %s could not be read (%s): %s", metric, reason, text)
            self._complained = flags


class _NotOneNumberError(Exception):
    """A configured query gave something else than one row with one whole number from 0 on."""


def _one_whole_number(connection: psycopg.Connection, query: str) -> int:
    # A query from the settings is text of the operator's; psycopg's type asks for a literal of the program's.
    rows = connection.execute(query.encode()).fetchmany(2)
    if len(rows) != 1 or len(rows[0]) != 1 or type(rows[0][0]) is not int or rows[0][0] < 0:
        raise _NotOneNumberError(f"{query!r} does not give one row with one whole number")
    return rows[0][0]


def _reason(error: Exception) -> str:
    match error:
        case errors.InsufficientPrivilege():
            return "denied"
        case errors.UndefinedTable() | errors.UndefinedColumn():
            return "absent"
        case errors.QueryCanceled():
            return "timeout"
        case _:
            return "failed"


def _sentence(error: Exception) -> str:
    # The first line: the rest points into the query's text.
    return str(error).strip().partition("\n")[0] or type(error).__name__
