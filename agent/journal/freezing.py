"""A report is frozen when it is built: its bytes never change, however often they are sent.

Works inside the caller's transaction. Source: docs/agent-design.md#the-journal.
"""

import sqlite3
from dataclasses import replace

from pydantic import ValidationError

from agent.engine.clock import hour_of
from agent.engine.hour import Reporter, report_of
from agent.journal import rows
from agent.journal.rows import Frozen, Unbuilt
from metering.core.contract import field_errors


def freeze(db: sqlite3.Connection, unbuilt: Unbuilt, reporter: Reporter, again_ms: int) -> None:
    """Freeze the next revision of an hour; one that no report can carry is put aside until then."""
    hour, revision = unbuilt.hour, unbuilt.revision + 1
    frozen = Frozen(unbuilt.state_id, hour.start_ms, revision, unbuilt.sealed, body=b"")
    gap_ms = hour.pending_catch_up_from_ms()
    held_from_ms = None if gap_ms is None else hour_of(gap_ms)
    try:
        report = report_of(hour, reporter, unbuilt.state_id, revision, final=unbuilt.sealed)
    except ValidationError as error:
        # An hour that no report can carry must not keep the others from being built; it is kept and shown.
        problem = "; ".join(f"{row.field}: {row.message}" for row in field_errors(error))
        rows.write_frozen(db, frozen, "", held_from_ms, hour.pending_catch_up())
        rows.quarantine(db, frozen, f"cannot be reported: {problem}"[:500], again_ms)
        return
    frozen = replace(frozen, body=report.canonical_json())
    rows.write_frozen(db, frozen, report.digest(), held_from_ms, hour.pending_catch_up())
