"""``ops customers add``, ``show``, ``list``, ``suspend``, ``resume``: customers and their subscriptions."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from metering.core.accounts import Account, Customer, Status
from metering.core.catalog import Catalog, builtin_catalog
from metering.core.instants import format_instant
from ops import clock
from ops.customers import CustomerPlan, NewCustomer, add_new, customer_plans, days_to_report, set_status
from ops.deployment import Deployment
from ops.errors import WrongInputError
from ops.stripe_account import DAYS_UNTIL_DUE, stripe_client
from ops.subscriptions import SubscriptionRequest
from ops.terminal.options import (
    ApiBase,
    AsJson,
    Automatically,
    CustomerId,
    DaysUntilDue,
    DryRun,
    OverrideJson,
    Stack,
    StripeCustomer,
    StripeSubscription,
    read_email,
    read_name,
    read_override,
    wrong_input,
)
from ops.terminal.printing import console, print_json, print_rows, progress


def register(line: typer.Typer) -> None:
    """Put the commands into a command line."""
    example = "Example: ops customers add cust_8f2c --name Eight --plan starter --email pay@eight.example"
    line.command("add", epilog=example)(_add)
    line.command("show", epilog="Example: ops customers show cust_8f2c --json")(_show)
    line.command("list", epilog="Example: ops customers list")(_list)
    line.command("suspend", epilog="Example: ops customers suspend cust_8f2c")(_suspend)
    line.command("resume", epilog="Example: ops customers resume cust_8f2c")(_resume)


def _add(  # noqa: PLR0913  a command line's options, each its own parameter
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
    days_until_due: DaysUntilDue = DAYS_UNTIL_DUE,
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
            name=read_name(name),
            plan=catalog.newest(plan),
            billing_email=read_email(email),
            override=read_override(override),
        )
        catalog.terms(customer.plan, customer.override)
    subscription = SubscriptionRequest(
        stripe_customer or None, stripe_subscription or None, None if automatically else days_until_due
    )
    request = NewCustomer(customer, subscription if with_stripe else None)
    customers = Deployment(stack).tables.customers
    present = customers.account(customer_id)
    request.check(present)
    if dry_run:
        _print_request(request, present, catalog)
        return
    client = None
    if with_stripe and request.needs(present):
        subscription.check()
        client = stripe_client(api_base or None)
    added = add_new(client, request, present, customers, catalog, clock.present())
    if as_json:
        print(added.customer.model_dump_json(exclude_none=True))
    elif added.new:
        console.print(f"added {customer_id} on {added.customer.plan}")
    else:
        console.print(f"{customer_id} is there already, on {added.customer.plan}")


def _show(customer_id: CustomerId, *, stack: Stack, as_json: AsJson = False) -> None:
    """Show a customer: the plan in force and the one to come, profile, Stripe's ids, instances, periods."""
    account = Deployment(stack).account(customer_id)
    found = customer_plans(account, clock.present())
    if as_json:
        print_json(
            {
                "customer": account.customer.model_dump(mode="json", exclude_none=True),
                "plan": _described(found.present),
                "next_plan": _described(found.coming),
                "instances": [
                    {"instance_id": one.instance_id, "keys": len(one.digests)} for one in account.instances
                ],
                "periods": [one.model_dump(mode="json", exclude_none=True) for one in account.periods],
            }
        )
        return
    profile = account.customer.model_dump(mode="json", exclude_none=True, exclude={"plan", "override"})
    shown = [
        *_plan_rows("", found.present),
        *(_plan_rows("next ", found.coming) if found.coming else ()),
        *((name, value if isinstance(value, str) else json.dumps(value)) for name, value in profile.items()),
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


def _list(*, stack: Stack, as_json: AsJson = False) -> None:
    """List all customers, with the plan in force and, where another is to come, that one and from when on."""
    deployment, now = Deployment(stack), clock.present()
    customers = deployment.tables.customers
    rows = []
    for customer_id in progress(sorted(deployment.fleet()), "customers"):
        customer = customers.customer(customer_id)
        if customer is not None:
            # Without its instances, of which a large customer has many.
            rows.append(_row(Account(customer, (), tuple(customers.periods(customer_id))), now))
    columns = ("customer", "name", "plan", "next_plan", "from", "status", "stripe_customer")
    print_rows(rows, columns, as_json=as_json)


def _suspend(
    customer_id: CustomerId, *, stack: Stack, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Stop reporting a customer's usage to Stripe; its instances' reports are accepted and kept."""
    deployment = Deployment(stack)
    customer = deployment.account(customer_id).customer
    changed = set_status(deployment.tables.customers, customer, Status.SUSPENDED, dry_run=dry_run)
    said = "would be suspended" if changed and dry_run else "is suspended"
    _say(as_json, f"{customer_id} {said}", customer_id=customer_id, status="suspended", changed=changed)


def _resume(
    customer_id: CustomerId, *, stack: Stack, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Report a customer's usage to Stripe again, the open period's days included."""
    deployment = Deployment(stack)
    account, now = deployment.account(customer_id), clock.present()
    changed = set_status(deployment.tables.customers, account.customer, Status.ACTIVE, dry_run=dry_run)
    # Also for one that is active already: a crash may have come between its profile and the markers.
    days = days_to_report(account, deployment.tables.markers, now, dry_run=dry_run)
    said = "would be active" if changed and dry_run else "is active"
    _say(
        as_json,
        f"{customer_id} {said}; {len(days)} days of open periods to be reported",
        customer_id=customer_id,
        status="active",
        changed=changed,
        days=[day.isoformat() for day in days],
    )


def _say(as_json: bool, sentence: str, **answer: Any) -> None:  # noqa: FBT001  the option, passed on
    if as_json:
        print_json(answer)
    else:
        console.print(sentence)


def _print_request(request: NewCustomer, present: Account | None, catalog: Catalog) -> None:
    if present is not None:
        console.print(f"{present.customer.customer_id} is there already; nothing to be made")
        return
    rows = request.to_be_made(catalog)
    print_rows(rows, ("kind", "name"), as_json=False, title="to be made, or attached to")


def _row(account: Account, now: datetime) -> tuple[str | None, ...]:
    customer, found = account.customer, customer_plans(account, now)
    return (
        customer.customer_id,
        customer.name,
        found.present.plan if found.present else None,
        found.coming.plan if found.coming else None,
        _start(found.coming),
        customer.status.value,
        customer.stripe_customer_id,
    )


def _plan_rows(which: str, plan: CustomerPlan | None) -> list[tuple[str, str]]:
    """Return a plan as rows for people: its version, the customer's own prices, from when on it comes."""
    described = _described(plan)
    if described is None:
        return [(f"{which}plan", "none")]
    own = described["override"]
    rows = [(f"{which}plan", described["plan"]), (f"{which}override", json.dumps(own) if own else "none")]
    return [*rows, ("from", described["from"])] if "from" in described else rows


def _described(plan: CustomerPlan | None) -> dict[str, Any] | None:
    """Return a plan as JSON has it."""
    if plan is None:
        return None
    own = plan.override.model_dump(mode="json", exclude_defaults=True)
    described: dict[str, Any] = {"plan": plan.plan, "override": own}
    start = _start(plan)
    return described if start is None else described | {"from": start}


def _start(plan: CustomerPlan | None) -> str | None:
    return None if plan is None or plan.start is None else format_instant(plan.start)
