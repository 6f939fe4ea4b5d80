"""``ops late-usage``: usage that came after its period's invoice was final."""

from typing import Annotated

import typer

from metering.core.accounts import BillingPeriod
from metering.core.catalog import builtin_catalog
from metering.core.instants import format_instant
from metering.core.late_usage import LateUsage
from ops.deployment import Deployment
from ops.late_usage import find_late, make_invoice_items, named_days, put_intents
from ops.stripe_account import stripe_client
from ops.terminal.options import ApiBase, AsJson, OneCustomer, Stack, chosen_customers
from ops.terminal.printing import console, named, print_json, print_rows, progress

_COLUMNS = ("customer_id", "period", "meter", "quantity", "amount", "days")


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command("late-usage", epilog="Example: ops late-usage cust_8f2c --bill")(_late_usage)


def _late_usage(
    customer_id: OneCustomer = None,
    *,
    stack: Stack,
    bill: Annotated[
        bool,
        typer.Option("--bill", help="Put it on the customer's next invoice; without it nothing changes."),
    ] = False,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """List the usage that came after its period's invoice was final, with its price; bill it with --bill.

    A negative amount is a credit. A customer who has left gets an invoice of its own. Billing twice is safe:
    each amount is written down first and made once.
    """
    deployment, catalog = Deployment(stack), builtin_catalog()
    tables = deployment.tables
    client = stripe_client(api_base or None) if bill else None
    rows: list[tuple[str, ...]] = []
    made: list[dict[str, str]] = []
    for name in progress(chosen_customers(deployment, customer_id), "late usage"):
        account = deployment.account(name)
        items = []
        for late in find_late(account, tables, catalog):
            rows += [_row(name, late.billing, usage) for usage in late.usage]
            if client is not None and account.customer.stripe_customer_id is not None:
                items += put_intents(account, late, tables, catalog)
        if client is not None and items:
            made += [
                {"late_item": item.item_id, "invoice_item": stripe_id, "amount": f"{item.amount:.2f}"}
                for item, stripe_id in make_invoice_items(client, account.customer, items, catalog)
            ]
    if as_json:
        print_json({"late_usage": named(rows, _COLUMNS), "billed": made})
        return
    if rows:
        print_rows(rows, _COLUMNS, as_json=False, title="late usage")
    else:
        console.print("no late usage")
    for one in made:
        console.print(f"billed {one['amount']} as {one['invoice_item']} for {one['late_item']}")


def _row(customer_id: str, billing: BillingPeriod, usage: LateUsage) -> tuple[str, ...]:
    """Late usage as text: customer, period, meter, quantity, dollars, days."""
    start = format_instant(billing.start)
    quantity, amount = f"{usage.quantity:f}", f"{usage.amount:.2f}"
    return (customer_id, start, usage.meter, quantity, amount, named_days(usage.days))
