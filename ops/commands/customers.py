"""``ops customers``: customers and their subscriptions."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from metering.accounts import Customer
from metering.catalog import builtin_catalog, parse_override
from ops.customers import add_customer, subscribe
from ops.deployment import Deployment
from ops.errors import OperatorError
from ops.options import ApiBase, AsJson, CustomerId, Stack, console
from ops.stripe_account import stripe_client

app = typer.Typer(no_args_is_help=True, help="Customers and their subscriptions.")


@app.callback()
def customers_group() -> None:
    """Customers and their subscriptions."""


@app.command("add")
def add(  # noqa: PLR0913  a command line's options, each its own parameter
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
        console.print(f"added {customer_id} on {customer.plan}")


def _json_object(text: str, option: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise OperatorError(f"{option} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise OperatorError(f"{option} must be a JSON object")
    return value
