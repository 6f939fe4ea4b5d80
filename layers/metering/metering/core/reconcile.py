"""Reconciliation: usage = ledger = Stripe, by hour, and what to do where they differ. Pure.

Source: docs/stripe-protocol.md#reconciliation. Stripe's summaries are eventually consistent, so a difference
counts once the hour's newest number is ten minutes old; it is sent again under the next number, and what
still differs an hour later is an alarm. From then on it is sent again once an hour.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from metering.core.exact import EXACT
from metering.core.instants import SECOND, format_instant

TOLERANCE = Decimal("0.000001")
"""In the meter's units; Stripe's summaries are floats."""
COUNTS_AFTER = timedelta(minutes=10)
OVERDUE_AFTER = timedelta(hours=1)


class Verdict(StrEnum):
    """What the reconciliation makes of an hour."""

    AGREES = "agrees"
    WAITS = "waits"
    SEND_AGAIN = "send again"
    OVERDUE = "overdue"
    """It was sent again an hour ago and still differs: an alarm."""


@dataclass(frozen=True, slots=True)
class HourValues:
    """The three values of one meter's hour, in the meter's units.

    ``stripe`` is None where Stripe has no event at all. ``sent_at`` is when the newest number was given to
    Stripe (the hour's end if none was), ``differs_since`` when the reconciliation first sent it again.
    """

    meter: str
    hour: datetime
    usage: Decimal
    ledger: Decimal
    stripe: Decimal | None
    sent_at: datetime
    differs_since: datetime | None = None

    @property
    def difference(self) -> Decimal:
        """Usage less what Stripe has."""
        return EXACT.subtract(self.usage, self.stripe or Decimal(0))

    @property
    def agrees(self) -> bool:
        """Whether the three are equal within the tolerance; an hour with usage must be at Stripe at all."""
        if self.usage and self.stripe is None:
            return False
        behind = abs(EXACT.subtract(self.usage, self.ledger))
        return abs(self.difference) <= TOLERANCE and behind <= TOLERANCE

    def row(self, now: datetime) -> dict[str, str | int | None]:
        """Return the hour as JSON: quantities as strings, ``age`` of the newest number in seconds."""
        return {
            "meter": self.meter,
            "hour": format_instant(self.hour),
            "usage": f"{self.usage:f}",
            "ledger": f"{self.ledger:f}",
            "stripe": None if self.stripe is None else f"{self.stripe:f}",
            "difference": f"{self.difference:f}",
            "age": (now - self.sent_at) // SECOND,
        }


def verdict(values: HourValues, now: datetime) -> Verdict:
    """Return what is to be done about an hour."""
    if values.agrees:
        return Verdict.AGREES
    age = now - values.sent_at
    if values.differs_since is not None and now - values.differs_since >= OVERDUE_AFTER:
        return Verdict.OVERDUE
    return Verdict.SEND_AGAIN if age >= COUNTS_AFTER else Verdict.WAITS


def is_sent_again(values: HourValues, now: datetime) -> bool:
    """Tell whether the hour takes the next number now: after ten minutes, once overdue after an hour."""
    match verdict(values, now):
        case Verdict.SEND_AGAIN:
            return True
        case Verdict.OVERDUE:
            return now - values.sent_at >= OVERDUE_AFTER
        case Verdict.AGREES | Verdict.WAITS:
            return False
