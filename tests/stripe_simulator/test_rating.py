"""What a price makes of a quantity."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stripe_simulator.engine.objects import Price, Tier
from stripe_simulator.engine.rating import rate


def _price(*tiers: tuple[int | None, str]) -> Price:
    return Price(
        id="price",
        product="prod",
        currency="usd",
        created=0,
        recurring=None,
        unit_amount=None,
        tiers=tuple(Tier(up_to, Decimal(amount), None) for up_to, amount in tiers),
    )


_STARTER_DEVICES = _price((10, "0"), (None, "200"))


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("0", [("0", 0)]),
        ("9.5", [("9.5", 0)]),
        ("10", [("10", 0)]),
        ("10.001", [("10", 0), ("0.001", 0)]),
        ("12.5", [("10", 0), ("2.5", 500)]),
        ("-3", [("0", 0)]),
    ],
)
def test_each_tier_bills_what_lies_in_it(quantity: str, expected: list[tuple[str, int]]) -> None:
    """12.5 device-months with 10 free are 2.5 at $2.00; a negative quantity bills nothing."""
    parts = rate(_STARTER_DEVICES, Decimal(quantity))

    assert [(part.quantity, part.amount) for part in parts] == [
        (Decimal(within), amount) for within, amount in expected
    ]


@pytest.mark.parametrize(("quantity", "amount"), [("0.5", 1), ("0.49", 0), ("1.5", 2), ("2.5", 3)])
def test_a_line_is_rounded_half_up_to_the_cent(quantity: str, amount: int) -> None:
    """Half a cent is a cent, also where half-even would round down."""
    [part] = rate(_price((None, "1")), Decimal(quantity))

    assert part.amount == amount


def test_a_flat_amount_is_added_once_a_tier_is_reached() -> None:
    """A tier's flat amount comes with its first unit."""
    price = _price((10, "0"), (None, "1"))
    price.tiers = (price.tiers[0], Tier(None, Decimal(1), Decimal(100)))

    assert [part.amount for part in rate(price, Decimal(10))] == [0]
    assert [part.amount for part in rate(price, Decimal(12))] == [0, 102]


_QUANTITIES = st.integers(0, 10**12).map(lambda nano: Decimal(nano).scaleb(-9))


@given(_QUANTITIES, st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
def test_the_lines_share_the_quantity_out(quantity: Decimal, amounts: list[int]) -> None:
    """The lines' quantities add up to the whole, and no line is more than half a cent off."""
    bounds = [(place + 1) * 100 for place in range(len(amounts) - 1)]
    price = _price(*zip([*bounds, None], map(str, amounts), strict=True))
    parts = rate(price, quantity)

    assert sum((part.quantity for part in parts), Decimal(0)) == quantity
    for part in parts:
        assert part.unit_amount is not None
        exact = Fraction(part.quantity) * Fraction(part.unit_amount)
        assert -Fraction(1, 2) <= exact - part.amount < Fraction(1, 2)
