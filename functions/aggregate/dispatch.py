"""Finding dirty hours, so that they are recomputed: one message for each shard that has any, then its hours.

In two steps, so that the schedule's own run stays short however much is dirty, no shard waits for another,
and one that fails is tried again by itself. Source: docs/storage.md#recomputing-an-hour.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from aggregate.messages import DispatchShard, Recompute
from metering.core.instants import HOUR
from metering.tables.markers import Markers
from metering.tables.shards import SHARDS

OPEN_HOUR_EVERY_MINUTES = 10
"""An hour still open is recomputed this often; its page is up to date all the same, since reads recompute."""

STALE_AFTER = timedelta(minutes=5)
"""Later runs have asked for the same since: behind a backlog they must not pile up."""


def due_shards(markers: Markers, now: datetime, *, include_open: bool) -> Iterator[DispatchShard]:
    """Yield the work for every shard that has an hour to be recomputed now."""
    for shard in range(SHARDS):
        if any(True for _ in due_hours(markers, shard, now, include_open=include_open)):
            yield DispatchShard(shard=shard, at=now.replace(microsecond=0), include_open=include_open)


def of_shard(work: DispatchShard, markers: Markers, now: datetime) -> Iterator[Recompute]:
    """Yield the work for every hour of a shard that is to be recomputed, unless the message is stale."""
    if now - work.at <= STALE_AFTER:
        yield from due_hours(markers, work.shard, work.at, include_open=work.include_open)


def due_hours(markers: Markers, shard: int, now: datetime, *, include_open: bool) -> Iterator[Recompute]:
    """Yield the work for every dirty hour of a shard that is to be recomputed now.

    ``include_open`` takes the hours still open as well, whatever the minute. Shards take turns in the minutes
    of open hours, so that the fleet's do not fall into one.
    """
    turn = include_open or (now.minute + shard) % OPEN_HOUR_EVERY_MINUTES == 0
    for marker in markers.dirty(shard):
        if turn or marker.hour + HOUR <= now:
            yield Recompute(customer_id=marker.customer_id, hour=marker.hour, touched=marker.touched)
