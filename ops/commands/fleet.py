"""``ops status``: the state of the fleet."""

from datetime import UTC, datetime, timedelta

import typer

from metering.core.periods import DAY, HOUR, hour_of
from ops.deployment import Deployment
from ops.options import AsJson, Stack, console, print_json, print_rows, progress
from ops.status import FleetStatus, Waiting, fleet_status

_DEAD_LETTERS = {"aggregate": "AggregateDeadLetters", "stripe_report": "StripeDeadLetters"}


def add_to(app: typer.Typer) -> None:
    """Put the command into the command line."""
    app.command("status", epilog="Example: ops status --json")(status)


def status(*, stack: Stack, as_json: AsJson = False) -> None:
    """Show the fleet: customers, periods, what waits and since when, dead letters, hours that differ.

    Exit status 1 when something waits for a person: dead letters, a period not final four days after its end,
    an hour that differs or was refused, usage that the daily sweep found not to be conserved.
    """
    deployment = Deployment(stack)
    now = datetime.now(UTC)
    found = fleet_status(
        [deployment.account(name) for name in progress([*deployment.fleet()], "customers")],
        deployment.markers,
        deployment.ledger,
        deployment.queued,
        _DEAD_LETTERS,
        deployment.counted(
            "conservation_difference", "aggregate", hour_of(now) - 2 * DAY, hour_of(now) + HOUR
        ),
        now,
    )
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


def _waiting(waiting: Waiting) -> str:
    if not waiting.count:
        return "0"
    return f"{waiting.count}, the oldest {waiting.oldest}, over for {timedelta(seconds=waiting.age)}"
