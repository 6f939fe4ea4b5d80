"""Finding customers with something to do, and the messages that say what.

Source: design page "stripe", section "The protocol". The queue's group is the customer, so that each has one
writer; every trigger has a deduplication id of its own.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from metering.aws.queues import Message
from metering.core.contract import format_instant
from metering.core.stripe_names import EventName
from metering.tables.closings import Closing
from metering.tables.customers import Customers
from metering.tables.markers import SHARDS, Markers


def due_customers(markers: Markers, *, include_open: bool) -> Iterator[Message]:
    """Yield a message for every customer with an unsent day; nothing marked, nothing done.

    ``include_open`` asks for hours that are not over or not settled as well.
    """
    for shard in range(SHARDS):
        for customer in dict.fromkeys(marker.customer for marker in markers.unsent(shard)):
            yield message(customer, include_open=include_open)


def due_closings(customers: Customers, now: datetime) -> Iterator[Message]:
    """Yield a message for every period that is to be looked at now."""
    for closing in customers.closings.due(now):
        yield close_message(closing)


def whole_fleet(customers: Customers) -> Iterator[Message]:
    """Yield a message for every customer of the directory: the daily reconciliation."""
    for shard in range(SHARDS):
        for customer in customers.fleet(shard):
            yield message(customer, work="reconcile")


def close_message(closing: Closing) -> Message:
    """Return the message that asks for a look at a period, as the calendar has it."""
    return message(
        closing.customer,
        work="close",
        period_start=format_instant(closing.period_start),
        at=format_instant(closing.at),
    )


def refused_message(customer: str, refused: Sequence[tuple[EventName, str]]) -> Message:
    """Return the message that says which numbers of a customer Stripe refused after its answer, and why."""
    rows: list[Mapping[str, Any]] = [
        {"meter": name.meter, "hour": format_instant(name.hour), "number": name.number, "code": code}
        for name, code in refused
    ]
    return message(customer, work="refused", refused=rows)


def message(customer: str, **body: Any) -> Message:
    """Return a message for the one writer of a customer; without ``work`` it asks for a report."""
    return Message(body={"customer_id": customer, **body}, group=customer, deduplication=str(uuid.uuid4()))
