"""``ops stripe sync``: products, meters and prices in Stripe."""

from typing import Annotated

import typer

from metering.core.accounts import Customer
from metering.core.catalog import builtin_catalog
from ops.deployment import Deployment
from ops.stripe_account import api_key, is_live, stripe_client
from ops.stripe_objects import apply
from ops.sync import compare
from ops.terminal.options import ApiBase, AsJson, DryRun
from ops.terminal.printing import console, messages, named, print_json, print_rows, progress

_COLUMNS = ("kind", "name")


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command("sync", epilog="Example: ops stripe sync --dry-run")(_sync)


def _sync(
    *,
    stack: Annotated[
        str, typer.Option(envvar="ZEMFYRE_STACK", help="The stack whose customers' overrides get prices too.")
    ] = "",
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask in live mode.")] = False,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Make the products, meters and prices of the catalogue and of overrides; what exists stays as it is.

    A meter or price that exists but differs is never touched: the command ends with what to do. In live mode
    it asks first.
    """
    client = stripe_client(api_base or None)
    found = compare(client, builtin_catalog(), _customers(stack))
    mode = "live" if is_live(api_key()) else "test"
    rows = found.missing.rows
    if not as_json and rows:
        print_rows(rows, _COLUMNS, as_json=False, title=f"to be made in {mode} mode")
    for warning in found.warnings:
        messages.print(f"warning: {warning}")
    made: list[tuple[str, str]] = []
    if rows and not dry_run:
        _confirm_live(yes=yes)
        for kind, name in apply(client, found.missing):
            made.append((kind, name))
            messages.print(f"made {kind} {name}")
    if as_json:
        answered = named(rows if dry_run else made, _COLUMNS)
        print_json({"mode": mode, "dry_run": dry_run, "made": answered, "warnings": found.warnings})
    elif not rows:
        console.print(f"everything is there in {mode} mode; nothing to be made")


def _customers(stack: str) -> list[Customer]:
    if not stack:
        return []
    deployment = Deployment(stack)
    customers = deployment.tables.customers
    read = (customers.customer(name) for name in progress([*deployment.fleet()], "customers"))
    return [customer for customer in read if customer is not None]


def _confirm_live(*, yes: bool) -> None:
    """Ask before anything is made in live mode, unless told yes; in test mode nobody is asked."""
    if is_live(api_key()) and not yes:
        typer.confirm("STRIPE_API_KEY is a live-mode key: change the live account?", abort=True, err=True)
