"""The Markers table: what has changed and is still to be worked on.

Two kinds, each over 16 shards: ``dirty`` (customer, hour) is to be recomputed; ``unsent`` (customer, date) is
to be reported to Stripe. A marker carries ``touched``, a fresh id with every change; a worker deletes it only
if nothing touched it meanwhile. Source: docs/storage.md#tables.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from metering.core.instants import format_instant, parse_instant
from metering.tables.access import TableAccess, key
from metering.tables.shards import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metering.tables.access import Item


@dataclass(frozen=True, slots=True)
class DirtyHour:
    """An hour of a customer that is to be recomputed."""

    customer_id: str
    hour: datetime
    touched: str


@dataclass(frozen=True, slots=True)
class UnsentDay:
    """A day of a customer that is to be reported to Stripe."""

    customer_id: str
    day: date
    touched: str


@dataclass(frozen=True, slots=True)
class Markers(TableAccess):
    """Typed access to the Markers table."""

    def touch_dirty(self, customer_id: str, hour: datetime) -> None:
        """Mark an hour to be recomputed, or touch its marker again."""
        self._touch("dirty", customer_id, format_instant(hour))

    def dirty(self, shard: int) -> Iterator[DirtyHour]:
        """All dirty hours of one shard."""
        return map(_dirty, self.query("pk = :pk", pk=f"dirty#{shard}"))

    def dirty_of(self, customer_id: str) -> Iterator[DirtyHour]:
        """All dirty hours of one customer, in order."""
        partition = f"dirty#{shard_of(customer_id)}"
        return map(_dirty, self.items_with_prefix(partition, f"{customer_id}#"))

    def dirty_hour(self, customer_id: str, hour: datetime) -> DirtyHour | None:
        """One hour's marker, if it is there."""
        item = self.get(*_place("dirty", customer_id, format_instant(hour)))
        return _dirty(item) if item else None

    def clear_dirty(self, marker: DirtyHour) -> bool:
        """Delete a marker unless it was touched since it was read; tell whether it is gone."""
        return self._clear("dirty", marker.customer_id, format_instant(marker.hour), marker.touched)

    def touch_unsent(self, customer_id: str, day: date) -> None:
        """Mark a day to be reported, or touch its marker again."""
        self._touch("unsent", customer_id, day.isoformat())

    def unsent(self, shard: int) -> Iterator[UnsentDay]:
        """All unsent days of one shard."""
        return map(_unsent, self.query("pk = :pk", pk=f"unsent#{shard}"))

    def unsent_of(self, customer_id: str) -> Iterator[UnsentDay]:
        """All unsent days of one customer, in order."""
        partition = f"unsent#{shard_of(customer_id)}"
        return map(_unsent, self.items_with_prefix(partition, f"{customer_id}#"))

    def clear_unsent(self, marker: UnsentDay) -> bool:
        """Delete a marker unless it was touched since it was read; tell whether it is gone."""
        return self._clear("unsent", marker.customer_id, marker.day.isoformat(), marker.touched)

    def _touch(self, kind: str, customer_id: str, rest: str) -> None:
        self.put_item(key(*_place(kind, customer_id, rest)) | {"touched": {"S": str(uuid.uuid4())}})

    def _clear(self, kind: str, customer_id: str, rest: str, touched: str) -> bool:
        where = key(*_place(kind, customer_id, rest))
        return self.delete_if("touched = :touched", where, touched=touched).held


def _place(kind: str, customer_id: str, rest: str) -> tuple[str, str]:
    return f"{kind}#{shard_of(customer_id)}", f"{customer_id}#{rest}"


def _dirty(item: Item) -> DirtyHour:
    customer, _, hour = item["sk"]["S"].partition("#")
    return DirtyHour(customer, parse_instant(hour), item["touched"]["S"])


def _unsent(item: Item) -> UnsentDay:
    customer, _, day = item["sk"]["S"].partition("#")
    return UnsentDay(customer, date.fromisoformat(day), item["touched"]["S"])
