"""The settings of the database: ``[postgres]`` or ``POSTGRES_…``. Source: docs/agent-design.md#postgresql."""

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from agent.section import RegisteredSource, Section, Variable

# is_active is the administrator's switch; is_online falls after 5 minutes of silence.
ACTIVE_QUERY = "SELECT count(*) FROM devices WHERE is_active"
TOTAL_QUERY = "SELECT count(*) FROM devices"
_ESCAPES = "put quotes around a value with blanks, percent-encode the password in a URL"


class PostgresSettings(Section):
    """Which PostgreSQL database to size, and the queries that count devices.

    ``dsn`` is a libpq connection string or URL. A query of ``None`` means `ACTIVE_QUERY` or `TOTAL_QUERY` on
    the platform's table; each must give one row with one whole number.
    """

    dsn: SecretStr
    devices_active_query: str | None = None
    devices_total_query: str | None = None
    statement_timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 5

    @field_validator("dsn")
    @classmethod
    def _readable(cls, dsn: SecretStr) -> SecretStr:
        """Refuse what libpq would misread: its own complaint later could show a part of the password."""
        # Imported only where the source is enabled: psycopg costs 15 MB.
        from psycopg import ProgrammingError  # noqa: PLC0415  see above
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415  see above

        try:
            parts = conninfo_to_dict(dsn.get_secret_value())
        except ProgrammingError:
            # The cause is left out of the chain: it quotes the text.
            raise ValueError(f"no connection string or URL of libpq; {_ESCAPES}") from None
        host, port = str(parts.get("host") or ""), str(parts.get("port") or "")
        named = f"{host[1:]}{parts.get('dbname') or ''}"
        if "@" in named or not all(part.isascii() and part.isdigit() for part in port.split(",") if part):
            raise ValueError(f"its host, port or database name cannot be one; {_ESCAPES}")
        return dsn


SOURCE = RegisteredSource(
    name="postgres",
    section=PostgresSettings,
    variables=(
        Variable(
            "POSTGRES_DSN",
            "dsn",
            "a libpq connection string or URL; naming it enables the source",
            secret=True,
        ),
        Variable(
            "POSTGRES_DEVICES_ACTIVE_QUERY",
            "devices_active_query",
            "one row, one whole number",
            default=f"`{ACTIVE_QUERY}`",
        ),
        Variable(
            "POSTGRES_DEVICES_TOTAL_QUERY",
            "devices_total_query",
            "the same",
            default=f"`{TOTAL_QUERY}`",
        ),
        Variable(
            "POSTGRES_STATEMENT_TIMEOUT_SECONDS", "statement_timeout_seconds", "for each query, 1 to 60"
        ),
    ),
    collector="agent.collectors.postgres.collector:PostgresCollector",
    title="PostgreSQL",
    figures="size of the database; devices, active and in all; rows (an estimate, never billed)",
    needs="a role with `CONNECT` and `SELECT` on `devices`, or `pg_monitor` and own queries",
)
