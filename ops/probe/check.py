"""One assumption and how it is checked."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import stripe

from ops.probe.sandbox import Sandbox


class ProbeVerdict(StrEnum):
    """What a check says of its assumption."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNCLEAR = "unclear"


type Finding = tuple[ProbeVerdict, str]
"""The verdict, and what was seen."""


@dataclass(frozen=True)
class Check:
    """An assumption in a sentence, and the question to Stripe."""

    assumption: str
    ask: Callable[[Sandbox], Finding]

    def run(self, sandbox: Sandbox) -> Finding:
        """Ask; an answer that nobody expected, or that lacks what was looked for, makes it unclear."""
        try:
            return self.ask(sandbox)
        except stripe.StripeError as error:
            return ProbeVerdict.UNCLEAR, f"{error.http_status}: {error.user_message or error}"
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            return ProbeVerdict.UNCLEAR, f"another answer than expected: {error!r}"


def held(holds: bool, seen: str) -> Finding:  # noqa: FBT001  the one thing it is about
    """Return what a check that sees its answer at once found."""
    return (ProbeVerdict.HOLDS if holds else ProbeVerdict.FAILS), seen


def not_counted(sandbox: Sandbox) -> Finding:
    """Return that usage did not show in time, so that nothing can be said of what is billed."""
    return ProbeVerdict.UNCLEAR, f"not counted within {sandbox.wait_s} s"


def refusal(call: Callable[[], object]) -> stripe.StripeError | None:
    """Make a call; return what Stripe refused it with, None when it was taken."""
    try:
        call()
    except stripe.StripeError as error:
        return error
    return None


def refused(call: Callable[[], object], status: int = 400) -> Finding:
    """Return that a call is refused with a status."""
    error = refusal(call)
    if error is None:
        return ProbeVerdict.FAILS, "taken"
    return held(error.http_status == status, f"{error.http_status} {error.code or ''}: {error.user_message}")


def taken(call: Callable[[], object]) -> Finding:
    """Return that a call is not refused."""
    error = refusal(call)
    if error is None:
        return ProbeVerdict.HOLDS, "200"
    return ProbeVerdict.FAILS, f"{error.http_status} {error.code or ''}: {error.user_message}"
