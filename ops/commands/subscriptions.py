"""``ops customers attach``: Stripe for a customer that has none."""

from datetime import UTC, datetime

import typer

from metering.core.catalog import builtin_catalog
from ops.attaching import attach
from ops.deployment import Deployment
from ops.options import ApiBase, AsJson, CustomerId, DryRun, Stack, console, print_json
from ops.periods import open_days
from ops.stripe_account import stripe_client
from ops.stripe_options import Automatically, DaysUntilDue, StripeCustomer, StripeSubscription, stripe_terms


def add_to(app: typer.Typer) -> None:
    """Put the command into the group of customers."""
    app.command("attach", epilog="Example: ops customers attach cust_8f2c --stripe-customer cus_Nff...")(
        attach_command
    )


def attach_command(  # noqa: PLR0913  a command line's options, each its own parameter
    customer_id: CustomerId,
    *,
    stack: Stack,
    stripe_customer: StripeCustomer = "",
    stripe_subscription: StripeSubscription = "",
    days_until_due: DaysUntilDue = 30,
    automatically: Automatically = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Subscribe a customer that was added without Stripe, or that had left; or attach what is there.

    Usage before the subscription's present period is not billed by Stripe. The days since are reported.
    """
    deployment, now = Deployment(stack), datetime.now(UTC)
    account = deployment.account(customer_id)
    terms = stripe_terms(stripe_customer, stripe_subscription, days_until_due, automatically)
    if dry_run:
        days = len(list(open_days(account, now)))
        what = terms.subscription_id or account.customer.stripe_subscription_id or "a new subscription"
        console.print(f"{customer_id} would be attached to {what}; up to {days} days to be reported")
        return
    customer, marked = attach(
        stripe_client(api_base or None),
        account,
        terms,
        (deployment.customers, deployment.hours, deployment.markers),
        builtin_catalog(),
        now,
    )
    if as_json:
        print_json(
            {
                "customer": customer.model_dump(mode="json", exclude_none=True),
                "days": [day.isoformat() for day in marked],
            }
        )
    else:
        console.print(
            f"{customer_id} has the subscription {customer.stripe_subscription_id}; "
            f"{len(marked)} days to be reported"
        )
