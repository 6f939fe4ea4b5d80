"""Usage that no invoice has: how much, and what it costs. Pure.

Unbilled usage of a meter = sum of its contributions - quantity billed - quantity covered; its price =
rate(total) - rate(what is billed) - amounts of what covers. Where an invoice of the period counts it is late
usage, and may be billed. A negative amount is a credit. Source: docs/billing.md#late-usage and
docs/billing.md#what-billed-means.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Protocol

from metering.core.accounts import PeriodState
from metering.core.billable import quantity
from metering.core.billed import Billed
from metering.core.charges import Charge
from metering.core.exact import EXACT
from metering.core.rating import tiered_amount
from metering.core.stripe_names import LATE_ITEM
from metering.core.usage import PeriodUsage


class LateItem(Charge):
    """One meter's late usage of a period that is billed, or credited, under a number of its own."""

    metadata_name: ClassVar[str] = LATE_ITEM


@dataclass(frozen=True, slots=True)
class LateUsage:
    """What of a meter no invoice has yet: in the meter's units, in dollars, and in which days it lies."""

    meter: str
    quantity: Decimal
    amount: Decimal
    days: tuple[date, ...]


class Covering(Protocol):
    """What covers a quantity of a meter beside the invoices: a late item, a settlement."""

    @property
    def meter(self) -> str:
        """The meter's name."""

    @property
    def quantity(self) -> Decimal:
        """In the meter's units; negative for a credit."""

    @property
    def amount(self) -> Decimal:
        """In dollars; negative for a credit."""


def late_usage(
    usage: PeriodUsage,
    billed: Billed,
    covered: Iterable[Covering] = (),
    on_invoice: Mapping[tuple[str, datetime], Decimal] | None = None,
) -> list[LateUsage]:
    """Return what each meter has beyond an invoice that counts; none while there is no such invoice.

    A meter whose invoiced amount is not the rating of its quantity is left to people: it is never late.

    Parameters
    ----------
    usage
        The period as it is now. A meter without a price, being unlimited, is never late.
    billed
        What the period's invoices say.
    covered
        The period's ``late#`` and ``settle#`` items.
    on_invoice
        What the ledger says was sent, by meter and hour: days where it differs are named; all days with usage
        where it does not tell.
    """
    if usage.billing.state is not PeriodState.FINALISED or not billed.counted:
        return []
    found = unbilled_usage(usage, billed, covered, on_invoice)
    return [late for late in found if late.meter not in billed.mispriced]


def unbilled_usage(
    usage: PeriodUsage,
    billed: Billed,
    covered: Iterable[Covering] = (),
    on_invoice: Mapping[tuple[str, datetime], Decimal] | None = None,
) -> list[LateUsage]:
    """Return what of each meter is neither billed nor covered, whatever there is of invoices.

    Nothing of a period that is not sold, nor of a meter without a price. Parameters as in `late_usage`.
    """
    if not usage.billing.sold:
        return []
    covers, charged = dict[str, Decimal](), dict[str, Decimal]()
    for item in covered:
        covers[item.meter] = EXACT.add(covers.get(item.meter, Decimal(0)), item.quantity)
        charged[item.meter] = EXACT.add(charged.get(item.meter, Decimal(0)), item.amount)
    found = []
    for meter, price in usage.terms.meters.items():
        by_hour = usage.contributions.get(meter, {})
        total = quantity(by_hour)
        known = EXACT.add(billed.quantity(meter), covers.get(meter, Decimal(0)))
        if price.unlimited or total == known:
            continue
        # What covers was priced beside what was billed then; an invoice may have become void since.
        paid = EXACT.add(tiered_amount(billed.quantity(meter), price.tiers), charged.get(meter, Decimal(0)))
        amount = EXACT.subtract(tiered_amount(total, price.tiers), paid)
        days = _days(meter, by_hour, on_invoice or {})
        found.append(LateUsage(meter, EXACT.subtract(total, known), amount, days))
    return found


def _days(
    meter: str, by_hour: Mapping[datetime, Decimal], on_invoice: Mapping[tuple[str, datetime], Decimal]
) -> tuple[date, ...]:
    differing = {
        hour.date() for hour, value in by_hour.items() if value != on_invoice.get((meter, hour), Decimal(0))
    }
    return tuple(sorted(differing or {hour.date() for hour, value in by_hour.items() if value}))
