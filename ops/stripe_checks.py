"""What of a Stripe account's settings and subscriptions the API shows to be wrong.

Source: design page "stripe", sections "Setting up" and "Closing a period".
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import stripe

from metering.core.periods import hour_of

_PAGE = 100
_SHORTEST_GRACE = timedelta(hours=24)
_GOOD = frozenset({"active", "trialing"})


def subscription_warnings(client: stripe.StripeClient) -> Iterator[str]:
    """Say what is wrong with the subscriptions of our customers: interval, anchor, status."""
    for subscription in client.v1.subscriptions.list({"limit": _PAGE}).auto_paging_iter():
        customer_id = our_id(subscription)
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
    listed = client.v1.invoices.list({"limit": _PAGE}).data
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


def our_id(stripe_object: Any) -> str | None:
    """Return the customer that a Stripe object's metadata names, None when it is none of ours."""
    metadata = stripe_object["metadata"]
    return metadata.to_dict().get("customer_id") if metadata else None


def _grace(invoice: Any) -> timedelta | None:
    ends = invoice["automatically_finalizes_at"] or invoice["status_transitions"]["finalized_at"]
    return timedelta(seconds=ends - invoice["created"]) if ends else None
