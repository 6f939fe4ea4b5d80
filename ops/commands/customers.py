"""``ops customers``: customers and their subscriptions."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from metering.core.accounts import Customer, Status
from metering.core.catalog import Override, builtin_catalog
from metering.core.contract import format_instant
from metering.tables.customers import Account
from ops.customers import add_customer, is_same_request, subscribe
from ops.deployment import Deployment
from ops.errors import OperatorError, WrongInputError
from ops.options import (
    ApiBase,
    AsJson,
    CustomerId,
    DryRun,
    OverrideJson,
    Stack,
    console,
    print_json,
    print_rows,
    progress,
    read_override,
    wrong_input,
)
from ops.periods import mark_open_days, open_days
from ops.stripe_account import stripe_client
from ops.stripe_objects import own_prices
from ops.stripe_options import Automatically, DaysUntilDue, StripeCustomer, StripeSubscription, stripe_terms

app = typer.Typer(no_args_is_help=True, help="Customers and their subscriptions.")


@app.command(
    "add",
    epilog="Example: ops customers add cust_8f2c --name Eight --plan starter --email pay@eight.example",
)
def add(  # noqa: PLR0913  a command line's options, each its own parameter
    customer_id: CustomerId,
    *,
    name: Annotated[str, typer.Option(help="The customer's name, as invoices show it.")],
    stack: Stack,
    plan: Annotated[str, typer.Option(help="A plan, or one version of it: starter, starter@1.")] = "starter",
    email: Annotated[str, typer.Option(help="Where alerts and invoices go.")] = "",
    override: OverrideJson = "{}",
    with_stripe: Annotated[bool, typer.Option("--stripe/--no-stripe", help="Subscribe in Stripe.")] = True,
    stripe_customer: StripeCustomer = "",
    stripe_subscription: StripeSubscription = "",
    days_until_due: DaysUntilDue = 30,
    automatically: Automatically = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Add a customer, with its Stripe customer and subscription, or attached to those there are.

    Running it again does what a crash left undone, and nothing else.
    """
    catalog = builtin_catalog()
    if not with_stripe and (stripe_customer or stripe_subscription):
        raise WrongInputError("--no-stripe and --stripe-customer or --stripe-subscription exclude each other")
    with wrong_input(name="--name", customer_id="CUSTOMER", billing_email="--email"):
        customer = Customer(
            customer_id=customer_id,
            name=_named(name),
            plan=catalog.newest(plan),
            billing_email=email or None,
            override=read_override(override),
        )
        catalog.terms(customer.plan, customer.override)
    customers = Deployment(stack).customers
    present = customers.account(customer_id)
    if present is not None:
        _check_same(present, customer, with_stripe=with_stripe)
    if dry_run:
        _print_plan(customer, present, stripe_customer, stripe_subscription, with_stripe=with_stripe)
        return
    new = False
    if present is None or (with_stripe and not present.periods):
        period = None
        if with_stripe:
            terms = stripe_terms(stripe_customer, stripe_subscription, days_until_due, automatically)
            client = stripe_client(api_base or None)
            subscribed = subscribe(client, customer, catalog, datetime.now(UTC), terms)
            customer, period = subscribed.customer, subscribed.period
        new = add_customer(customers, customer, period)
    else:
        customers.add(present.customer)  # its directory entry, which a crash may have left out
        customer = present.customer
    if as_json:
        print(customer.model_dump_json(exclude_none=True))
    elif new:
        console.print(f"added {customer_id} on {customer.plan}")
    else:
        console.print(f"{customer_id} is there already, on {customer.plan}")


@app.command("show", epilog="Example: ops customers show cust_8f2c --json")
def show(customer_id: CustomerId, *, stack: Stack, as_json: AsJson = False) -> None:
    """Show a customer: profile, Stripe's ids, instances, periods."""
    account = Deployment(stack).account(customer_id)
    if as_json:
        print_json(
            {
                "customer": account.customer.model_dump(mode="json", exclude_none=True),
                "instances": [
                    {"instance_id": one.instance_id, "keys": len(one.digests)} for one in account.instances
                ],
                "periods": [one.model_dump(mode="json", exclude_none=True) for one in account.periods],
            }
        )
        return
    profile = account.customer.model_dump(mode="json", exclude_none=True)
    if account.customer.override == Override():
        del profile["override"]
    shown = [
        (name, value if isinstance(value, str) else json.dumps(value)) for name, value in profile.items()
    ]
    print_rows(shown, ("field", "value"), as_json=False, title=customer_id)
    print_rows(
        [(one.instance_id, len(one.digests)) for one in account.instances],
        ("instance", "keys"),
        as_json=False,
    )
    print_rows(
        [
            (format_instant(one.start), format_instant(one.end), one.plan, one.state.value, one.invoice_total)
            for one in account.periods
        ],
        ("period", "until", "plan", "state", "invoiced"),
        as_json=False,
    )


