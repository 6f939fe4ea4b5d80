"""The calendar of closings: when to look next at each period that no invoice has fixed yet.

Keys in the Customers table: ``pk`` = ``closing#<shard>``, ``sk`` = ``<when>#<customer>#<period start>``, so
that what is due is one query of what has come, however many periods are still open. An item is a hint:
looking twice does no harm, and one whose period is final is removed. Source: design page "stripe", section
"Closing a period"; decision 0008.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.core.contract import format_instant, parse_instant
from metering.tables.client import query_all
from metering.tables.markers import SHARDS, shard_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from metering.tables.client import Item


@dataclass(frozen=True, slots=True)
class Closing:
    """A customer's period that is to be looked at, and when."""

    customer: str
    period_start: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Closings:
    """Typed access to the calendar."""

    client: DynamoDBClient
    table: str

    def due(self, now: datetime) -> Iterator[Closing]:
        """Everything whose time has come, of all shards, strongly consistent."""
        for shard in range(SHARDS):
            items = query_all(
                self.client,
                TableName=self.table,
                KeyConditionExpression="pk = :pk AND sk < :end",
                # "$" is the character after "#": whatever is due at this very second counts as due.
                ExpressionAttributeValues={
                    ":pk": {"S": f"closing#{shard}"},
                    ":end": {"S": f"{_second(now)}$"},
                },
            )
            yield from map(_closing, items)

    def put(self, closing: Closing) -> None:
        """Enter a look into the calendar."""
        self.client.put_item(TableName=self.table, Item=_key(closing))

    def move(self, closing: Closing, at: datetime) -> None:
        """Look again at another time. A crash in between leaves both entries, never none."""
        self.put(Closing(closing.customer, closing.period_start, at))
        if _second(at) != _second(closing.at):
            self.remove(closing)

    def remove(self, closing: Closing) -> None:
        """Take a look off the calendar."""
        self.client.delete_item(TableName=self.table, Key=_key(closing))


def _second(instant: datetime) -> str:
    return format_instant(instant.replace(microsecond=0))


def _key(closing: Closing) -> Item:
    start = format_instant(closing.period_start)
    return {
        "pk": {"S": f"closing#{shard_of(closing.customer)}"},
        "sk": {"S": f"{_second(closing.at)}#{closing.customer}#{start}"},
    }


def _closing(item: Item) -> Closing:
    at, customer, start = item["sk"]["S"].split("#")
    return Closing(customer, parse_instant(start), parse_instant(at))
