"""Usage that a final invoice does not have: how much, and what it costs. Pure.

Late usage of a meter = sum of its contributions - quantity invoiced - quantity already billed late; its price
= rate(total) - rate(what was billed). A negative amount is a credit. Source: docs/billing.md#late-usage.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from metering.core.accounts import PeriodState
from metering.core.billable import quantity
from metering.core.contract import Id
from metering.core.exact import EXACT, SignedExact
from metering.core.instants import Instant
from metering.core.rating import tiered_amount
from metering.core.usage import PeriodUsage


class LateItem(BaseModel):
    """One meter's late usage of a period that is billed, or credited, under a number of its own.

    ``quantity`` is in the meter's units, ``amount`` in dollars; both are negative for a credit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_id: Id
    period_start: Instant
    number: Annotated[int, Field(ge=1)]
    meter: str
    quantity: SignedExact
    amount: SignedExact
    days: tuple[date, ...] = ()

    @property
    def item_id(self) -> str:
        """What the Stripe invoice item carries in its metadata, by which it is found again."""
        return f"{self.customer_id}.{self.period_start:%Y%m%dT%H%M%S}.{self.number}"


@dataclass(frozen=True, slots=True)
class LateUsage:
    """What of a meter no invoice has yet: in the meter's units, in dollars, and in which days it lies."""

    meter: str
    quantity: Decimal
    amount: Decimal
    days: tuple[date, ...]


def late_usage(
    usage: PeriodUsage,
    billed_late: Iterable[LateItem],
    on_invoice: Mapping[tuple[str, datetime], Decimal] | None = None,
) -> list[LateUsage]:
    """Return the late usage of each meter that has any; none while the period is not finalised.

    Parameters
    ----------
    usage
        The period as it is now, with what its invoice billed. A meter without a price, being unlimited, is
        never late.
    billed_late
        The period's ``late#`` items.
    on_invoice
        What the ledger says was sent, by meter and hour: days where it differs are named; all days with usage
        where it does not tell.
    """
    billing = usage.billing
    if billing.state is not PeriodState.FINALISED:
        return []
    late: dict[str, Decimal] = {}
    for item in billed_late:
        late[item.meter] = EXACT.add(late.get(item.meter, Decimal(0)), item.quantity)
    found = []
    for meter, price in usage.terms.meters.items():
        by_hour = usage.contributions.get(meter, {})
        total = quantity(by_hour)
        billed = EXACT.add(billing.invoiced.get(meter, Decimal(0)), late.get(meter, Decimal(0)))
        if price.unlimited or total == billed:
            continue
        amount = EXACT.subtract(tiered_amount(total, price.tiers), tiered_amount(billed, price.tiers))
        days = _days(meter, by_hour, on_invoice or {})
        found.append(LateUsage(meter, EXACT.subtract(total, billed), amount, days))
    return found


def _days(
    meter: str, by_hour: Mapping[datetime, Decimal], on_invoice: Mapping[tuple[str, datetime], Decimal]
) -> tuple[date, ...]:
    differing = {
        hour.date() for hour, value in by_hour.items() if value != on_invoice.get((meter, hour), Decimal(0))
    }
    return tuple(sorted(differing or {hour.date() for hour, value in by_hour.items() if value}))
