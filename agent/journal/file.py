"""The journal's file: one SQLite database, opened by one agent at a time, that survives a full disk.

WAL with ``synchronous=FULL``: a committed transaction outlives a power cut. When the disk is full even DELETE
and a checkpoint fail, so a ballast file lies beside the database, to be freed then. Source:
docs/agent-design.md#the-journal, docs/agent-design.md#disk-full; SQLite's documentation of the pragmas used.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

SCHEMA = 2
APPLICATION_ID = 0x5A424A31
"""Marks the file as a journal of this agent ("ZBJ1"), so that no other database is taken for one."""
BALLAST_BYTES = 2 * 1024 * 1024
"""Room for the write-ahead log (200 pages before a checkpoint) and for the database to grow a little."""
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY})
_TAKEN = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
"""Somebody else holds the database for longer than SQLite waits (5 s): a backup, a curious shell."""
_OTHER_SCHEMA = "JOURNAL_PATH: {} has schema {}, not {}; {}"
_PAGE_BYTES = 4096
_WAL_PAGES = 200
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sources (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE hours (
    state_id TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    provisional INTEGER NOT NULL,
    sealed INTEGER NOT NULL,
    content TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    digest TEXT NOT NULL DEFAULT '',
    final_built INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (state_id, start_ms, provisional)
) STRICT, WITHOUT ROWID;
CREATE TABLE reports (
    state_id TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    final INTEGER NOT NULL,
    body BLOB NOT NULL,
    held_from_ms INTEGER,
    catch_up TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    retry_ms INTEGER NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT '',
    quarantined INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (state_id, start_ms)
) STRICT, WITHOUT ROWID;
"""
_SINCE_2 = """
CREATE TABLE owners (
    state_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, instance_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE hours ADD COLUMN kept TEXT NOT NULL DEFAULT '';
"""


class JournalError(Exception):
    """The journal cannot be opened; the text says what to do."""


class JournalFullError(Exception):
    """A transaction could not be written; nothing of it took place."""


class JournalFile:
    """An open journal database.

    Parameters
    ----------
    path
        The database; its folder must exist. Beside it lie ``.lock`` and ``.ballast``.
    max_bytes
        The size beyond which neither the database nor its write-ahead log grows.

    Raises
    ------
    JournalError
        When another agent has it open, or it is no journal or one of a newer agent.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.full = False
        self._ballast = path.with_name(path.name + ".ballast")
        self._log = path.with_name(path.name + "-wal")
        self._max_bytes = max_bytes
        self._lock = _lock(path)
        try:
            self._db = _open(path, max_bytes)
        except BaseException:
            self._lock.close()
            raise
        self.restore_ballast()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at the end of the block or not at all.

        Raises
        ------
        JournalFullError
            When it could not be written. Where the disk is the reason, the ballast is freed, so that the next
            one finds room.
        """
        try:
            self._bound_log()
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if primary not in _FULL | _TAKEN:
                raise
            if primary in _FULL:
                self.full = True
                self._ballast.unlink(missing_ok=True)
            raise JournalFullError(str(error)) from error
        except BaseException:
            self._rollback()
            raise

    def _bound_log(self) -> None:
        """Empty a log that has outgrown its bound; it cannot be while somebody reads an old state of it."""
        if not self._log.exists() or self._log.stat().st_size <= self._max_bytes:
            return
        (busy, _, _) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise JournalFullError(
                f"another program reads {self.path} since {self._log.name} began to grow; end it"
            )

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def restore_ballast(self) -> None:
        """Lay the ballast down again where the disk has room for twice as much."""
        if self._ballast.exists() and self._ballast.stat().st_size >= BALLAST_BYTES:
            return
        space = os.statvfs(self._ballast.parent)
        if space.f_bavail * space.f_frsize < 2 * BALLAST_BYTES:
            return
        try:
            # Written, not only reserved: a sparse file would free nothing.
            self._ballast.write_bytes(bytes(BALLAST_BYTES))
        except OSError:
            self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the database and let another agent open it."""
        self._db.close()
        self._lock.close()


@contextmanager
def open_beside(path: Path) -> Iterator[sqlite3.Connection]:
    """The journal for one change, committed at the end of the block, also while an agent uses it.

    Raises
    ------
    JournalError
        When there is none, it is no journal of this version, or the change cannot be written.
    """
    with open_read_only(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"JOURNAL_PATH: {path} cannot be written: {error}") from error


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """The journal for looking at, also while an agent writes it.

    Raises
    ------
    JournalError
        When there is none, or it is no journal of this version.
    """
    if not path.is_file():
        raise JournalError(f"no journal at {path}; has the agent run here? see JOURNAL_PATH")
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        schema = _schema(db, path)
        if schema < SCHEMA:
            raise JournalError(_OTHER_SCHEMA.format(path, schema, SCHEMA, "let this agent run once"))
        yield db


def _lock(path: Path) -> IO[bytes]:
    name = path.with_name(path.name + ".lock")
    try:
        lock = name.open("ab")
    except OSError as error:
        raise JournalError(f"JOURNAL_PATH: {path.parent} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise JournalError(f"JOURNAL_PATH: another agent is using {path}; give each its own") from None
    return lock


def _open(path: Path, max_bytes: int) -> sqlite3.Connection:
    # One connection behind the journal's own lock, which several threads take in turn.
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        schema = _schema(db, path) if tables else 0
        db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        (mode,) = db.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise sqlite3.DatabaseError("its file system cannot hold a write-ahead log")  # noqa: TRY301  one text for all
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={_WAL_PAGES * _PAGE_BYTES}")
        db.execute(f"PRAGMA max_page_count={max_bytes // _PAGE_BYTES}")
        if schema < SCHEMA:
            made = "" if schema else f"{_TABLES} PRAGMA application_id={APPLICATION_ID};"
            db.executescript(f"BEGIN IMMEDIATE; {made} {_SINCE_2} PRAGMA user_version={SCHEMA}; COMMIT;")
    except sqlite3.DatabaseError as error:
        db.close()
        raise JournalError(f"JOURNAL_PATH: {path} cannot be used: {error}; move it away") from error
    except JournalError:
        db.close()
        raise
    return db


def _schema(db: sqlite3.Connection, path: Path) -> int:
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (schema,) = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise JournalError(f"JOURNAL_PATH: {path} cannot be read: {error}; move it away") from error
    if application != APPLICATION_ID:
        raise JournalError(f"JOURNAL_PATH: {path} is no journal of this agent; name another file")
    if schema > SCHEMA:
        raise JournalError(_OTHER_SCHEMA.format(path, schema, SCHEMA, "run the agent that wrote it"))
    return int(schema)
