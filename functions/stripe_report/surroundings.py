"""What else Stripe has of a customer that bears on its bill, looked at daily.

Source: docs/billing.md#changes-made-outside.
"""

from dataclasses import dataclass

from metering.core.accounts import Customer
from stripe_report.desk import Desk


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Whether the Stripe customer was deleted, and its other subscriptions that are priced on our meters."""

    deleted: bool = False
    others: tuple[str, ...] = ()


def surroundings(desk: Desk, customer: Customer) -> Surroundings:
    """Look at a customer's Stripe customer and its other subscriptions.

    Raises
    ------
    stripe.StripeError
        When Stripe cannot be read.
    """
    reader, stripe_customer_id = desk.gateway.reader, customer.stripe_customer_id
    assert stripe_customer_id is not None
    if reader.is_deleted(stripe_customer_id):
        return Surroundings(deleted=True)
    others = reader.others_on_our_meters(stripe_customer_id, customer.stripe_subscription_id)
    return Surroundings(others=tuple(others))
