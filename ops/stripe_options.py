"""The options that say how a customer is to be in Stripe."""

from typing import Annotated

import typer

from ops.customers import StripeTerms
from ops.errors import WrongInputError

StripeCustomer = Annotated[str, typer.Option(help="An existing Stripe customer (cus_...) to attach to.")]
StripeSubscription = Annotated[
    str, typer.Option(help="An existing subscription (sub_...) with the plan's prices to attach to.")
]
DaysUntilDue = Annotated[
    int, typer.Option(min=0, max=365, help="Days to pay an invoice of a new subscription.")
]
Automatically = Annotated[
    bool,
    typer.Option(
        "--charge-automatically",
        help="Charge the Stripe customer's payment method instead of sending invoices; it must have one.",
    ),
]


def stripe_terms(
    stripe_customer: str,
    stripe_subscription: str,
    days_until_due: int,
    automatically: bool,  # noqa: FBT001  the option, passed on
) -> StripeTerms:
    """Read the options.

    Raises
    ------
    WrongInputError
        When an id is of another kind.
    """
    for option, value, prefix in (
        ("--stripe-customer", stripe_customer, "cus_"),
        ("--stripe-subscription", stripe_subscription, "sub_"),
    ):
        if value and not value.startswith(prefix):
            raise WrongInputError(f"{option} must be an id that begins with {prefix}, not {value!r}")
    due = None if automatically else days_until_due
    return StripeTerms(stripe_customer or None, stripe_subscription or None, due)
