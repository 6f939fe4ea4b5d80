"""How money and quantities are written."""

from decimal import Decimal

import pytest

from metering.core.answers import InvoiceLine
from metering.core.exact import plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("0E-9", "0"),
        ("1.500000000", "1.5"),
        ("100", "100"),
        ("1E+3", "1000"),
        ("1E-9", "0.000000001"),
        ("12345678901234567890.000000001", "12345678901234567890.000000001"),
    ],
)
def test_quantities_are_plain_decimals(value: str, text: str) -> None:
    """A quantity is written with every digit that says something, never with an exponent."""
    assert text == plain(Decimal(value))


@pytest.mark.parametrize(("amount", "text"), [("0", "0.00"), ("29", "29.00"), ("1E+3", "1000.00")])
def test_money_has_two_places(amount: str, text: str) -> None:
    """Money is a decimal string with two places."""
    line = InvoiceLine(name="devices", label="Devices", quantity=Decimal(1), amount=Decimal(amount))
    assert {"name": "devices", "label": "Devices", "quantity": "1", "amount": text} == line.model_dump(
        mode="json"
    )
