"""Sweeps over the fleet: one message for each shard of the directory, then one for each customer of a shard.

In two steps, so that the schedule's own run stays short whatever the fleet's size, and a shard that fails is
tried again by itself. Source: docs/storage.md#sweeps.
"""

from collections.abc import Iterator
from datetime import datetime

from aggregate.messages import Conserve, Sweep, SweepAlerts, SweepShard
from metering.core.instants import hour_of
from metering.tables.customers import Customers
from metering.tables.shards import SHARDS


def of_shards(sweep: Sweep, now: datetime) -> Iterator[SweepShard]:
    """Yield the work for every shard; a sweep asked for twice within an hour is enqueued once."""
    for shard in range(SHARDS):
        yield SweepShard(sweep=sweep, hour=hour_of(now), shard=shard)


def of_customers(work: SweepShard, customers: Customers) -> Iterator[SweepAlerts | Conserve]:
    """Yield the work for every customer of a shard."""
    kind = SweepAlerts if work.sweep == "hourly" else Conserve
    for customer in customers.fleet(work.shard):
        yield kind(customer_id=customer, hour=work.hour)
