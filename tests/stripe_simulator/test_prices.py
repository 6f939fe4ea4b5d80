"""Prices: graduated tiers on a meter, fixed fees, lookup keys."""

from decimal import Decimal
from typing import Any

import pytest
import stripe

from tests.stripe_simulator.shop import Shop, loose

_TIERS: list[dict[str, Any]] = [{"up_to": 10, "unit_amount": 0}, {"up_to": "inf", "unit_amount": 10}]


def _tiered(client: stripe.StripeClient, shop: Shop, **more: Any) -> stripe.Price:
    return client.v1.prices.create(
        loose(
            {
                "currency": "usd",
                "product_data": {"name": "MQTT traffic"},
                "billing_scheme": "tiered",
                "tiers_mode": "graduated",
                "tiers": _TIERS,
                "recurring": {"interval": "month", "usage_type": "metered", "meter": shop.meter},
                **more,
            }
        )
    )


def _fixed(client: stripe.StripeClient, **more: Any) -> stripe.Price:
    return client.v1.prices.create(
        loose({"currency": "usd", "product_data": {"name": "Fee"}, "unit_amount": 100, **more})
    )


def test_a_tiered_price_keeps_its_tiers(client: stripe.StripeClient, shop: Shop) -> None:
    """Tiers come back, with amounts as integers and as exact decimals, when they are expanded."""
    tiers = [{"up_to": 10, "unit_amount": 0}, {"up_to": "inf", "unit_amount_decimal": Decimal("0.05")}]
    made = _tiered(client, shop, tiers=tiers)
    price = client.v1.prices.retrieve(made.id, {"expand": ["tiers"]})

    assert price.tiers is not None
    assert [(tier.up_to, tier.unit_amount, tier.unit_amount_decimal) for tier in price.tiers] == [
        (10, 0, Decimal(0)),
        (None, None, Decimal("0.05")),
    ]
    assert (price.billing_scheme, price.tiers_mode, price.unit_amount) == ("tiered", "graduated", None)


def test_tiers_are_left_out_unless_expanded(client: stripe.StripeClient, shop: Shop) -> None:
    """Neither a price nor a list shows tiers unless asked to."""
    made = _tiered(client, shop)

    assert "tiers" not in made
    assert "tiers" not in client.v1.prices.list().data[0]
    assert "tiers" in client.v1.prices.list({"expand": ["data.tiers"]}).data[0]


def test_a_price_without_tiers_has_no_such_field(client: stripe.StripeClient) -> None:
    """A price of one amount shows no tiers even where they are expanded, and that is no wrong path."""
    made = _fixed(client)

    assert "tiers" not in client.v1.prices.retrieve(made.id, {"expand": ["tiers"]})
    assert "tiers" not in client.v1.prices.list({"expand": ["data.tiers"]}).data[0]


def test_a_metered_price_names_its_meter(client: stripe.StripeClient, shop: Shop) -> None:
    """Usage type and meter come back under recurring."""
    recurring = _tiered(client, shop).recurring

    assert recurring is not None
    assert (recurring.interval, recurring.usage_type, recurring.meter) == ("month", "metered", shop.meter)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tiers": [{"up_to": 10}, {"up_to": "inf", "unit_amount": 10}]}, "tiers[0][unit_amount]"),
        ({"tiers": [{"up_to": 10, "unit_amount": 0}]}, "tiers"),
        ({"tiers": [{"up_to": "inf", "unit_amount": 0}, {"up_to": "inf", "unit_amount": 1}]}, "tiers"),
        ({"tiers": [{"up_to": 9, "unit_amount": 0}, {"up_to": 9, "unit_amount": 1}, _TIERS[1]]}, "tiers"),
        ({"tiers": []}, "tiers"),
        ({"tiers_mode": None}, "tiers_mode"),
        ({"tiers_mode": "volume"}, "tiers_mode"),
        ({"transform_quantity": {"divide_by": 10, "round": "up"}}, "transform_quantity"),
        ({"unit_amount": 10}, "unit_amount"),
        ({"recurring": {"interval": "month", "usage_type": "metered"}}, "recurring[meter]"),
        (
            {"recurring": {"interval": "month", "usage_type": "metered", "meter": "mtr_none"}},
            "recurring[meter]",
        ),
        ({"tiers": [{**_TIERS[0], "unit_amount_decimal": 1}, _TIERS[1]]}, "tiers[0][unit_amount]"),
    ],
)
def test_a_tiered_price_is_refused(
    client: stripe.StripeClient, shop: Shop, more: dict[str, object], param: str
) -> None:
    """Tiers need amounts, ascend, end with inf; no transform_quantity; a metered price has its meter."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _tiered(client, shop, **more)

    assert refused.value.param == param


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"unit_amount": None}, "unit_amount"),
        ({"unit_amount_decimal": "1.5"}, "unit_amount"),
        ({"tiers": _TIERS}, "tiers"),
        ({"tiers_mode": "graduated"}, "tiers_mode"),
        ({"product_data": None}, "product"),
        ({"product_data": None, "product": "prod_none"}, "product"),
        ({"product": "prod_none"}, "product"),
        ({"currency": "USD"}, "currency"),
    ],
)
def test_a_fixed_price_is_refused(client: stripe.StripeClient, more: dict[str, object], param: str) -> None:
    """A price without tiers has exactly one amount, one product, and a lower-case currency."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _fixed(client, **more)

    assert refused.value.param == param


