"""What the journal's tables hold, row by row: reading and writing without any rule.

Every function works inside the caller's transaction. Source: docs/agent-design.md#the-journal.
"""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from agent.engine.clock import Timeline
from agent.engine.hour import MeasuredHour, Owner
from agent.engine.observation import Moment
from agent.engine.source_state import SourceState
from agent.engine.tally import Tally
from agent.journal.facts import Facts


@dataclass(frozen=True, slots=True)
class Frozen:
    """One report as it was built: its bytes never change, only what became of sending them."""

    state_id: str
    start_ms: int
    revision: int
    final: bool
    body: bytes
    attempts: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Unbuilt:
    """An hour of which another revision can be built, with the number of the last one (0 for none).

    ``kept`` are the figures outside the registry that it reports, once some had to go; None for all.
    """

    state_id: str
    hour: MeasuredHour
    sealed: bool
    revision: int
    owner: Owner
    kept: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much has no answer yet: frozen reports, those that the service refused for good, unbuilt hours.

    ``oldest_ms`` is the start of the oldest hour without an answer; ``problems`` are the texts of failed
    attempts, the oldest hour's first, at most five; ``former`` are the hours of each owner whose name the
    journal no longer bears.
    """

    reports: int
    quarantined: int
    hours: int
    oldest_ms: int | None
    problems: tuple[tuple[int, str], ...]
    former: tuple[tuple[Owner, int], ...] = ()


def read_facts(db: sqlite3.Connection) -> Facts | None:
    """The journal's single facts, or None in a new journal."""
    row = db.execute("SELECT value FROM meta WHERE key='present'").fetchone()
    if row is None:
        return None
    fields: dict[str, Any] = json.loads(row[0])
    # Journals of older agents have the time of their last fork, which nobody asks for.
    fields.pop("forked_ms", None)
    timeline = fields["timeline"]
    fields["timeline"] = Timeline(Moment(**timeline["anchor"]), timeline["anchor_ms"], timeline["known"])
    return Facts(**fields)


def write_facts(db: sqlite3.Connection, facts: Facts) -> None:
    """Keep the journal's single facts."""
    text = json.dumps(asdict(facts), separators=(",", ":"))
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('present', ?)", (text,))


def read_sources(db: sqlite3.Connection) -> dict[str, SourceState]:
    """Every source's last values."""
    rows = db.execute("SELECT name, state FROM sources ORDER BY name")
    return {name: SourceState.from_json(state) for name, state in rows}


def write_sources(db: sqlite3.Connection, sources: dict[str, SourceState]) -> None:
    """Keep every source's last values."""
    db.executemany(
        "INSERT OR REPLACE INTO sources (name, state) VALUES (?, ?)",
        [(name, state.to_json()) for name, state in sources.items()],
    )


def keep_sources(db: sqlite3.Connection, names: Iterable[str]) -> None:
    """Drop the last values of all other sources: their next observations are baselines."""
    wanted = json.dumps(list(names))
    db.execute("DELETE FROM sources WHERE name NOT IN (SELECT value FROM json_each(?))", (wanted,))


def read_owner(db: sqlite3.Connection, state_id: str) -> Owner:
    """Whose usage is reported under a name of the journal's; every name has an owner."""
    return Owner(
        *db.execute("SELECT customer_id, instance_id FROM owners WHERE state_id=?", (state_id,)).fetchone()
    )


def write_owner(db: sqlite3.Connection, state_id: str, owner: Owner) -> None:
    """Note whose usage is reported under a name that had no owner yet."""
    db.execute(
        "INSERT INTO owners (state_id, customer_id, instance_id) VALUES (?, ?, ?)",
        (state_id, owner.customer_id, owner.instance_id),
    )


def write_hour(
    db: sqlite3.Connection, state_id: str, hour: MeasuredHour, *, provisional: bool, sealed: bool
) -> None:
    """Keep an hour's amounts; what was built of it stays as it is."""
    db.execute(
        "INSERT INTO hours (state_id, start_ms, provisional, sealed, content) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET sealed=excluded.sealed, content=excluded.content",
        (state_id, hour.start_ms, provisional, sealed, hour.to_json()),
    )


def write_tally(db: sqlite3.Connection, state_id: str, tally: Tally, *, provisional: bool) -> None:
    """Keep what one tick changed: the hours that ended, the open one, the sources."""
    for hour in tally.closed:
        write_hour(db, state_id, hour, provisional=provisional, sealed=True)
    write_hour(db, state_id, tally.hour, provisional=provisional, sealed=False)
    write_sources(db, tally.sources)


