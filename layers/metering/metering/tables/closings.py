"""The calendar of closings: when to look next at each period that no invoice has fixed yet.

Keys in the Customers table: ``pk`` = ``closing#<shard>``, ``sk`` = ``<when>#<customer>#<period start>``, so
that what is due is one query of what has come, however many periods are still open. An item is a hint:
looking twice does no harm, and one whose period is final is removed. Whoever works on an item puts another in
its place, so it is worked on only while it is there: else a queue that is behind would make two of one.
Source: docs/stripe-protocol.md#closing-a-period; docs/decisions/0008-a-calendar-of-closings.md.

Work that Stripe did not let through is entered too, with its kind and ``-<tries>`` in place of the period's
start, and so is each night's reconciliation, with 0 tries. Source:
docs/decisions/0021-a-reconciliation-comes-back-by-the-calendar.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from metering.core.instants import format_instant, parse_instant
from metering.tables.access import TableAccess, key
from metering.tables.shards import SHARDS, shard_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from metering.tables.access import Item


class Retried(StrEnum):
    """Which kind of work comes back."""

    RECONCILE = "again"
    SEND = "send"
    CLOSE_ENDED = "ended"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Closing:
    """A customer's period that is to be looked at, and when."""

    customer_id: str
    period_start: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Retry:
    """A customer's work that Stripe did not let through ``tries`` times, and when to try (again)."""

    customer_id: str
    tries: int
    at: datetime
    kind: Retried = Retried.RECONCILE


@dataclass(frozen=True, slots=True)
class Closings(TableAccess):
    """Typed access to the calendar."""

    def due(self, now: datetime) -> Iterator[Closing | Retry]:
        """Everything whose time has come, of all shards, strongly consistent."""
        for shard in range(SHARDS):
            # "$" is the character after "#": whatever is due at this very second counts as due.
            end = f"{_second(now)}$"
            yield from map(_entry, self.query("pk = :pk AND sk < :end", pk=f"closing#{shard}", end=end))

    def put(self, entry: Closing | Retry) -> None:
        """Enter a look, or a retry, into the calendar."""
        self.put_item(_key(entry))

    def has(self, entry: Closing | Retry) -> bool:
        """Tell whether a look, or a retry, is still in the calendar: strongly consistent."""
        return self.get(*_place(entry)) is not None

    def move(self, closing: Closing, at: datetime) -> None:
        """Look again at another time. A crash in between leaves both entries, never none."""
        self.put(Closing(closing.customer_id, closing.period_start, at))
        if _second(at) != _second(closing.at):
            self.remove(closing)

    def remove(self, entry: Closing | Retry) -> None:
        """Take a look, or a retry, off the calendar."""
        self.delete_item(_key(entry))


def _second(instant: datetime) -> str:
    return format_instant(instant.replace(microsecond=0))


def _key(entry: Closing | Retry) -> Item:
    return key(*_place(entry))


def _place(entry: Closing | Retry) -> tuple[str, str]:
    what = f"{entry.kind}-{entry.tries}" if isinstance(entry, Retry) else format_instant(entry.period_start)
    shard, when = shard_of(entry.customer_id), _second(entry.at)
    return f"closing#{shard}", f"{when}#{entry.customer_id}#{what}"


def _entry(item: Item) -> Closing | Retry:
    at, customer, what = item["sk"]["S"].split("#")
    kind, _, tries = what.partition("-")
    if kind in {*Retried}:
        return Retry(customer, int(tries), parse_instant(at), Retried(kind))
    return Closing(customer, parse_instant(what), parse_instant(at))
