"""The operator's command line; it works with the operator's own AWS credentials and Stripe key."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from metering.accounts import Customer
from metering.catalog import CatalogError, builtin_catalog, parse_override
from ops.customers import add_customer, add_instance, subscribe
from ops.deployment import Deployment
from ops.errors import OperatorError
from ops.stripe_account import stripe_client
from ops.stripe_objects import Plan, apply, catalog_prices, missing

app = typer.Typer(
    no_args_is_help=True, help="Operate the consumption billing.", pretty_exceptions_enable=False
)
stripe_app = typer.Typer(no_args_is_help=True, help="Products, meters and prices in Stripe.")
customers_app = typer.Typer(no_args_is_help=True, help="Customers and their subscriptions.")
instances_app = typer.Typer(no_args_is_help=True, help="Instances and their keys.")
app.add_typer(stripe_app, name="stripe")
app.add_typer(customers_app, name="customers")
app.add_typer(instances_app, name="instances")

Stack = Annotated[str, typer.Option(envvar="ZEMFYRE_STACK", help="The CloudFormation stack of the stage.")]
ApiBase = Annotated[str, typer.Option(envvar="STRIPE_API_BASE", help="Another address of Stripe's API.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
CustomerId = Annotated[str, typer.Argument(metavar="CUSTOMER")]
console = Console()


@stripe_app.command("sync")
def stripe_sync(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Make the products, meters and prices of the catalogue; what exists stays as it is."""
    client = stripe_client(api_base or None)
    catalog = builtin_catalog()
    plan = missing(client, catalog, list(catalog_prices(catalog)))
    _print_rows("to be made", plan, as_json=as_json)
    if dry_run:
        return
    for kind, name in apply(client, plan):
        if not as_json:
            console.print(f"made {kind} {name}", highlight=False)


@customers_app.command("add")
def customers_add(  # noqa: PLR0913  a command line's options, each its own parameter
    customer_id: CustomerId,
    *,
    name: Annotated[str, typer.Option(help="The customer's name, as invoices show it.")],
    stack: Stack,
    plan: Annotated[str, typer.Option(help="A plan, or one version of it: starter, starter@1.")] = "starter",
    email: Annotated[str, typer.Option(help="Where alerts and invoices go.")] = "",
    override: Annotated[str, typer.Option(help="The customer's own fee and prices, as JSON.")] = "{}",
    with_stripe: Annotated[bool, typer.Option("--stripe/--no-stripe", help="Subscribe in Stripe.")] = True,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Add a customer, with its Stripe customer and subscription."""
    catalog = builtin_catalog()
    customer = Customer(
        customer_id=customer_id,
        name=name,
        plan=catalog.newest(plan),
        billing_email=email or None,
        override=parse_override(_json_object(override, "--override")),
    )
    catalog.terms(customer.plan, customer.override)
    customers = Deployment(stack).customers
    period = None
    if with_stripe:
        subscribed = subscribe(stripe_client(api_base or None), customer, catalog, datetime.now(UTC))
        customer, period = subscribed.customer, subscribed.period
    add_customer(customers, customer, period)
    if as_json:
        print(customer.model_dump_json(exclude_none=True))
    else:
        console.print(f"added {customer_id} on {customer.plan}", highlight=False)


@instances_app.command("add")
def instances_add(
    customer_id: CustomerId,
    instance_id: Annotated[str, typer.Argument(metavar="INSTANCE")] = "default",
    *,
    stack: Stack,
    as_json: AsJson = False,
) -> None:
    """Add an instance and print its key, once."""
    key = add_instance(Deployment(stack).customers, customer_id, instance_id)
    if as_json:
        print(json.dumps({"customer_id": customer_id, "instance_id": instance_id, "key": key}))
        return
    console.print(f"instance {instance_id} of {customer_id}; its key is shown this once:", highlight=False)
    print(key)


def main() -> None:
    """Run a command; an error the operator must mend ends it with one sentence and status 1."""
    try:
        app()
    except (OperatorError, CatalogError) as error:
        print(f"ops: {error}", file=sys.stderr)
        sys.exit(1)


def _json_object(text: str, option: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise OperatorError(f"{option} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise OperatorError(f"{option} must be a JSON object")
    return value


def _print_rows(title: str, plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"kind": kind, "name": name} for kind, name in plan.rows]))
        return
    if not plan.rows:
        console.print("everything is there; nothing to be made", highlight=False)
        return
    table = Table("kind", "name", title=title)
    for kind, name in plan.rows:
        table.add_row(kind, name)
    console.print(table)


if __name__ == "__main__":
    main()
