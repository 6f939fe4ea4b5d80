"""Reconciling by hand: the function compares, so that the rules are those of the daily run.

Source: docs/stripe-protocol.md#reconciliation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metering.core.accounts import Account
from metering.core.instants import format_instant
from ops.deployment import Deployment
from ops.errors import OperatorError

_FUNCTION = "StripeReportFunction"


@dataclass(frozen=True)
class Reconciled:
    """What the function found of a customer's period: its answer, and whether it was to send again."""

    document: dict[str, Any]
    fix: bool

    @property
    def differs(self) -> bool:
        """Whether an hour differs that was not sent again."""
        rows = self.document["rows"]
        return bool(rows) and (not self.fix or len(rows) > self.document["sent_again"])


def in_stripe(accounts: Sequence[Account], asked: str | None) -> list[Account]:
    """Return the accounts that are in Stripe, which alone can be compared.

    Raises
    ------
    OperatorError
        When it is not the one that was asked for.
    """
    found = [one for one in accounts if one.customer.stripe_customer_id is not None]
    if asked is not None and not found:
        raise OperatorError(f"{asked} is not in Stripe; see `ops customers attach`")
    return found


def reconcile(deployment: Deployment, customer_id: str, start: datetime | None, *, fix: bool) -> Reconciled:
    """Have a customer's period compared; the present one unless its start is given.

    ``fix`` has sent again what differs.

    Raises
    ------
    OperatorError
        When the function failed; the text is what it said.
    """
    event = {
        "task": "reconcile",
        "customer_id": customer_id,
        "period_start": format_instant(start) if start else None,
        "fix": fix,
    }
    return Reconciled(deployment.invoke(_FUNCTION, event), fix)
