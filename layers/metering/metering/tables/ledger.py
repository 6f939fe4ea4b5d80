"""The Ledger table: what was sent to Stripe, for every customer, day, meter and hour.

Keys: ``pk`` = customer, ``sk`` = UTC date. Attributes: ``n`` the item's version, ``b`` its entries, packed.
Source: design page "stripe", section "The protocol".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from metering.contract import format_instant, parse_instant
from metering.tables.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from metering.tables.client import Item

PENDING = "pending"
SENT = "sent"


@dataclass(frozen=True, slots=True)
class Entry:
    """The newest number of one meter's hour: a number stands for one value for ever.

    ``state`` is ``pending``, ``sent`` or ``refused(<code>)``.
    """

    number: int
    value: Decimal
    state: str


@dataclass(frozen=True, slots=True)
class Day:
    """A customer's ledger of one day: per meter and hour its newest entry.

    ``computed_from`` tells for each hour which state of its reports the entries were made of.
    """

    customer: str
    day: date
    version: int = 0
    entries: Mapping[tuple[str, datetime], Entry] = field(default_factory=dict)
    computed_from: Mapping[datetime, int] = field(default_factory=dict)


class VersionConflictError(Exception):
    """Someone else wrote the day's ledger since it was read."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Typed access to the Ledger table."""

    client: DynamoDBClient
    table: str

    def day(self, customer: str, day: date) -> Day:
        """Read a day, strongly consistent; one never written is empty, with version 0."""
        answer = self.client.get_item(TableName=self.table, Key=_key(customer, day), ConsistentRead=True)
        item = answer.get("Item")
        return _day(item) if item else Day(customer, day)

    def put(self, day: Day) -> Day:
        """Write a day over the version it was read as; return it with its new version.

        Raises
        ------
        VersionConflictError
            When the stored version is another.
        """
        written = replace(day, version=day.version + 1)
        try:
            self.client.put_item(
                TableName=self.table,
                Item=_item(written),
                ConditionExpression="n = :n" if day.version else "attribute_not_exists(pk) OR n = :n",
                ExpressionAttributeValues={":n": {"N": str(day.version)}},
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            raise VersionConflictError(f"ledger of {day.customer} {day.day} is past {day.version}") from None
        return written


def _key(customer: str, day: date) -> Item:
    return {"pk": {"S": customer}, "sk": {"S": day.isoformat()}}


def _item(day: Day) -> Item:
    entries: dict[str, dict[str, list[object]]] = {}
    for (meter, hour), entry in day.entries.items():
        row = [entry.number, f"{entry.value:f}", entry.state]
        entries.setdefault(meter, {})[format_instant(hour)] = row
    computed = {format_instant(hour): number for hour, number in day.computed_from.items()}
    return _key(day.customer, day.day) | {
        "n": {"N": str(day.version)},
        "b": {"B": pack({"entries": entries, "computed_from": computed})},
    }


def _day(item: Item) -> Day:
    plain = unpack(bytes(item["b"]["B"]))
    return Day(
        customer=item["pk"]["S"],
        day=date.fromisoformat(item["sk"]["S"]),
        version=int(item["n"]["N"]),
        entries={
            (meter, parse_instant(hour)): Entry(number, Decimal(value), state)
            for meter, hours in plain["entries"].items()
            for hour, (number, value, state) in hours.items()
        },
        computed_from={parse_instant(hour): number for hour, number in plain["computed_from"].items()},
    )