@app.command("list", epilog="Example: ops customers list")
def list_customers(*, stack: Stack, as_json: AsJson = False) -> None:
    """List all customers."""
    deployment = Deployment(stack)
    rows = []
    for customer_id in progress(sorted(deployment.fleet()), "customers"):
        customer = deployment.customers.customer(customer_id)
        if customer is not None:
            rows.append(_row(customer))
    print_rows(rows, ("customer", "name", "plan", "status", "stripe_customer"), as_json=as_json)


@app.command("suspend", epilog="Example: ops customers suspend cust_8f2c")
def suspend(
    customer_id: CustomerId, *, stack: Stack, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Stop reporting a customer's usage to Stripe; its instances' reports are accepted and kept."""
    deployment = Deployment(stack)
    customer = deployment.account(customer_id).customer
    changed = customer.status is not Status.SUSPENDED
    if changed and not dry_run:
        _set_status(deployment, customer, Status.SUSPENDED)
    said = "would be suspended" if changed and dry_run else "is suspended"
    _say(as_json, f"{customer_id} {said}", customer_id=customer_id, status="suspended", changed=changed)


@app.command("resume", epilog="Example: ops customers resume cust_8f2c")
def resume(
    customer_id: CustomerId, *, stack: Stack, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Report a customer's usage to Stripe again, the open period's days included."""
    deployment = Deployment(stack)
    account, now = deployment.account(customer_id), datetime.now(UTC)
    changed = account.customer.status is not Status.ACTIVE
    if changed and not dry_run:
        _set_status(deployment, account.customer, Status.ACTIVE)
    # Also for one that is active already: a crash may have come between its profile and the markers.
    billed = account.customer.stripe_customer_id is not None
    days = list(open_days(account, now)) if billed else []
    if not dry_run and billed:
        days = mark_open_days(account, deployment.markers, now)
    said = "would be active" if changed and dry_run else "is active"
    _say(
        as_json,
        f"{customer_id} {said}; {len(days)} days of open periods to be reported",
        customer_id=customer_id,
        status="active",
        changed=changed,
        days=[day.isoformat() for day in days],
    )


def _set_status(deployment: Deployment, customer: Customer, status: Status) -> None:
    if not deployment.customers.replace(customer, customer.model_copy(update={"status": status})):
        raise OperatorError(f"the profile of {customer.customer_id} was changed meanwhile; run again")


def _say(as_json: bool, sentence: str, **answer: Any) -> None:  # noqa: FBT001  the option, passed on
    if as_json:
        print_json(answer)
    else:
        console.print(sentence)


def _named(name: str) -> str:
    if not name.strip():
        raise WrongInputError("--name must not be empty: invoices show it")
    return name.strip()


def _check_same(present: Account, asked: Customer, *, with_stripe: bool) -> None:
    customer_id = asked.customer_id
    if not is_same_request(present.customer, asked):
        raise OperatorError(
            f"the customer {customer_id} exists already, with another profile; see `ops customers show "
            f"{customer_id}`, change its plan with `ops customers set-plan`"
        )
    if with_stripe and present.customer.stripe_customer_id is None:
        raise OperatorError(
            f"the customer {customer_id} exists already, without Stripe; use "
            f"`ops customers attach {customer_id}`"
        )


def _print_plan(
    customer: Customer,
    present: Account | None,
    stripe_customer: str,
    stripe_subscription: str,
    *,
    with_stripe: bool,
) -> None:
    if present is not None:
        console.print(f"{customer.customer_id} is there already; nothing to be made")
        return
    rows = [("customer", customer.customer_id)]
    if with_stripe:
        rows += [("price", price.lookup_key) for price in own_prices([customer], builtin_catalog())]
        rows.append(("Stripe customer", stripe_customer or "a new one"))
        rows.append(("Stripe subscription", stripe_subscription or "a new one"))
    print_rows(rows, ("kind", "name"), as_json=False, title="to be made, or attached to")


def _row(customer: Customer) -> tuple[str | None, ...]:
    return (
        customer.customer_id,
        customer.name,
        customer.plan,
        customer.status.value,
        customer.stripe_customer_id,
    )
