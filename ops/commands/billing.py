"""``ops reconcile`` and ``ops late-usage``: usage, ledger and Stripe against each other."""

from datetime import datetime
from typing import Annotated, Any

import typer

from metering.core.catalog import builtin_catalog
from metering.core.contract import format_instant
from metering.tables.customers import Account
from ops.deployment import Deployment
from ops.errors import OperatorError, WrongInputError
from ops.late import LateTables, find_late, make_invoice_items, put_intents, row
from ops.options import (
    ApiBase,
    AsJson,
    OneCustomer,
    Stack,
    console,
    messages,
    print_json,
    print_rows,
    progress,
)
from ops.periods import chosen_period
from ops.stripe_account import stripe_client

_FUNCTION = "StripeReportFunction"
_COLUMNS = ("meter", "hour", "usage", "ledger", "stripe", "difference", "age")


def add_to(app: typer.Typer) -> None:
    """Put the commands into the command line."""
    app.command("reconcile", epilog="Example: ops reconcile cust_8f2c --period 2026-11-01 --fix")(reconcile)
    app.command("late-usage", epilog="Example: ops late-usage cust_8f2c --bill")(late_usage)


def reconcile(
    customer_id: OneCustomer = None,
    *,
    stack: Stack,
    period: Annotated[
        str, typer.Option(help="The start of a period, or its day; the present period unless given.")
    ] = "",
    fix: Annotated[bool, typer.Option("--fix", help="Send again what differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare usage, ledger and Stripe, hour by hour, and show what differs.

    Exit status 1 when an hour differs and was not sent again, or a customer could not be compared.
    """
    deployment = Deployment(stack)
    if period and customer_id is None:
        raise WrongInputError("--period needs a CUSTOMER: periods differ from one to the next")
    chosen = [customer_id] if customer_id else [*deployment.fleet()]
    accounts = [deployment.account(name) for name in chosen]
    if customer_id and accounts[0].customer.stripe_customer_id is None:
        raise OperatorError(f"{customer_id} is not in Stripe; see `ops customers attach`")
    accounts = [one for one in accounts if one.customer.stripe_customer_id is not None]
    start = chosen_period(accounts[0], period).start if period else None
    answers, failures = [], []
    for account in progress(accounts, "reconciling"):
        try:
            answers.append(_reconciled(deployment, account, start, fix=fix))
        except OperatorError as error:
            failures.append(f"{account.customer.customer_id}: {error}")
    if as_json:
        print_json({"customers": answers, "failures": failures})
    else:
        _print_answers(answers)
        for failure in failures:
            messages.print(failure)
    differing = any(
        answer["rows"] and (not fix or len(answer["rows"]) > answer["sent_again"]) for answer in answers
    )
    if differing or failures:
        raise typer.Exit(1)


def late_usage(
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
    tables = LateTables(deployment.customers, deployment.hours, deployment.ledger)
    client = stripe_client(api_base or None) if bill else None
    rows: list[tuple[str, ...]] = []
    made: list[dict[str, str]] = []
    for name in progress([customer_id] if customer_id else [*deployment.fleet()], "late usage"):
        account = deployment.account(name)
        items = []
        for late in find_late(account, tables, catalog):
            rows += [row(name, late.billing, usage) for usage in late.usage]
            if client is not None and account.customer.stripe_customer_id is not None:
                items += put_intents(account, late, tables, catalog)
        if client is not None and items:
            made += [
                {"late_item": item.item_id, "invoice_item": stripe_id, "amount": f"{item.amount:.2f}"}
                for item, stripe_id in make_invoice_items(client, account.customer, items, catalog)
            ]
    columns = ("customer_id", "period", "meter", "quantity", "amount", "days")
    if as_json:
        late_rows = [dict(zip(columns, one, strict=True)) for one in rows]
        print_json({"late_usage": late_rows, "billed": made})
        return
    if rows:
        print_rows(rows, columns, as_json=False, title="late usage")
    else:
        console.print("no late usage")
    for one in made:
        console.print(f"billed {one['amount']} as {one['invoice_item']} for {one['late_item']}")


def _reconciled(
    deployment: Deployment, account: Account, start: datetime | None, *, fix: bool
) -> dict[str, Any]:
    event = {
        "task": "reconcile",
        "customer_id": account.customer.customer_id,
        "period_start": format_instant(start) if start else None,
        "fix": fix,
    }
    answer: dict[str, Any] = deployment.invoke(_FUNCTION, event)
    return answer


def _print_answers(answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        name = f"{answer['customer_id']}, period {answer['period_start']} ({answer['state']})"
        if answer["rows"]:
            rows = [[one[column] for column in _COLUMNS] for one in answer["rows"]]
            print_rows(rows, _COLUMNS, as_json=False, title=name)
        sent = f"; {answer['sent_again']} sent again" if answer["sent_again"] else ""
        console.print(f"{name}: {answer['compared']} hours compared, {len(answer['rows'])} differ{sent}")
