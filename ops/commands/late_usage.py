"""``ops late-usage``: usage that came after its period's invoice was final, and usage without an invoice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from metering.core.accounts import Account, BillingPeriod
from metering.core.catalog import builtin_catalog
from metering.core.charges import Charge, ChargeState
from metering.core.instants import format_instant
from metering.core.late_usage import LateUsage
from ops import clock
from ops.deployment import Deployment
from ops.errors import OperatorError
from ops.invoice_items import named_days
from ops.late_usage import Billing, NotBilledError, UnbilledPeriod
from ops.stripe_account import known_stripe_client, stripe_client
from ops.terminal.options import ApiBase, AsJson, OneCustomer, Stack, chosen_customers, read_dollars
from ops.terminal.printing import console, named, print_json, print_rows, progress

_COLUMNS = ("customer_id", "period", "meter", "quantity", "amount", "days")
_COVERED = ("customer_id", "period", "item", "meter", "quantity", "amount", "state")
_UNBILLED = (*_COLUMNS, "command")

type Row = tuple[str, ...]


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
    with_credits: Annotated[
        bool, typer.Option("--credits", help="With --bill: credit what was billed too much as well.")
    ] = False,
    credit_limit: Annotated[
        str, typer.Option(help="Dollars credited to a customer in one run at most.")
    ] = "100.00",
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """List the usage that came after its period's invoice was final, with its price; bill it with --bill.

    A negative amount is a credit, made only with --credits. A customer who has left gets an invoice of its
    own. Billing twice is safe: each amount is written down first and made once. Usage of periods that no
    invoice bills is listed with the command that settles it.
    """
    deployment, limit = Deployment(stack), read_dollars(credit_limit, "--credit-limit")
    billing = Billing(
        deployment.tables,
        builtin_catalog(),
        clock.present(),
        stripe_client(api_base or None) if bill else known_stripe_client(api_base or None),
        limit if with_credits else None,
    )
    answer = _Answer()
    for name in progress(chosen_customers(deployment, customer_id), "late usage"):
        answer.add(billing, deployment.account(name), bill=bill)
    if as_json:
        print_json(answer.document())
    else:
        answer.print()
    if answer.refused:
        raise OperatorError("; ".join(answer.refused))


@dataclass
class _Answer:
    """What is late, was billed, covers usage, is billed by no invoice; and which credits are too much."""

    late: list[Row] = field(default_factory=list)
    billed: list[dict[str, str]] = field(default_factory=list)
    covered: list[Row] = field(default_factory=list)
    unbilled: list[Row] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(self, billing: Billing, account: Account, *, bill: bool) -> None:
        """Add a customer, and bill its late usage where that is asked for."""
        name = account.customer.customer_id
        late, unsettled = billing.late(account), billing.unbilled(account)
        self.late += [_row(name, period.billing, usage) for period in late for usage in period.usage]
        self.unbilled += _unbilled_rows(name, unsettled)
        if bill and account.customer.stripe_customer_id is not None:
            try:
                for item, stripe_id in billing.bill(account, late):
                    told = {"late_item": item.item_id, "invoice_item": stripe_id}
                    self.billed.append(told | {"amount": f"{item.amount:.2f}"})
            except NotBilledError as error:
                self.refused.append(str(error))
            late = billing.late(account)
        charges: list[Charge] = [item for period in late for item in period.covered]
        charges += [item for period in unsettled for item in period.settled]
        states = billing.states(account, charges)
        self.covered += [_covered_row(name, item, state) for item, state in states]

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "late_usage": named(self.late, _COLUMNS),
            "billed": self.billed,
            "covered": named(self.covered, _COVERED),
            "unbilled": named(self.unbilled, _UNBILLED),
        }

    def print(self) -> None:
        """Print it for people."""
        if self.late:
            print_rows(self.late, _COLUMNS, as_json=False, title="late usage")
        else:
            console.print("no late usage")
        if self.unbilled:
            print_rows(self.unbilled, _UNBILLED, as_json=False, title="usage that no invoice bills")
        if self.covered:
            print_rows(self.covered, _COVERED, as_json=False, title="covered beside the invoices")
        for one in self.billed:
            console.print(f"billed {one['amount']} as {one['invoice_item']} for {one['late_item']}")


def _row(customer_id: str, billing: BillingPeriod, usage: LateUsage) -> Row:
    """Late usage as text: customer, period, meter, quantity, dollars, days."""
    start = format_instant(billing.start)
    quantity, amount = f"{usage.quantity:f}", f"{usage.amount:.2f}"
    return (customer_id, start, usage.meter, quantity, amount, named_days(usage.days))


def _unbilled_rows(customer_id: str, unsettled: Sequence[UnbilledPeriod]) -> list[Row]:
    """What no invoice bills, with the command that settles it; of a void invoice one row more."""
    rows: list[Row] = []
    for period in unsettled:
        start = format_instant(period.billing.start)
        command = f'ops settle {customer_id} {start} --bill --reason "..."'
        if period.void:
            rows.append((customer_id, start, "void invoice", "", "", "", command))
        rows += [(*_row(customer_id, period.billing, usage), command) for usage in period.usage]
    return rows


def _covered_row(customer_id: str, item: Charge, state: ChargeState) -> Row:
    start, quantity = format_instant(item.period_start), f"{item.quantity:f}"
    return (customer_id, start, item.item_id, item.meter, quantity, f"{item.amount:.2f}", state.value)
