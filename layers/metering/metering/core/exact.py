"""Exact numbers: quantities and money are never rounded unseen, and never floats.

Source: docs/billing.md#rating.
"""

from decimal import Context, Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

EXACT = Context(prec=60)
"""Wide enough that no sum or product of quantities is ever rounded unseen."""


def plain(value: Decimal) -> str:
    """Write a quantity without exponent and without zeros that say nothing."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _signed(value: object) -> Decimal:
    if not isinstance(value, str | Decimal):
        raise ValueError("must be a string of digits, so that it is exact")  # noqa: TRY004  pydantic wants ValueError
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise ValueError(f"not a decimal number: {value!r}") from None
    if not number.is_finite():
        raise ValueError(f"must be a finite number: {value!r}")
    return number


def _exact(value: object) -> Decimal:
    number = _signed(value)
    if number < 0:
        raise ValueError(f"must be a number from 0: {value!r}")
    return number


Exact = Annotated[
    Decimal, BeforeValidator(_exact), PlainSerializer(lambda number: f"{number:f}", when_used="json")
]
"""A number from 0, as text in JSON."""
SignedExact = Annotated[
    Decimal, BeforeValidator(_signed), PlainSerializer(lambda number: f"{number:f}", when_used="json")
]
"""A number that may be negative, as text in JSON."""
