"""Quantities become invoice lines: graduated tiers, exact to the end, one rounding a line.

Source: docs/billing.md#rating.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from metering.core.billable import Contributions, quantity
from metering.core.catalog import Terms, Tier
from metering.core.exact import EXACT

CENT = Decimal("0.01")
BASE_FEE = "base_fee"
"""The name of the line that carries the plan's monthly fee."""


@dataclass(frozen=True, slots=True)
class Line:
    """One invoice line: a quantity in the meter's units and its amount in dollars, rounded to the cent."""

    meter: str
    quantity: Decimal
    overage: Decimal
    amount: Decimal


def to_cent(amount: Decimal) -> Decimal:
    """Round half up to the cent."""
    return amount.quantize(CENT, ROUND_HALF_UP, EXACT)


def tiered_amount(units: Decimal, tiers: Sequence[Tier]) -> Decimal:
    """Price a quantity on graduated tiers, in dollars, rounded once; no tiers cost nothing."""
    total = Decimal(0)
    below = Decimal(0)
    for tier in tiers:
        top = units if tier.up_to is None else min(units, tier.up_to)
        if top > below:
            total = EXACT.add(total, EXACT.multiply(EXACT.subtract(top, below), tier.unit_amount))
            below = top
    return to_cent(total)


def rate(quantities: Mapping[str, Decimal], terms: Terms) -> list[Line]:
    """Price a period: the base fee's line first, then one line for each meter the terms know.

    Every metered line is there, with quantity 0 where nothing was used.
    """
    lines = [Line(BASE_FEE, Decimal(1), Decimal(0), to_cent(terms.base_fee))]
    for meter, price in terms.meters.items():
        units = quantities.get(meter, Decimal(0))
        over = (
            Decimal(0) if price.included is None else max(EXACT.subtract(units, price.included), Decimal(0))
        )
        lines.append(Line(meter, units, over, tiered_amount(units, price.tiers)))
    return lines


def invoice_total(lines: Sequence[Line]) -> Decimal:
    """Add the rounded lines."""
    return sum((line.amount for line in lines), Decimal("0.00"))


def quantities(contributed: Contributions) -> dict[str, Decimal]:
    """Sum each meter's contributions."""
    return {meter: quantity(by_hour) for meter, by_hour in contributed.items()}
