"""Finding customers with something to do.

Source: docs/stripe-protocol.md#the-protocol.
"""

from collections.abc import Iterator
from datetime import datetime

from metering.tables.closings import Closings, Retry
from metering.tables.customers import Customers
from metering.tables.markers import Markers
from metering.tables.shards import SHARDS
from stripe_report.messages import Close, Reconcile, SendUnsent


def due_customers(markers: Markers, *, include_open: bool) -> Iterator[SendUnsent]:
    """Yield the work for every customer with an unsent day; nothing marked, nothing done.

    ``include_open`` asks for hours that are not over or not settled as well.
    """
    for shard in range(SHARDS):
        for customer in dict.fromkeys(marker.customer_id for marker in markers.unsent(shard)):
            yield SendUnsent(customer_id=customer, include_open=include_open)


def due_closings(closings: Closings, now: datetime) -> Iterator[Close | Reconcile]:
    """Yield the work for all that the calendar has for now: looks, and reconciliations that come back."""
    for due in closings.due(now):
        if isinstance(due, Retry):
            yield Reconcile(customer_id=due.customer_id, tries=due.tries, at=due.at)
        else:
            yield Close(customer_id=due.customer_id, period_start=due.period_start, at=due.at)


def whole_fleet(customers: Customers) -> Iterator[Reconcile]:
    """Yield the work for every customer of the directory: the daily reconciliation."""
    for shard in range(SHARDS):
        for customer in customers.fleet(shard):
            yield Reconcile(customer_id=customer)
