"""The Ledger table: what was sent to Stripe, for every customer, day, meter and hour.

Keys: ``pk`` = customer, ``sk`` = UTC date. Attributes: ``n`` the item's version, ``b`` its entries, packed.
Source: docs/stripe-protocol.md#the-protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from metering.core.instants import format_instant, parse_instant
from metering.tables.access import ABSENT, TableAccess, key
from metering.tables.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from metering.tables.access import Item


@dataclass(frozen=True, slots=True)
class EntryState:
    """What has become of a number at Stripe: pending, sent or refused.

    ``code`` is why it is refused: Stripe's code, or the HTTP status of an answer without one. As text, and so
    as it is stored, it is ``pending``, ``sent`` or ``refused(<code>)``.
    """

    name: Literal["pending", "sent", "refused"]
    code: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether Stripe does not take the number."""
        return self.code is not None

    def __str__(self) -> str:
        """Return the state as it is stored and shown."""
        return self.name if self.code is None else f"{self.name}({self.code})"


PENDING = EntryState("pending")
SENT = EntryState("sent")


_BY_NAME = {str(state): state for state in (PENDING, SENT)}


def refused(code: str) -> EntryState:
    """Return the state of a number that Stripe refuses."""
    return EntryState("refused", code)


@dataclass(frozen=True, slots=True)
class Entry:
    """The newest number of one meter's hour: a number stands for one value for ever.

    ``sent_at`` is when it was last given to Stripe; ``differs_since`` when the reconciliation first sent the
    hour again, as long as Stripe differs.
    """

    number: int
    value: Decimal
    state: EntryState
    sent_at: datetime | None = None
    differs_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Day:
    """A customer's ledger of one day: per meter and hour its newest entry.

    ``computed_from`` tells for each hour which state of its reports the entries were made of.
    """

    customer_id: str
    day: date
    version: int = 0
    entries: Mapping[tuple[str, datetime], Entry] = field(default_factory=dict)
    computed_from: Mapping[datetime, int] = field(default_factory=dict)


class VersionConflictError(Exception):
    """Someone else wrote the day's ledger since it was read."""


@dataclass(frozen=True, slots=True)
class Ledger(TableAccess):
    """Typed access to the Ledger table."""

    def day(self, customer_id: str, day: date) -> Day:
        """Read a day, strongly consistent; one never written is empty, with version 0."""
        item = self.get(customer_id, day.isoformat())
        return _day(item) if item else Day(customer_id, day)

    def between(self, customer_id: str, first: date, last: date) -> Iterator[Day]:
        """The written days from the first to the last, both included, in order, strongly consistent."""
        low, high = first.isoformat(), last.isoformat()
        return map(_day, self.items_between(customer_id, low, high))

    def put(self, day: Day) -> Day:
        """Write a day over the version it was read as; return it with its new version.

        Raises
        ------
        VersionConflictError
            When the stored version is another.
        """
        written = replace(day, version=day.version + 1)
        condition = "n = :n" if day.version else f"{ABSENT} OR n = :n"
        if not self.put_if(condition, _item(written), n=day.version).held:
            raise VersionConflictError(f"ledger of {day.customer_id} {day.day} is past {day.version}")
        return written


def _item(day: Day) -> Item:
    entries: dict[str, dict[str, list[object]]] = {}
    for (meter, hour), entry in day.entries.items():
        entries.setdefault(meter, {})[format_instant(hour)] = _row(entry)
    computed = {format_instant(hour): number for hour, number in day.computed_from.items()}
    return key(day.customer_id, day.day.isoformat()) | {
        "n": {"N": str(day.version)},
        "b": {"B": pack({"entries": entries, "computed_from": computed})},
    }


def _day(item: Item) -> Day:
    plain = unpack(bytes(item["b"]["B"]))
    return Day(
        customer_id=item["pk"]["S"],
        day=date.fromisoformat(item["sk"]["S"]),
        version=int(item["n"]["N"]),
        entries={
            (meter, parse_instant(hour)): _entry(row)
            for meter, hours in plain["entries"].items()
            for hour, row in hours.items()
        },
        computed_from={parse_instant(hour): number for hour, number in plain["computed_from"].items()},
    )


def _row(entry: Entry) -> list[object]:
    instants = [
        at and format_instant(at.replace(microsecond=0)) for at in (entry.sent_at, entry.differs_since)
    ]
    return [entry.number, f"{entry.value:f}", str(entry.state), *instants]


def _entry(row: list[Any]) -> Entry:
    number, value, state, *instants = row
    sent_at, differs_since = (at and parse_instant(at) for at in [*instants, None, None][:2])
    return Entry(number, Decimal(value), _state(state), sent_at, differs_since)


def _state(text: str) -> EntryState:
    if text in _BY_NAME:
        return _BY_NAME[text]
    name, _, code = text.removesuffix(")").partition("(")
    if name != "refused" or not code:
        raise ValueError(f"{text!r} is no state of a ledger's entry")
    return refused(code)
