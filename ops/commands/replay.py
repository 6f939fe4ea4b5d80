"""``ops replay``: recompute any span of a customer from its raw reports."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from metering.core.instants import HOUR, format_instant
from ops.deployment import Deployment
from ops.errors import OperatorError
from ops.replay import Replayed, Span, replay
from ops.terminal.options import CustomerId, Stack
from ops.terminal.printing import console, measured

_FORMS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]
_SHOWN = 20


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    example = "Example: ops replay cust_8f2c --from 2026-11-01 --to 2026-11-08 --dry-run"
    line.command("replay", epilog=example)(_replay)


def _replay(
    customer_id: CustomerId,
    *,
    start: Annotated[datetime, typer.Option("--from", formats=_FORMS, help="The span's first hour, in UTC.")],
    end: Annotated[datetime, typer.Option("--to", formats=_FORMS, help="Its end, not part of it, in UTC.")],
    stack: Stack,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only compare; change nothing.")] = False,
) -> None:
    """Recompute a customer's hours from its raw reports; where nothing changed, nothing is done."""
    deployment = Deployment(stack)
    if deployment.tables.customers.customer(customer_id) is None:
        raise OperatorError(f"no customer {customer_id}")
    span = Span(customer_id, start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
    differing: list[Replayed] = []
    compared = 0
    with measured("hours", max(0, (span.end - span.start) // HOUR)) as show:
        for done in replay(span, deployment.tables, dry_run=dry_run):
            compared += 1
            show((done.hour - span.start) // HOUR + 1)
            if done.differences:
                differing.append(done)
    _say(differing, compared, dry_run=dry_run)


def _say(differing: list[Replayed], compared: int, *, dry_run: bool) -> None:
    for done in differing[:_SHOWN]:
        for difference in done.differences:
            expected, found = difference.expected or "nothing", difference.found or "nothing"
            console.print(
                f"{format_instant(done.hour)} {difference.metric}: stored {found}, its reports say {expected}"
            )
    if len(differing) > _SHOWN:
        console.print(f"... and {len(differing) - _SHOWN} more hours")
    console.print(f"{len(differing)} of {compared} hours differ from their reports")
    if dry_run or not differing:
        return
    marked = sum(done.marked for done in differing)
    console.print(f"{marked} marked: the service recomputes them within minutes")
    if marked < len(differing):
        console.print(
            f"{len(differing) - marked} have no report to be recomputed from; they stay as they are"
        )
