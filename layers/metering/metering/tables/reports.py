"""The Reports table: the newest revision of every journal's hour.

Keys: ``pk`` = customer, ``sk`` = ``<hour>#<instance>#<state_id>``. Attributes: ``n`` the revision, ``d`` the
digest of the report's canonical JSON, ``b`` the report itself, packed, ``ttl`` its end in epoch seconds.
Source: docs/storage.md#writing-a-report.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from metering.core.contract import OLDEST_WINDOW, Report
from metering.core.falls import fallen
from metering.core.instants import format_instant, parse_instant
from metering.tables.access import ABSENT, TableAccess, key
from metering.tables.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from metering.tables.access import Item


class Outcome(StrEnum):
    """What became of a report; the contract's words."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Stored:
    """The outcome of a put, with the revision and digest the table holds after it.

    ``lowered`` names the metrics that the accepted revision lowers: a regression, to be alarmed.
    """

    outcome: Outcome
    revision: int
    digest: str
    lowered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reports(TableAccess):
    """Typed access to the Reports table."""

    def put(self, report: Report) -> Stored:
        """Store a report unless the table holds its revision or a higher one."""
        digest = report.digest()
        written = self.put_if(
            f"{ABSENT} OR n < :n", _item(report, digest), tell_before=True, n=report.revision
        )
        if not written.held:
            assert written.before is not None
            return _held(written.before, report.revision, digest)
        return Stored(Outcome.ACCEPTED, report.revision, digest, _lowered(written.before, report))

    def of_hour(self, customer_id: str, hour: datetime) -> Iterator[Report]:
        """All journals' newest reports of one hour, strongly consistent, in key order."""
        for item in self.items_with_prefix(customer_id, f"{format_instant(hour)}#"):
            yield _report(item)

    def between(self, customer_id: str, start: datetime, end: datetime) -> Iterator[Report]:
        """All reports of the hours in ``[start, end)``, in the order of hours."""
        low, high = format_instant(start), format_instant(end)
        for item in self.items_between(customer_id, low, high):
            yield _report(item)

    def last_hours(self, customer_id: str, start: datetime, end: datetime) -> dict[str, datetime]:
        """Each instance's last hour with a report in ``[start, end)``, read from the keys alone."""
        last: dict[str, datetime] = {}
        low, high = format_instant(start), format_instant(end)
        for item in self.items_between(customer_id, low, high, ProjectionExpression="sk"):
            hour, instance, _ = item["sk"]["S"].split("#")
            last[instance] = parse_instant(hour)
        return last


def _item(report: Report, digest: str) -> Item:
    hour = format_instant(report.window_start)
    return key(report.customer_id, f"{hour}#{report.instance_id}#{report.state_id}") | {
        "n": {"N": str(report.revision)},
        "d": {"B": bytes.fromhex(digest)},
        "b": {"B": pack(report.model_dump(mode="json", exclude_defaults=True))},
        "ttl": {"N": str(int((report.window_start + OLDEST_WINDOW).timestamp()))},
    }


def _report(item: Item) -> Report:
    return Report.as_accepted(unpack(bytes(item["b"]["B"])))


def _held(item: Item, revision: int, digest: str) -> Stored:
    stored_revision, stored_digest = int(item["n"]["N"]), bytes(item["d"]["B"]).hex()
    if stored_revision > revision:
        outcome = Outcome.SUPERSEDED
    elif stored_digest == digest:
        outcome = Outcome.DUPLICATE
    else:
        outcome = Outcome.CONFLICT
    return Stored(outcome, stored_revision, stored_digest)


def _lowered(old: Item | None, report: Report) -> tuple[str, ...]:
    return fallen(_report(old), report) if old else ()
