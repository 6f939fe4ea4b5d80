"""``ops customers attach``: Stripe for a customer that has none."""

import typer

from metering.core.catalog import builtin_catalog
from ops import clock
from ops.attach import attach
from ops.deployment import Deployment
from ops.periods import open_days
from ops.stripe_account import DAYS_UNTIL_DUE, stripe_client
from ops.subscriptions import SubscriptionRequest
from ops.terminal.options import (
    ApiBase,
    AsJson,
    Automatically,
    CustomerId,
    DaysUntilDue,
    DryRun,
    Stack,
    StripeCustomer,
    StripeSubscription,
)
from ops.terminal.printing import console, print_json


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    example = "Example: ops customers attach cust_8f2c --stripe-customer cus_Nff..."
    line.command("attach", epilog=example)(_attach)


def _attach(  # noqa: PLR0913  a command line's options, each its own parameter
    customer_id: CustomerId,
    *,
    stack: Stack,
    stripe_customer: StripeCustomer = "",
    stripe_subscription: StripeSubscription = "",
    days_until_due: DaysUntilDue = DAYS_UNTIL_DUE,
    automatically: Automatically = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Subscribe a customer that was added without Stripe, or that had left; or attach what is there.

    Usage before the subscription's present period is not billed by Stripe. The days since are reported.
    """
    deployment, now = Deployment(stack), clock.present()
    account = deployment.account(customer_id)
    request = SubscriptionRequest(
        stripe_customer or None, stripe_subscription or None, None if automatically else days_until_due
    )
    request.check()
    if dry_run:
        days = len(list(open_days(account, now)))
        what = (
            request.stripe_subscription_id or account.customer.stripe_subscription_id or "a new subscription"
        )
        console.print(f"{customer_id} would be attached to {what}; up to {days} days to be reported")
        return
    customer, marked = attach(
        stripe_client(api_base or None),
        account,
        request,
        deployment.tables,
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
