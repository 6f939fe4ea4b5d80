"""The journal knows whose it is: a customer's instance stands behind each of its names.

An agent that is set up anew for another instance or customer, on the journal of the former one, goes on under
a new name. What was counted under the old one stays the old one's. Works inside the caller's transaction.
Source: docs/agent-design.md#whose-journal-it-is.
"""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace

from agent.engine.hour import MeasuredHour, Owner
from agent.journal import rows
from agent.journal.facts import Facts, new_state_id
from agent.journal.placing import in_sequence


def adopt(db: sqlite3.Connection, state_id: str, present: Owner) -> Owner:
    """Give an owner to each name that has none; returns the owner of the journal's own name.

    A journal that an older agent wrote tells its owner in its frozen reports; one without any is taken for
    the present agent's. Names without an hour or a report are forgotten.
    """
    db.execute(
        "DELETE FROM owners WHERE state_id<>? AND state_id NOT IN"
        " (SELECT state_id FROM hours UNION SELECT state_id FROM reports)",
        (state_id,),
    )
    told = db.execute(
        "SELECT body FROM reports WHERE length(body)>0 ORDER BY start_ms DESC LIMIT 1"
    ).fetchone()
    fields = json.loads(told[0]) if told else {}
    owner = Owner(fields["customer_id"], fields["instance_id"]) if fields else present
    nameless = db.execute(
        "SELECT state_id FROM (SELECT ? AS state_id UNION SELECT state_id FROM hours UNION"
        " SELECT state_id FROM reports) WHERE state_id NOT IN (SELECT state_id FROM owners)",
        (state_id,),
    ).fetchall()
    for (name,) in nameless:
        rows.write_owner(db, name, owner)
    return rows.read_owner(db, state_id)


def hand_over(db: sqlite3.Connection, facts: Facts, former: Owner, present: Owner) -> Facts:
    """The facts with which the journal goes on for another owner; the former one's hours are over.

    A new customer begins from baselines: what the sources counted before was not theirs. Another instance of
    the same customer catches up.
    """
    db.execute("UPDATE hours SET sealed=1 WHERE state_id=?", (facts.state_id,))
    if former.customer_id != present.customer_id:
        rows.keep_sources(db, ())
    state_id = new_state_id()
    rows.write_owner(db, state_id, present)
    return replace(facts, state_id=state_id, now_ms=facts.run_from_ms)


def place_former(
    db: sqlite3.Connection, state_id: str, place: Callable[[MeasuredHour, int], MeasuredHour]
) -> None:
    """Let the provisional hours of all names but the present one find their places.

    ``place`` moves an hour, never before a full hour: there that of the last one known for certain, which was
    open when the provisional ones began.
    """
    names = db.execute("SELECT DISTINCT state_id FROM hours WHERE provisional=1 AND state_id<>?", (state_id,))
    for (name,) in names.fetchall():
        known = rows.read_hours(db, provisional=False, state_id=name)[-1:]
        earliest_ms = known[0].start_ms if known else 0
        guessed = rows.read_hours(db, provisional=True, state_id=name)
        placed = [*known, *(place(hour, earliest_ms) for hour in guessed)]
        for hour in in_sequence(placed, max(hour.start_ms for hour in placed), ()):
            rows.write_hour(db, name, hour, provisional=False, sealed=True)
