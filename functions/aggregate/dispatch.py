"""Finding dirty hours, so that they are recomputed.

Source: docs/storage.md#recomputing-an-hour.
"""

from collections.abc import Iterator
from datetime import datetime

from aggregate.messages import Recompute
from metering.core.instants import HOUR
from metering.tables.markers import Markers
from metering.tables.shards import SHARDS

OPEN_HOUR_EVERY_MINUTES = 10
"""An hour still open is recomputed this often; its page is up to date all the same, since reads recompute."""


def due_hours(markers: Markers, now: datetime, *, include_open: bool) -> Iterator[Recompute]:
    """Yield the work for every dirty hour that is to be recomputed now.

    ``include_open`` takes the hours still open as well, whatever the minute. Shards take turns in the minutes
    of open hours, so that the fleet's do not fall into one.
    """
    for shard in range(SHARDS):
        turn = include_open or (now.minute + shard) % OPEN_HOUR_EVERY_MINUTES == 0
        for marker in markers.dirty(shard):
            if turn or marker.hour + HOUR <= now:
                yield Recompute(customer_id=marker.customer_id, hour=marker.hour, touched=marker.touched)
