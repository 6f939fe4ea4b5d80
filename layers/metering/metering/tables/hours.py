"""The Hours table: every customer's recomputed hours.

Keys: ``pk`` = customer, ``sk`` = hour. Attributes: ``n`` = ``computed_from``, ``b`` the hour,
packed, ``ttl``.
Source: design page "storage", section "Recomputing an hour".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metering.core.contract import OLDEST_WINDOW, format_instant, parse_instant
from metering.core.rollup import Coverage, Hour, Level
from metering.tables.client import query_between
from metering.tables.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from metering.tables.client import Item


@dataclass(frozen=True, slots=True)
class Hours:
    """Typed access to the Hours table."""

    client: DynamoDBClient
    table: str

    def put(self, customer: str, hour: Hour) -> bool:
        """Store an hour unless one computed from more is there; tell whether it was stored."""
        try:
            self.client.put_item(
                TableName=self.table,
                Item=_item(customer, hour),
                ConditionExpression="attribute_not_exists(pk) OR n <= :n",
                ExpressionAttributeValues={":n": {"N": str(hour.computed_from)}},
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def between(self, customer: str, start: datetime, end: datetime) -> Iterator[Hour]:
        """The stored hours in ``[start, end)``, in order, strongly consistent."""
        low, high = format_instant(start), format_instant(end)
        for item in query_between(self.client, self.table, customer, low, high):
            hour = _hour(item)
            if hour.start < end:
                yield hour


def _item(customer: str, hour: Hour) -> Item:
    return {
        "pk": {"S": customer},
        "sk": {"S": format_instant(hour.start)},
        "n": {"N": str(hour.computed_from)},
        "b": {"B": pack(_plain(hour))},
        "ttl": {"N": str(int((hour.start + OLDEST_WINDOW).timestamp()))},
    }


def _plain(hour: Hour) -> dict[str, Any]:
    return {
        "counters": dict(hour.counters),
        "gauges": {name: asdict(level) for name, level in hour.gauges.items()},
        "sources": {name: [c.covered_seconds, c.instances] for name, c in hour.sources.items()},
        "flags": sorted(hour.flags),
        "instances": hour.instances,
        "final": hour.final,
    }


def _hour(item: Item) -> Hour:
    plain = unpack(bytes(item["b"]["B"]))
    return Hour(
        start=parse_instant(item["sk"]["S"]),
        computed_from=int(item["n"]["N"]),
        counters=plain["counters"],
        gauges={name: Level(**level) for name, level in plain["gauges"].items()},
        sources={name: Coverage(*covered) for name, covered in plain["sources"].items()},
        flags=frozenset(plain["flags"]),
        instances=plain["instances"],
        final=plain["final"],
    )
