"""Adjustments: what an operator adds to a meter's quantity of one period, or takes from it. Pure.

An adjustment acts on contributions, after the basis, and never on stored hours; it is the same whenever it is
worked out, since it follows from the contributions and the adjustments alone. Source:
docs/billing.md#adjustments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from metering.core.billable import DECIMALS, SIGNIFICANT_DIGITS, Contributions, kept_digits
from metering.core.contract import Id
from metering.core.exact import EXACT, SignedExact
from metering.core.instants import DAY, FullHour, Instant
from metering.core.periods import Period

_NONE = Decimal(0)


class Adjustment(BaseModel):
    """An append-only record: so much more, or less, of a meter in some hours of one period, and why.

    ``quantity`` is in the meter's units. A positive one is added in ``first_hour``; a negative one is taken
    from the hours up to and including ``last_hour``, in order. ``who`` is the AWS identity of the operator.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_id: Id
    period_start: Instant
    number: Annotated[int, Field(ge=1)]
    meter: str
    quantity: SignedExact
    first_hour: FullHour
    last_hour: FullHour
    reason: Annotated[str, Field(min_length=1)]
    who: str
    at: Instant

    @field_validator("quantity")
    @classmethod
    def _can_be_told_to_stripe(cls, quantity: Decimal) -> Decimal:
        if not quantity:
            raise ValueError("an adjustment by 0 changes nothing")
        _sign, digits, exponent = quantity.as_tuple()
        assert isinstance(exponent, int)
        if exponent < -DECIMALS or len(digits) > SIGNIFICANT_DIGITS:
            raise ValueError(f"has more than {DECIMALS} decimals, or more than {SIGNIFICANT_DIGITS} digits")
        return quantity

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last_hour < self.first_hour:
            raise ValueError("the last hour lies before the first")
        return self

    def does_the_same(self, other: "Adjustment") -> bool:
        """Tell whether another was made of the same words: then it is the same, asked for again."""
        told = {"number": self.number, "who": self.who, "at": self.at}
        return self == other.model_copy(update=told)

    def days(self) -> list[date]:
        """Return the UTC days whose contributions it may change."""
        last = self.first_hour if self.quantity > 0 else self.last_hour
        return [
            self.first_hour.date() + n * DAY for n in range((last.date() - self.first_hour.date()).days + 1)
        ]


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Contributions after adjustments, and what of each adjustment (by its number) found no usage."""

    contributions: Contributions
    unapplied: Mapping[int, Decimal]


def adjusted(contributed: Contributions, adjustments: Iterable[Adjustment], span: Period) -> Adjusted:
    """Apply a period's adjustments to its contributions, in the order of their numbers.

    No contribution falls below 0, and each keeps at most 15 digits, rounded down. What cannot be applied
    (nothing left to take from, an hour or a meter that the period has not) is told as unapplied.
    """
    result = {meter: dict(by_hour) for meter, by_hour in contributed.items()}
    unapplied = {}
    for adjustment in sorted(adjustments, key=lambda adjustment: adjustment.number):
        by_hour = result.get(adjustment.meter)
        if by_hour is None:
            unapplied[adjustment.number] = adjustment.quantity
        elif adjustment.quantity > 0:
            unapplied[adjustment.number] = _add(by_hour, adjustment, span)
        else:
            unapplied[adjustment.number] = _take(by_hour, adjustment)
    return Adjusted(result, {number: rest for number, rest in unapplied.items() if rest})


def days_moved(day: date, adjustments: Iterable[Adjustment]) -> list[date]:
    """Return the later days whose contributions may change when a day's do.

    What a negative adjustment finds in its first hours decides how much it takes from later ones.
    """
    negative = [one for one in adjustments if one.quantity < 0]
    last = day
    while further := [
        one.last_hour.date()
        for one in negative
        if one.first_hour.date() <= last and one.last_hour.date() > last and one.last_hour.date() > day
    ]:
        last = max(further)
    return [day + n * DAY for n in range(1, (last - day).days + 1)]


def _add(by_hour: dict[datetime, Decimal], adjustment: Adjustment, span: Period) -> Decimal:
    if not span.has_hour(adjustment.first_hour):
        return adjustment.quantity
    before = by_hour.get(adjustment.first_hour, _NONE)
    after = kept_digits(EXACT.add(before, adjustment.quantity))
    by_hour[adjustment.first_hour] = after
    return EXACT.subtract(adjustment.quantity, EXACT.subtract(after, before))


def _take(by_hour: dict[datetime, Decimal], adjustment: Adjustment) -> Decimal:
    left = -adjustment.quantity
    for hour in sorted(by_hour):
        if left <= 0:
            break
        if adjustment.first_hour <= hour <= adjustment.last_hour:
            before = by_hour[hour]
            by_hour[hour] = kept_digits(EXACT.subtract(before, min(before, left)))
            left = EXACT.subtract(left, EXACT.subtract(before, by_hour[hour]))
    return -max(left, _NONE)