def test_a_licensed_price_has_no_meter(client: stripe.StripeClient, shop: Shop) -> None:
    """A meter belongs to metered prices alone."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _fixed(client, recurring={"interval": "month", "meter": shop.meter})

    assert refused.value.param == "recurring[meter]"


def test_an_archived_meter_takes_no_new_price(client: stripe.StripeClient, shop: Shop) -> None:
    """A deactivated meter cannot be attached to a price."""
    client.v1.billing.meters.deactivate(shop.meter)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _tiered(client, shop)

    assert refused.value.param == "recurring[meter]"


def test_a_price_without_recurring_is_one_time(client: stripe.StripeClient) -> None:
    """The type follows from recurring."""
    assert (_fixed(client).type, _fixed(client, recurring={"interval": "month"}).type) == (
        "one_time",
        "recurring",
    )


def test_prices_are_found_by_lookup_key(client: stripe.StripeClient) -> None:
    """A lookup key finds its price among others."""
    wanted = _fixed(client, lookup_key="starter")
    _fixed(client, lookup_key="other")
    _fixed(client)

    assert [price.id for price in client.v1.prices.list({"lookup_keys": ["starter", "none"]}).data] == [
        wanted.id
    ]


def test_a_lookup_key_is_unique(client: stripe.StripeClient) -> None:
    """A taken key is refused, and nothing is made."""
    first = _fixed(client, lookup_key="starter")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _fixed(client, lookup_key="starter")

    assert refused.value.user_message == f"A price (`{first.id}`) already uses that lookup key."
    assert len(client.v1.prices.list().data) == 1


def test_a_lookup_key_can_be_transferred(client: stripe.StripeClient) -> None:
    """With transfer_lookup_key the key moves to the new price, in a create and in an update."""
    first = _fixed(client, lookup_key="starter")
    second = _fixed(client, lookup_key="starter", transfer_lookup_key=True)
    assert client.v1.prices.retrieve(first.id).lookup_key is None
    assert second.lookup_key == "starter"

    client.v1.prices.update(first.id, {"lookup_key": "starter", "transfer_lookup_key": True})
    assert [price.id for price in client.v1.prices.list({"lookup_keys": ["starter"]}).data] == [first.id]


def test_a_prices_amounts_never_change(client: stripe.StripeClient) -> None:
    """Active, nickname and metadata can be changed, the amount cannot."""
    price = _fixed(client)
    changed = client.v1.prices.update(price.id, {"active": False, "nickname": "old", "metadata": {"a": "1"}})
    assert (changed.active, changed.nickname, changed.metadata["a"]) == (False, "old", "1")

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.prices.update(price.id, loose({"unit_amount": 1}))
    assert refused.value.code == "parameter_unknown"


def test_prices_are_filtered(client: stripe.StripeClient, shop: Shop) -> None:
    """Lists filter by activity, type, product and meter."""
    one_time = _fixed(client)
    client.v1.prices.update(one_time.id, {"active": False})

    assert [price.id for price in client.v1.prices.list({"active": False}).data] == [one_time.id]
    assert [price.id for price in client.v1.prices.list({"type": "one_time"}).data] == [one_time.id]
    assert [price.id for price in client.v1.prices.list({"recurring": {"meter": shop.meter}}).data] == [
        shop.metered_price
    ]
    assert [price.id for price in client.v1.prices.list({"product": str(one_time.product)}).data] == [
        one_time.id
    ]
