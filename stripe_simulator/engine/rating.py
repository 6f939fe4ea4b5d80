"""What a price makes of a quantity: invoice lines, each rounded half up once.

Amounts are in the currency's smallest unit: cents, whole yen, thousandths of a dinar.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from stripe_simulator.engine.objects import Price, Tier

_CENT = Decimal(1)
_ZERO = Decimal(0)


@dataclass(frozen=True)
class RatedPart:
    """One line's worth: how much, at what price a unit, for what amount.

    ``tier`` counts from 1, None for a price without tiers.
    """

    quantity: Decimal
    unit_amount: Decimal | None
    amount: int
    tier: int | None = None


def rate(price: Price, quantity: Decimal) -> list[RatedPart]:
    """The lines that a quantity of a price makes.

    A graduated price makes one line for each tier that the quantity reaches, and always one for the first;
    a negative quantity bills as zero (Stripe, "Record usage").
    """
    billed = max(quantity, _ZERO)
    if not price.tiers:
        assert price.unit_amount is not None
        return [RatedPart(billed, price.unit_amount, cents(billed * price.unit_amount))]
    return list(_graduated(price.tiers, billed))


def rate_further(price: Price, quantity: Decimal, already: Decimal) -> list[RatedPart]:
    """The lines of what a quantity has beyond one that is billed already, in the tiers where it lies.

    Tiers go on over a threshold's invoice (Stripe, "Thresholds and tiered pricing"). A quantity that fell
    below what is billed makes one line of nothing.
    """
    if already == 0:
        return rate(price, quantity)
    before = {part.tier: part for part in rate(price, already)}
    nothing = RatedPart(_ZERO, _ZERO, 0)
    beyond = [
        RatedPart(
            part.quantity - before.get(part.tier, nothing).quantity,
            part.unit_amount,
            part.amount - before.get(part.tier, nothing).amount,
            part.tier,
        )
        for part in rate(price, max(quantity, already))
    ]
    reached = [part for part in beyond if part.quantity > 0]
    return reached or beyond[-1:]


def _graduated(tiers: tuple[Tier, ...], quantity: Decimal) -> Iterator[RatedPart]:
    below = _ZERO
    for number, tier in enumerate(tiers, start=1):
        if number > 1 and quantity <= below:
            return
        top = quantity if tier.up_to is None else min(quantity, Decimal(tier.up_to))
        within = top - below
        flat = tier.flat_amount if tier.flat_amount is not None and within > 0 else _ZERO
        amount = cents(within * (tier.unit_amount or _ZERO) + flat)
        yield RatedPart(within, tier.unit_amount, amount, number)
        below = top if tier.up_to is None else Decimal(tier.up_to)


def cents(exact: Decimal) -> int:
    """An exact amount in the smallest unit, rounded half up (away from zero for credits)."""
    return int(exact.quantize(_CENT, ROUND_HALF_UP))
