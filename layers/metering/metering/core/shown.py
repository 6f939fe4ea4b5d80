"""Which period of a customer is shown: the present one, else the last one or the one to come.

Pure. Source: docs/contract.md#the-api.
"""

from dataclasses import dataclass
from datetime import datetime

from metering.core.accounts import Account, BillingPeriod
from metering.core.instants import hour_of
from metering.core.periods import Period


@dataclass(frozen=True, slots=True)
class Shown:
    """A period and what makes it the one that is shown; the present one has neither instant."""

    billing: BillingPeriod
    ended_at: datetime | None = None
    """When the subscription ended, whose last period it is."""
    begins_at: datetime | None = None
    """When it begins; until then no hour counts."""


def shown_period(account: Account, now: datetime) -> Shown | None:
    """Return the period that is shown; None when the subscription ended before any period of it."""
    if account.customer.has_left:
        last = max(account.periods, key=lambda period: period.start, default=None)
        if last is not None and last.end <= now:
            return Shown(last, ended_at=last.end)
    present = account.period_at(hour_of(now))
    if present is not None:
        return Shown(present)
    return None if account.customer.has_left else _to_come(account, now)


def _to_come(account: Account, now: datetime) -> Shown | None:
    stored = [period for period in account.periods if now < period.start]
    anchor = account.customer.anchor
    if stored:
        first = min(stored, key=lambda period: period.start)
    elif anchor is not None:
        first = BillingPeriod.of(account.customer, Period.anchored(anchor, anchor))
    else:
        return None
    return Shown(first, begins_at=first.start)
