"""``ops simulate``: the same usage under another plan or a draft catalogue."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from metering.core.catalog import CatalogError, builtin_catalog, parse_catalog
from metering.core.instants import format_instant
from ops import clock
from ops.deployment import Deployment
from ops.periods import chosen_period
from ops.simulate import Simulated, Simulation, simulate
from ops.terminal.options import (
    AsJson,
    OneCustomer,
    PeriodStart,
    Stack,
    check_period,
    chosen_customers,
    wrong_input,
)
from ops.terminal.printing import messages, named, print_json, print_rows, progress

_COLUMNS = ("customer_id", "period", "plan", "total", "other_plan", "other_total", "difference")


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command("simulate", epilog="Example: ops simulate --catalog draft.toml")(_simulate)


def _simulate(
    customer_id: OneCustomer = None,
    *,
    stack: Stack,
    plan: Annotated[
        str, typer.Option(help="The plan to try; each customer's own, in its newest version, unless given.")
    ] = "",
    catalog: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A draft of the catalogue, as TOML.")
    ] = None,
    period: PeriodStart = "",
    as_json: AsJson = False,
) -> None:
    """Show what the usage to date would cost on another plan or under a draft catalogue; changes nothing."""
    check_period(period, customer_id)
    charged, now, deployment = builtin_catalog(), clock.present(), Deployment(stack)
    with wrong_input():
        draft = parse_catalog(catalog.read_text(encoding="utf-8"), "--catalog") if catalog else charged
        if plan:
            draft.newest(plan)
    simulation = Simulation(charged, draft, plan or None)
    found: list[Simulated] = []
    for name in progress(sorted(chosen_customers(deployment, customer_id)), "customers"):
        account = deployment.account(name)
        billing = chosen_period(account, period) if period else None
        try:
            one = simulate(simulation, account, deployment.tables, now, billing)
        except CatalogError as error:
            messages.print(f"{name}: {error}")
            continue
        if one is not None:
            found.append(one)
    _print(found, as_json=as_json)


def _print(found: list[Simulated], *, as_json: bool) -> None:
    rows = [
        (
            one.customer_id,
            format_instant(one.period_start),
            one.plan,
            f"{one.total:.2f}",
            one.other_plan,
            f"{one.other_total:.2f}",
            f"{one.difference:+.2f}",
        )
        for one in found
    ]
    difference = f"{sum((one.difference for one in found), Decimal(0)):+.2f}"
    if as_json:
        print_json({"customers": named(rows, _COLUMNS), "difference": difference})
    else:
        print_rows(rows, _COLUMNS, as_json=False, title=f"together {difference}")
