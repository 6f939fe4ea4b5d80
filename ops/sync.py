"""What a Stripe account lacks of the catalogue, and what of its settings and subscriptions is wrong.

Source: docs/stripe-protocol.md#setting-up and docs/stripe-protocol.md#closing-a-period.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe

from metering.core.accounts import Customer
from metering.core.catalog import Catalog
from metering.core.instants import hour_of
from metering.core.stripe_names import LARGEST_PAGE, our_id
from ops.stripe_objects import MissingObjects, catalog_prices, missing, own_prices

_SHORTEST_GRACE = timedelta(hours=24)
_GOOD = frozenset({"active", "trialing"})


@dataclass(frozen=True)
class Comparison:
    """What of the catalogue and the overrides an account lacks, and what is to be warned of."""

    missing: MissingObjects
    warnings: list[str]


def compare(client: stripe.StripeClient, catalog: Catalog, customers: Iterable[Customer]) -> Comparison:
    """Compare an account with the catalogue and the customers' overrides; nothing is changed.

    Raises
    ------
    OperatorError
        When a meter or price exists but differs: it is in use and never changed.
    """
    wanted = [*catalog_prices(catalog), *own_prices(customers, catalog)]
    lacking = missing(client, catalog, wanted)
    warnings = [*subscription_warnings(client)]
    if grace := grace_warning(client):
        warnings.append(grace)
    return Comparison(lacking, warnings)


def subscription_warnings(client: stripe.StripeClient) -> Iterator[str]:
    """Say what is wrong with the subscriptions of our customers: interval, anchor, status."""
    for subscription in client.v1.subscriptions.list({"limit": LARGEST_PAGE}).auto_paging_iter():
        customer_id = our_id(subscription.metadata)
        if customer_id is None:
            continue
        name = f"the subscription {subscription.id} of {customer_id}"
        if subscription.status not in _GOOD:
            yield f"{name} is {subscription.status}: its invoices are not in order"
        for item in subscription["items"]["data"]:
            recurring = item["price"]["recurring"]
            if (recurring["interval"], recurring["interval_count"]) != ("month", 1):
                every = f"{recurring['interval_count']} {recurring['interval']}"
                yield f"{name} has a price every {every}, not every month"
                break
            start = datetime.fromtimestamp(item["current_period_start"], UTC)
            if start != hour_of(start):
                yield f"{name} starts its periods at {start:%H:%M:%S}, not at a full hour"
                break


def grace_warning(client: stripe.StripeClient) -> str | None:
    """Say that a period's invoice is finalised too soon; None when it is not, or no invoice shows it yet."""
    listed = client.v1.invoices.list({"limit": LARGEST_PAGE}).data
    for invoice in listed:
        grace = _grace(invoice) if invoice.billing_reason == "subscription_cycle" else None
        if grace is not None:
            if grace >= _SHORTEST_GRACE:
                return None
            return (
                f"invoices stay drafts for {grace.total_seconds() / 3600:g} h: set 24 to 72 h in Stripe's "
                "billing settings (Invoices, finalization grace period), or late reports miss their invoice"
            )
    return None


def _grace(invoice: Any) -> timedelta | None:
    ends = invoice["automatically_finalizes_at"] or invoice["status_transitions"]["finalized_at"]
    return timedelta(seconds=ends - invoice["created"]) if ends else None
