"""``ops adjust``: more or less of a meter in one period, with a reason."""

from datetime import datetime
from typing import Annotated

import typer

from metering.core.catalog import builtin_catalog
from metering.core.exact import plain
from metering.core.instants import format_instant, hour_of, parse_instant
from ops import clock
from ops.adjust import Wanted, adjust
from ops.deployment import Deployment
from ops.errors import WrongInputError
from ops.periods import chosen_period
from ops.terminal.options import AsJson, CustomerId, Reason, Stack, read_number, wrong_input
from ops.terminal.printing import console, print_json


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command(
        "adjust",
        epilog="Example: ops adjust cust_8f2c --period 2026-11-22 --meter mqtt_traffic --quantity=-3.5 "
        '--hours 2026-11-23T00..2026-11-23T05 --reason "a test of ours"',
    )(_adjust)


def _adjust(
    customer_id: CustomerId,
    *,
    stack: Stack,
    period: Annotated[str, typer.Option(help="The start of a period, or its day.")],
    meter: Annotated[str, typer.Option(help="A meter of the catalogue.")],
    quantity: Annotated[str, typer.Option(help="So much more, in the meter's units; negative for less.")],
    reason: Reason,
    hours: Annotated[
        str, typer.Option(help="The first and the last hour, 2026-11-23T00..2026-11-23T05; all unless given.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Add to a meter's quantity of one period, or take from it; it is sent and billed like any usage.

    More is added in the first hour; less is taken from the hours in order, and none falls below 0. Stored
    hours stay as they were reported. The same words again are the same adjustment.
    """
    if not reason.strip():
        raise WrongInputError("--reason must say why")
    deployment = Deployment(stack)
    account = deployment.account(customer_id)
    billing = chosen_period(account, period)
    wanted = Wanted(
        meter=meter,
        quantity=read_number(quantity, "--quantity"),
        hours=_hours(hours) if hours else None,
        reason=reason.strip(),
        who=deployment.operator(),
        at=clock.present(),
    )
    with wrong_input():
        made = adjust(account, billing, wanted, deployment.tables, builtin_catalog())
    stored = made.adjustment
    if as_json:
        told = stored.model_dump(mode="json")
        print_json({**told, "new": made.new, "unapplied": plain(made.unapplied)})
        return
    unit = builtin_catalog().meters[meter].unit
    verb = "adjusted" if made.new else "was adjusted already"
    rest = f"; {plain(made.unapplied)} of it finds no usage" if made.unapplied else ""
    console.print(
        f"{customer_id}, period {format_instant(billing.start)}: {meter} {verb} by {plain(stored.quantity)} "
        f"{unit} as number {stored.number}{rest}"
    )


def _hours(text: str) -> tuple[datetime, datetime]:
    """Read ``2026-11-23T00..2026-11-23T05``; one hour alone is both."""
    first, _, last = text.partition("..")
    return _hour(first), _hour(last or first)


def _hour(text: str) -> datetime:
    try:
        hour = parse_instant(text if text.endswith("Z") else f"{text}:00:00Z")
    except ValueError:
        hour = None
    if hour is None or hour != hour_of(hour):
        raise WrongInputError(f"--hours: no full UTC hour of the form 2026-11-23T05: {text!r}")
    return hour
