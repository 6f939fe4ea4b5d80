"""``ops reconcile``: usage, ledger and Stripe against each other, hour by hour."""

from typing import Annotated, Any

import typer

from ops.deployment import Deployment
from ops.errors import OperatorError
from ops.periods import chosen_period
from ops.reconcile import in_stripe, reconcile
from ops.terminal.options import AsJson, OneCustomer, PeriodStart, Stack, check_period, chosen_customers
from ops.terminal.printing import console, messages, print_json, print_rows, progress

_COLUMNS = ("meter", "hour", "usage", "ledger", "stripe", "difference", "age")


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command("reconcile", epilog="Example: ops reconcile cust_8f2c --period 2026-11-01 --fix")(_reconcile)


def _reconcile(
    customer_id: OneCustomer = None,
    *,
    stack: Stack,
    period: PeriodStart = "",
    fix: Annotated[bool, typer.Option("--fix", help="Send again what differs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare usage, ledger and Stripe, hour by hour, and show what differs.

    Exit status 1 when an hour differs and was not sent again, or a customer could not be compared.
    """
    check_period(period, customer_id)
    deployment = Deployment(stack)
    accounts = in_stripe(
        [deployment.account(name) for name in chosen_customers(deployment, customer_id)], customer_id
    )
    start = chosen_period(accounts[0], period).start if period else None
    answers, failures = [], []
    for account in progress(accounts, "reconciling"):
        try:
            answers.append(reconcile(deployment, account.customer.customer_id, start, fix=fix))
        except OperatorError as error:
            failures.append(f"{account.customer.customer_id}: {error}")
    if as_json:
        print_json({"customers": [answer.document for answer in answers], "failures": failures})
    else:
        for answer in answers:
            _print(answer.document)
        for failure in failures:
            messages.print(failure)
    if failures or any(answer.differs for answer in answers):
        raise typer.Exit(1)


def _print(answer: dict[str, Any]) -> None:
    name = f"{answer['customer_id']}, period {answer['period_start']} ({answer['state']})"
    if answer["rows"]:
        rows = [[one[column] for column in _COLUMNS] for one in answer["rows"]]
        print_rows(rows, _COLUMNS, as_json=False, title=name)
    sent = f"; {answer['sent_again']} sent again" if answer["sent_again"] else ""
    console.print(f"{name}: {answer['compared']} hours compared, {len(answer['rows'])} differ{sent}")
