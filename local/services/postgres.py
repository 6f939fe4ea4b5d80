"""The platform's PostgreSQL, in a folder of its own that is gone afterwards."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg

from local.environment import scrubbed
from local.services.program import Program, ProgramDied, ServiceError, find_program

_REMEDY = "apt-get install postgresql"
_CONNECT_SECONDS = 2


class PostgreSQL(Program):
    """A server on 127.0.0.1 with passwords, one superuser (`username`, `password`) and its `database`.

    The cluster is made at the first start in a temporary folder, survives `stop`, `kill` and `restart`, and
    is removed by `close`. Started by root, it runs as ``postgres`` or ``nobody``: the server refuses root.

    ``durable`` turns fsync on; without it a killed *server* loses nothing, a killed machine may.
    """

    name = "postgres"
    # "Fast shutdown": SIGTERM would wait for every client to leave.
    stop_signal = signal.SIGINT
    username = "platform"
    password = "platform-password"  # noqa: S105 - of a server on loopback that lives for minutes
    database = "platform"

    def __init__(self, folder: Path, *, port: int | None = None, durable: bool = False) -> None:
        super().__init__(folder, port)
        self.durable = durable
        self._home: Path | None = None

    @property
    def dsn(self) -> str:
        """The connection string of the superuser for the platform's database."""
        return self.dsn_of(self.username, self.password)

    def dsn_of(self, username: str, password: str, database: str | None = None) -> str:
        """The connection string of another user, for the platform's or another database."""
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1",
            port=self.port,
            user=username,
            password=password,
            dbname=self.database if database is None else database,
        )

    def close(self) -> None:
        """Stop the server and remove its cluster."""
        super().close()
        if self._home is not None:
            shutil.rmtree(self._home)
            self._home = None

    def _prepare(self) -> None:
        if self._home is not None:
            return
        home = Path(tempfile.mkdtemp(prefix="billing-postgres-"))
        account = self._account()
        if account is not None:
            os.chown(home, *account)
        try:
            self._make_cluster(home)
        except BaseException:
            shutil.rmtree(home)
            raise
        self._home = home

    def _make_cluster(self, home: Path) -> None:
        account = self._account()
        password = home / "password"
        password.touch(mode=0o600)
        password.write_text(f"{self.password}\n")
        if account is not None:
            os.chown(password, *account)
        made = subprocess.run(
            [
                _find("initdb"),
                f"--pgdata={home / 'cluster'}",
                f"--username={self.username}",
                "--auth=scram-sha-256",
                f"--pwfile={password}",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=scrubbed({}),
            cwd=home,
            user=None if account is None else account[0],
            group=None if account is None else account[1],
            extra_groups=None if account is None else [],
        )
        password.unlink()
        if made.returncode != 0:
            raise ProgramDied(
                "initdb", made.returncode, made.stderr.decode(errors="replace").splitlines()[-3:]
            )

    def _command(self) -> Sequence[str]:
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._working_folder()),
            "fsync": "on" if self.durable else "off",
            # It would change the database's size between two looks at a database that rests.
            "autovacuum": "off",
            "shared_buffers": "16MB",
            "max_connections": "30",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        return [
            str(_find("postgres")),
            "-D",
            str(self._working_folder() / "cluster"),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]

    def _working_folder(self) -> Path:
        if self._home is None:
            raise ServiceError("the PostgreSQL cluster has not been made")
        return self._home

    def _account(self) -> tuple[int, int] | None:
        if os.geteuid() != 0:
            return None
        for account in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(account)
            except KeyError:
                continue
            return entry.pw_uid, entry.pw_gid
        raise ServiceError("PostgreSQL refuses root, and there is neither a postgres nor a nobody account")

    def _answers(self) -> bool:
        try:
            maintenance = psycopg.connect(
                self.dsn_of(self.username, self.password, "postgres"),
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS,
            )
        except psycopg.OperationalError:
            return False
        with maintenance:
            known = maintenance.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.database])
            if known.fetchone() is None:
                maintenance.execute(
                    psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(self.database))
                )
        return True


def _find(program: str) -> Path:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    return find_program(program, _REMEDY, versions)


def _version(folder: Path) -> float:
    return float(folder.parent.name)
