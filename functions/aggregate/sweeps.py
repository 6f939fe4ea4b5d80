"""Sweeps over the fleet: one message for each shard of the directory, then one for each customer of a shard.

In two steps, so that the schedule's own run stays short whatever the fleet's size, and a shard that fails is
tried again by itself. Source: design page "storage", section "Sweeps".
"""

from collections.abc import Iterator
from datetime import datetime

from metering.aws.queues import Message
from metering.core.contract import format_instant
from metering.core.periods import hour_of
from metering.tables.customers import Customers
from metering.tables.markers import SHARDS


def shard_messages(sweep: str, now: datetime) -> Iterator[Message]:
    """Yield a message for every shard; a sweep asked for twice within an hour is enqueued once."""
    hour = format_instant(hour_of(now))
    for shard in range(SHARDS):
        yield Message(
            body={"sweep": sweep, "hour": hour, "shard": shard},
            group=f"fleet#{shard}",
            deduplication=f"{sweep}#{hour}#{shard}",
        )


def customer_messages(sweep: str, hour: str, shard: int, customers: Customers) -> Iterator[Message]:
    """Yield a message for every customer of a shard; ``hour`` is the one the sweep was begun in."""
    for customer in customers.fleet(shard):
        yield Message(
            body={"sweep": sweep, "hour": hour, "customer_id": customer},
            group=f"{customer}#{sweep}",
            deduplication=f"{customer}#{sweep}#{hour}",
        )