def read_hours(
    db: sqlite3.Connection, *, provisional: bool, sealed: bool | None = None, state_id: str | None = None
) -> list[MeasuredHour]:
    """Hours that wait for their answer, oldest first; quarantined ones are left out."""
    wanted = (False, True) if sealed is None else (sealed, sealed)
    rows = db.execute(
        "SELECT content FROM hours WHERE provisional=? AND quarantined=0 AND sealed IN (?, ?) "
        "AND state_id=coalesce(?, state_id) ORDER BY start_ms",
        (provisional, *wanted, state_id),
    )
    return [MeasuredHour.from_json(content) for (content,) in rows]


def unbuilt_hours(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """Name and start of every hour that may still get a revision, oldest first."""
    return db.execute(
        "SELECT state_id, start_ms FROM hours WHERE provisional=0 AND quarantined=0 AND final_built=0 "
        "ORDER BY start_ms"
    ).fetchall()


def read_unbuilt(db: sqlite3.Connection, state_id: str, start_ms: int) -> Unbuilt:
    """One of `unbuilt_hours`, with its amounts."""
    content, sealed, revision, kept = db.execute(
        "SELECT content, sealed, revision, kept FROM hours WHERE state_id=? AND start_ms=? AND provisional=0",
        (state_id, start_ms),
    ).fetchone()
    figures = tuple(json.loads(kept)) if kept else None
    owner = read_owner(db, state_id)
    return Unbuilt(state_id, MeasuredHour.from_json(content), bool(sealed), revision, owner, figures)


def keep_figures(db: sqlite3.Connection, report: Frozen, kept: Iterable[str]) -> None:
    """Note which figures outside the registry every later revision of the report's hour carries."""
    db.execute(
        "UPDATE hours SET kept=? WHERE state_id=? AND start_ms=? AND provisional=0",
        (json.dumps(list(kept)), report.state_id, report.start_ms),
    )


def write_frozen(
    db: sqlite3.Connection,
    report: Frozen,
    digest: str,
    held_from_ms: int | None,
    catch_up: dict[str, dict[str, int]],
) -> None:
    """Keep a built report in place of the hour's older revision, and that its number is taken."""
    db.execute(
        "INSERT OR REPLACE INTO reports (state_id, start_ms, revision, final, body, held_from_ms, catch_up) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            report.state_id,
            report.start_ms,
            report.revision,
            report.final,
            report.body,
            held_from_ms,
            json.dumps(catch_up, separators=(",", ":")),
        ),
    )
    db.execute(
        "UPDATE hours SET revision=?, digest=?, final_built=? "
        "WHERE state_id=? AND start_ms=? AND provisional=0",
        (report.revision, digest, report.final, report.state_id, report.start_ms),
    )


def settle(db: sqlite3.Connection, report: Frozen) -> dict[str, dict[str, int]]:
    """Drop an answered report, and its hour when it was the final one; returns the catch-up it carried.

    Nothing happens when a newer revision has taken the report's place.
    """
    row = db.execute(
        "DELETE FROM reports WHERE state_id=? AND start_ms=? AND revision=? RETURNING catch_up",
        (report.state_id, report.start_ms, report.revision),
    ).fetchone()
    if row is None:
        return {}
    if report.final:
        db.execute(
            "DELETE FROM hours WHERE state_id=? AND start_ms=? AND provisional=0",
            (report.state_id, report.start_ms),
        )
    catch_up: dict[str, dict[str, int]] = json.loads(row[0])
    return catch_up


def postpone(db: sqlite3.Connection, report: Frozen, problem: str, retry_ms: int) -> None:
    """Note a failed attempt of this revision."""
    db.execute(
        "UPDATE reports SET attempts=attempts+1, problem=?, retry_ms=? "
        "WHERE state_id=? AND start_ms=? AND revision=?",
        (problem, retry_ms, report.state_id, report.start_ms, report.revision),
    )


def quarantine(db: sqlite3.Connection, report: Frozen, problem: str, again_ms: int) -> None:
    """Put a refused report aside until then; its hour holds up no other when it was the final one."""
    key = (report.state_id, report.start_ms)
    db.execute(
        "UPDATE reports SET quarantined=1, attempts=attempts+1, problem=?, retry_ms=? "
        "WHERE state_id=? AND start_ms=? AND revision=?",
        (problem, again_ms, *key, report.revision),
    )
    if report.final:
        db.execute("UPDATE hours SET quarantined=1 WHERE state_id=? AND start_ms=? AND provisional=0", key)


