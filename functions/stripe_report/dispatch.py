"""Finding customers with something to do.

Source: docs/stripe-protocol.md#the-protocol.
"""

from collections.abc import Iterator
from datetime import datetime

from metering.tables.closings import Closings, Retried, Retry
from metering.tables.customers import Customers
from metering.tables.markers import Markers
from metering.tables.shards import SHARDS
from stripe_report.messages import Close, CloseEnded, Reconcile, Refresh, Returning, SendUnsent
from stripe_report.retrying import turn_in_the_night

RETRIED: dict[type[Returning], Retried] = {
    Reconcile: Retried.RECONCILE,
    SendUnsent: Retried.SEND,
    CloseEnded: Retried.CLOSE_ENDED,
    Refresh: Retried.REFRESH,
}
"""What work that comes back is in the calendar."""
_RETRIES = {kind: work for work, kind in RETRIED.items()}


def due_customers(markers: Markers, *, include_open: bool) -> Iterator[SendUnsent]:
    """Yield the work for every customer with an unsent day; nothing marked, nothing done.

    ``include_open`` asks for hours that are not over or not settled as well.
    """
    for shard in range(SHARDS):
        for customer in dict.fromkeys(marker.customer_id for marker in markers.unsent(shard)):
            yield SendUnsent(customer_id=customer, include_open=include_open)


def due_closings(closings: Closings, now: datetime) -> Iterator[Close | Returning]:
    """Yield the work for all that the calendar has for now: looks, and what comes back or has its turn."""
    for due in closings.due(now):
        if isinstance(due, Retry):
            yield _RETRIES[due.kind](customer_id=due.customer_id, tries=due.tries, at=due.at)
        else:
            yield Close(customer_id=due.customer_id, period_start=due.period_start, at=due.at)


def enter_whole_fleet(customers: Customers, closings: Closings, now: datetime) -> int:
    """Enter the daily reconciliation of every customer of the directory into the calendar, each at its turn.

    All at once would be more calls a second than Stripe takes, and whatever else is asked for in the night
    would wait behind them. Returns how many there are.
    """
    begun, entered = now.replace(microsecond=0), 0
    for shard in range(SHARDS):
        for customer in customers.fleet(shard):
            closings.put(Retry(customer, 0, begun + turn_in_the_night(customer)))
            entered += 1
    return entered
