"""``ops stripe``: products, meters and prices in Stripe, and whether Stripe does what we assume."""

from typing import Annotated

import typer

from metering.core.accounts import Customer
from metering.core.catalog import builtin_catalog
from ops.deployment import Deployment
from ops.errors import OperatorError
from ops.options import ApiBase, AsJson, DryRun, console, messages, print_json, print_rows, progress
from ops.probe import CHECKS, Sandbox, Verdict
from ops.stripe_account import api_key, confirm_live, is_live, stripe_client
from ops.stripe_checks import grace_warning, subscription_warnings
from ops.stripe_objects import apply, catalog_prices, missing, own_prices

app = typer.Typer(no_args_is_help=True, help="Products, meters and prices in Stripe.")


@app.command("sync", epilog="Example: ops stripe sync --dry-run")
def sync(
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
    catalog = builtin_catalog()
    wanted = [*catalog_prices(catalog), *own_prices(_customers(stack), catalog)]
    plan = missing(client, catalog, wanted)
    warnings = [*subscription_warnings(client)]
    if grace := grace_warning(client):
        warnings.append(grace)
    mode = "live" if is_live(api_key()) else "test"
    if not as_json and plan.rows:
        print_rows(plan.rows, ("kind", "name"), as_json=False, title=f"to be made in {mode} mode")
    for warning in warnings:
        messages.print(f"warning: {warning}")
    made: list[tuple[str, str]] = []
    if plan.rows and not dry_run:
        confirm_live(yes=yes)
        for kind, name in apply(client, plan):
            made.append((kind, name))
            messages.print(f"made {kind} {name}")
    if as_json:
        rows = [{"kind": kind, "name": name} for kind, name in (plan.rows if dry_run else made)]
        print_json({"mode": mode, "dry_run": dry_run, "made": rows, "warnings": warnings})
    elif not plan.rows:
        console.print(f"everything is there in {mode} mode; nothing to be made")


@app.command("probe", epilog="Example: STRIPE_API_KEY=sk_test_... ops stripe probe --wait 120")
def probe(
    *,
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait for what Stripe does later.")] = 60,
    as_json: AsJson = False,
    api_base: ApiBase = "",
) -> None:
    """Check what we assume of Stripe (docs/stripe-assumptions.md) against a test-mode account.

    It makes objects of its own, named zemfyre_probe_..., and archives what can be archived. Exit status 1
    when an assumption does not hold.
    """
    if is_live(api_key()):
        raise OperatorError("the probe makes objects of its own: give it a test-mode key (sk_test_...)")
    with Sandbox.made(stripe_client(api_base or None), wait) as sandbox:
        rows = [(check.assumption, *check.run(sandbox)) for check in progress(CHECKS, "asking Stripe")]
    print_rows(
        [(assumption, verdict.value, seen) for assumption, verdict, seen in rows],
        ("assumption", "verdict", "seen"),
        as_json=as_json,
    )
    if any(verdict is Verdict.FAILS for _, verdict, _ in rows):
        raise typer.Exit(1)


def _customers(stack: str) -> list[Customer]:
    if not stack:
        return []
    deployment = Deployment(stack)
    read = (deployment.customers.customer(name) for name in progress([*deployment.fleet()], "customers"))
    return [customer for customer in read if customer is not None]
