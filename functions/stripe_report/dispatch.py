"""Finding customers with something unsent.

Source: design page "stripe", section "The protocol". The queue's group is the customer, so that each has one
writer; every trigger has a deduplication id of its own.
"""

import uuid
from collections.abc import Iterator

from metering.queues import Message
from metering.tables.markers import SHARDS, Markers


def due_customers(markers: Markers, *, include_open: bool) -> Iterator[Message]:
    """Yield a message for every customer with an unsent day; nothing marked, nothing done.

    ``include_open`` asks for hours that are not over or not settled as well.
    """
    for shard in range(SHARDS):
        for customer in dict.fromkeys(marker.customer for marker in markers.unsent(shard)):
            yield Message(
                body={"customer_id": customer, "include_open": include_open},
                group=customer,
                deduplication=str(uuid.uuid4()),
            )
