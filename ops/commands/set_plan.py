"""``ops customers set-plan``: another plan from the next period on."""

from typing import Annotated

import typer

from metering.core.catalog import builtin_catalog
from metering.core.instants import format_instant
from ops import clock
from ops.deployment import Deployment
from ops.set_plan import planned, present_end, set_plan
from ops.stripe_account import stripe_client
from ops.terminal.options import ApiBase, AsJson, CustomerId, DryRun, Stack, read_override, wrong_input
from ops.terminal.printing import console, print_json


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command("set-plan", epilog="Example: ops customers set-plan cust_8f2c professional")(_set_plan)


def _set_plan(
    customer_id: CustomerId,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan, or one version of it.")],
    *,
    stack: Stack,
    override: Annotated[
        str | None, typer.Option(help="The customer's own fee and prices on that plan, as JSON; {} for none.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Give a customer another plan, or other prices of its own, when its present period ends.

    The present period keeps its plan. Setting the present plan again undoes a change that has not come yet,
    and keeps the prices that the customer has in it.
    """
    catalog, deployment, now = builtin_catalog(), Deployment(stack), clock.present()
    account = deployment.account(customer_id)
    with wrong_input():
        own = None if override is None else read_override(override)
        wanted = planned(account, plan, own, catalog, now)
    if dry_run:
        effective, changed = present_end(account, now), wanted != account.customer
    else:
        subscribed = account.customer.stripe_subscription_id is not None
        client = stripe_client(api_base or None) if subscribed else None
        done = set_plan(client, account, wanted, deployment.tables, catalog, now)
        effective, changed = done.effective, done.changed
    if as_json:
        print_json(
            {
                "customer_id": customer_id,
                "plan": wanted.plan,
                "effective": format_instant(effective),
                "changed": changed,
                "dry_run": dry_run,
            }
        )
        return
    verb = "would have" if dry_run else "has" if changed else "has already"
    console.print(f"{customer_id} {verb} {wanted.plan} from {format_instant(effective)} on")
