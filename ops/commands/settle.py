"""``ops settle``: an operator's word on a period that no invoice bills."""

from typing import Annotated

import typer

from metering.core.catalog import builtin_catalog
from metering.core.instants import format_instant
from metering.core.settlements import SettleItem, SettleKind
from ops import clock
from ops.deployment import Deployment
from ops.errors import WrongInputError
from ops.periods import chosen_period
from ops.settle import Decision, settle
from ops.stripe_account import stripe_client
from ops.terminal.options import ApiBase, AsJson, CustomerId, Reason, Stack
from ops.terminal.printing import console, print_json, print_rows

_COLUMNS = ("number", "kind", "meter", "quantity", "amount", "text")


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command(
        "settle", epilog='Example: ops settle cust_8f2c 2026-10-22 --bill --reason "the invoice was voided"'
    )(_settle)


def _settle(
    customer_id: CustomerId,
    period: Annotated[str, typer.Argument(metavar="PERIOD", help="The start of a period, or its day.")],
    *,
    stack: Stack,
    reason: Reason,
    bill: Annotated[bool, typer.Option("--bill", help="Put it on the customer's next invoice.")] = False,
    write_off: Annotated[bool, typer.Option("--write-off", help="Charge nobody for it.")] = False,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Settle a period that no invoice bills: charge what was used, or write it off.

    Of a void invoice every line is settled, the monthly fee too. Refused while an invoice may still appear:
    72 hours after the period's end. Settling again is safe, and settles only what came since.
    """
    if bill == write_off:
        raise WrongInputError("give either --bill or --write-off")
    if not reason.strip():
        raise WrongInputError("--reason must say why")
    deployment = Deployment(stack)
    account = deployment.account(customer_id)
    billing = chosen_period(account, period)
    decision = Decision(
        kind=SettleKind.BILL if bill else SettleKind.WRITE_OFF,
        reason=reason.strip(),
        who=deployment.operator(),
        at=clock.present(),
    )
    client = stripe_client(api_base or None)
    done = settle(client, account, billing, decision, deployment.tables, builtin_catalog())
    rows = [_row(item) for item in done.new]
    made = [{"settle_item": item.item_id, "invoice_item": stripe_id} for item, stripe_id in done.made]
    if as_json:
        named = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        print_json({"customer_id": customer_id, "settled": named, "made": made})
        return
    if rows:
        title = f"{customer_id}, period {format_instant(billing.start)}"
        print_rows(rows, _COLUMNS, as_json=False, title=title)
    else:
        console.print("nothing of this period is left to be settled")
    for one in made:
        console.print(f"billed as {one['invoice_item']} for {one['settle_item']}")


def _row(item: SettleItem) -> tuple[str, ...]:
    return (
        str(item.number),
        item.kind.value,
        item.meter,
        f"{item.quantity:f}",
        f"{item.amount:.2f}",
        item.text or "",
    )
