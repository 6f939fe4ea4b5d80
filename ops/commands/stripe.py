"""``ops stripe``: products, meters and prices in Stripe."""

import json
from typing import Annotated

import typer
from rich.table import Table

from metering.catalog import builtin_catalog
from ops.options import ApiBase, AsJson, console
from ops.stripe_account import stripe_client
from ops.stripe_objects import Plan, apply, catalog_prices, missing

app = typer.Typer(no_args_is_help=True, help="Products, meters and prices in Stripe.")


@app.callback()
def stripe_group() -> None:
    """Products, meters and prices in Stripe."""


@app.command("sync")
def sync(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Make the products, meters and prices of the catalogue; what exists stays as it is."""
    client = stripe_client(api_base or None)
    catalog = builtin_catalog()
    plan = missing(client, catalog, list(catalog_prices(catalog)))
    _print_plan(plan, as_json=as_json)
    if dry_run:
        return
    for kind, name in apply(client, plan):
        if not as_json:
            console.print(f"made {kind} {name}")


def _print_plan(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"kind": kind, "name": name} for kind, name in plan.rows]))
        return
    if not plan.rows:
        console.print("everything is there; nothing to be made")
        return
    table = Table("kind", "name", title="to be made")
    for kind, name in plan.rows:
        table.add_row(kind, name)
    console.print(table)
