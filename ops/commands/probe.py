"""``ops stripe probe``: whether Stripe does what we assume."""

from typing import Annotated

import typer

from ops.errors import OperatorError
from ops.probe.assumptions import CHECKS
from ops.probe.check import ProbeVerdict
from ops.probe.sandbox import Sandbox
from ops.stripe_account import api_key, is_live, stripe_client
from ops.terminal.options import ApiBase, AsJson
from ops.terminal.printing import print_rows, progress


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command("probe", epilog="Example: STRIPE_API_KEY=sk_test_... ops stripe probe --wait 120")(_probe)


def _probe(
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
    if any(verdict is ProbeVerdict.FAILS for _, verdict, _ in rows):
        raise typer.Exit(1)