def requeue(db: sqlite3.Connection, now_ms: int | None = None) -> int:
    """Let hours whose final report is quarantined get another revision; returns how many.

    Those that are due again by ``now_ms``, or every one. The refused bytes go; the hour has all they said.
    """
    due = db.execute(
        "SELECT state_id, start_ms FROM hours JOIN reports USING (state_id, start_ms) "
        "WHERE provisional=0 AND hours.quarantined=1 AND retry_ms<=coalesce(?, retry_ms)",
        (now_ms,),
    ).fetchall()
    db.executemany("DELETE FROM reports WHERE state_id=? AND start_ms=?", due)
    db.executemany(
        "UPDATE hours SET quarantined=0, final_built=0 WHERE state_id=? AND start_ms=? AND provisional=0", due
    )
    return len(due)


def newest_revision(db: sqlite3.Connection, report: Frozen) -> tuple[int, str]:
    """Number and digest of the last revision built of a report's hour."""
    row = db.execute(
        "SELECT revision, digest FROM hours WHERE state_id=? AND start_ms=? AND provisional=0",
        (report.state_id, report.start_ms),
    ).fetchone()
    return (row[0], row[1]) if row else (0, "")


def delete_unanswered(db: sqlite3.Connection, state_id: str) -> None:
    """Drop a name's hours and reports without an answer; the caller writes them again under another."""
    db.execute(
        "DELETE FROM reports WHERE state_id=? AND NOT EXISTS (SELECT 1 FROM hours WHERE quarantined=1"
        " AND hours.state_id=reports.state_id AND hours.start_ms=reports.start_ms)",
        (state_id,),
    )
    db.execute("DELETE FROM hours WHERE provisional=0 AND quarantined=0 AND state_id=?", (state_id,))


def rename_hour(db: sqlite3.Connection, report: Frozen, state_id: str) -> None:
    """Let one hour go by another name, of which no revision was built yet."""
    key = (report.state_id, report.start_ms)
    db.execute("DELETE FROM reports WHERE state_id=? AND start_ms=?", key)
    db.execute(
        "UPDATE hours SET state_id=?, revision=0, digest='', final_built=0 "
        "WHERE state_id=? AND start_ms=? AND provisional=0",
        (state_id, *key),
    )


def read_backlog(db: sqlite3.Connection) -> Backlog:
    """How much has no answer yet."""
    reports, refused = db.execute(
        "SELECT count(*) FILTER (WHERE quarantined=0), count(*) FILTER (WHERE quarantined=1) FROM reports"
    ).fetchone()
    hours, oldest_ms = db.execute("SELECT count(*), min(start_ms) FROM hours WHERE quarantined=0").fetchone()
    problems = db.execute(
        "SELECT start_ms, problem FROM reports WHERE problem<>'' ORDER BY start_ms LIMIT 5"
    ).fetchall()
    return Backlog(reports, refused, hours, oldest_ms, tuple(problems), read_former(db))


def read_former(db: sqlite3.Connection) -> tuple[tuple[Owner, int], ...]:
    """How many hours are kept of each owner whose name the journal no longer bears."""
    former = db.execute(
        "SELECT customer_id, instance_id, count(*) FROM hours JOIN owners USING (state_id) "
        "WHERE (customer_id, instance_id) NOT IN (SELECT customer_id, instance_id FROM owners"
        " JOIN meta ON state_id=json_extract(value, '$.state_id') WHERE key='present') "
        "GROUP BY customer_id, instance_id"
    )
    return tuple((Owner(customer_id, instance_id), count) for customer_id, instance_id, count in former)


def delete_provisional(db: sqlite3.Connection) -> None:
    """Drop the hours that ran by the wall clock, once they have found their places."""
    db.execute("DELETE FROM hours WHERE provisional=1")


def next_frozen(db: sqlite3.Connection, now_ms: int, owner: Owner) -> Frozen | None:
    """The owner's report to send next: new ones by age, then those that failed, by when they are due again.

    A report that carries amounts of the agent's absence waits until every hour of the owner's from the gap's
    first on has its answer.
    """
    whose = (owner.customer_id, owner.instance_id)
    row = db.execute(
        "SELECT state_id, start_ms, revision, final, body, attempts, problem FROM reports AS report "
        "WHERE quarantined=0 AND retry_ms<=? "
        "AND state_id IN (SELECT state_id FROM owners WHERE customer_id=? AND instance_id=?) "
        "AND (held_from_ms IS NULL OR NOT EXISTS ("
        " SELECT 1 FROM hours JOIN owners USING (state_id) WHERE provisional=0 AND quarantined=0"
        " AND customer_id=? AND instance_id=?"
        " AND hours.start_ms>=report.held_from_ms AND hours.start_ms<report.start_ms)) "
        "ORDER BY retry_ms, start_ms LIMIT 1",
        (now_ms, *whose, *whose),
    ).fetchone()
    return None if row is None else Frozen(row[0], row[1], row[2], bool(row[3]), *row[4:])
