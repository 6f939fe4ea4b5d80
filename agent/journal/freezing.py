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
from agent.journal.trimming import TRIMMED, fitting, trimmed
from metering.core.contract import MAX_REPORT_BYTES, Report, field_errors


def freeze(db: sqlite3.Connection, unbuilt: Unbuilt, reporter: Reporter, again_ms: int) -> bool:
    """Freeze the next revision of an hour; one that no report can carry is put aside until then.

    Returns whether figures had to be left out.
    """
    hour, revision = unbuilt.hour, unbuilt.revision + 1
    frozen = Frozen(unbuilt.state_id, hour.start_ms, revision, unbuilt.sealed, body=b"")
    gap_ms = hour.pending_catch_up_from_ms()
    held_from_ms = None if gap_ms is None else hour_of(gap_ms)
    try:
        report, kept = _built(unbuilt, reporter)
    except ValidationError as error:
        # An hour that no report can carry must not keep the others from being built; it is kept and shown.
        problem = "; ".join(f"{row.field}: {row.message}" for row in field_errors(error))
        rows.write_frozen(db, frozen, "", held_from_ms, hour.pending_catch_up())
        rows.quarantine(db, frozen, f"cannot be reported: {problem}"[:500], again_ms)
        return False
    frozen = replace(frozen, body=report.canonical_json())
    rows.write_frozen(db, frozen, report.digest(), held_from_ms, hour.pending_catch_up())
    if kept is not None:
        rows.keep_figures(db, frozen, kept)
    return kept is not None


def _built(unbuilt: Unbuilt, reporter: Reporter) -> tuple[Report, tuple[str, ...] | None]:
    """The hour's next report, and which figures outside the registry are in it where some had to go."""
    hour, kept = unbuilt.hour.copy(), unbuilt.kept
    name, revision, final = unbuilt.state_id, unbuilt.revision + 1, unbuilt.sealed
    report = report_of(hour, reporter, name, revision, final=final)
    if kept is None and len(report.canonical_json()) <= MAX_REPORT_BYTES:
        return report, None
    if kept is None:
        kept = tuple(fitting(report))
    hour.flag(TRIMMED)
    return trimmed(report_of(hour, reporter, name, revision, final=final), kept), kept
