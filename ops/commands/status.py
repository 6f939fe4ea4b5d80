"""``ops status``: the state of the fleet."""

from datetime import timedelta

import typer

from ops import clock
from ops.deployment import Deployment
from ops.status import Backlog, FleetStatus, fleet_status
from ops.terminal.options import AsJson, Stack
from ops.terminal.printing import console, print_json, print_rows, progress


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command("status", epilog="Example: ops status --json")(_status)


def _status(*, stack: Stack, as_json: AsJson = False) -> None:
    """Show the fleet: customers, periods, what waits and since when, dead letters, hours that differ.

    Exit status 1 when something waits for a person: dead letters, a period not final four days after its end,
    an hour that differs or was refused, usage that the daily sweep found not to be conserved.
    """
    deployment, now = Deployment(stack), clock.present()
    accounts = [deployment.account(name) for name in progress([*deployment.fleet()], "customers")]
    found = fleet_status(deployment, accounts, now)
    if as_json:
        print_json(found.answer())
    else:
        _print(found)
    if not found.healthy:
        raise typer.Exit(1)


def _print(found: FleetStatus) -> None:
    rows = [
        *((f"customers, {name}", count) for name, count in sorted(found.customers.items())),
        *((f"periods, {name}", count) for name, count in sorted(found.periods.items())),
        ("hours to be recomputed", _waiting(found.dirty)),
        ("days to be sent to Stripe", _waiting(found.unsent)),
        *((f"dead letters, {name}", count) for name, count in found.dead_letters.items()),
        ("periods overdue", len(found.overdue_periods)),
        ("hours that differ or were refused", len(found.differences)),
        ("usage not conserved, two days", found.not_conserved),
    ]
    print_rows(rows, ("what", "count"), as_json=False, title="fleet")
    for line in found.overdue_periods:
        console.print(f"not final: {line}")
    for one in found.differences:
        since = f" since {one.since}" if one.since else ""
        console.print(f"differs: {one.customer_id} {one.meter} {one.hour} {one.value} {one.state}{since}")


def _waiting(backlog: Backlog) -> str:
    if not backlog.count:
        return "0"
    return f"{backlog.count}, the oldest {backlog.oldest}, over for {timedelta(seconds=backlog.age)}"
