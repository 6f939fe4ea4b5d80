"""Prices: POST and GET /v1/prices."""

from stripe_simulator.engine import lookup
from stripe_simulator.engine.objects import Price, Recurring, Tier
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.amounts import text, whole
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.pagination import page, within
from stripe_simulator.protocol.parameters import (
    EXPAND,
    PAGING,
    SPAN,
    Exact,
    Fields,
    Flag,
    Metadata,
    OneOf,
    Parameters,
    Record,
    Records,
    Text,
    Whole,
    Words,
    merged_metadata,
)
from stripe_simulator.resources import price_amounts, products
from stripe_simulator.resources.endpoint import Endpoint

_INTERVALS = OneOf(("day", "month", "week", "year"))
_USAGE_TYPES = OneOf(("licensed", "metered"))
_RECURRING = Record(
    {"interval": _INTERVALS, "interval_count": Whole(least=1), "meter": Text(), "usage_type": _USAGE_TYPES},
    required=("interval",),
)
_CHANGEABLE: Fields = {
    **EXPAND,
    "active": Flag(),
    "lookup_key": Text(longest=200),
    "transfer_lookup_key": Flag(),
    "metadata": Metadata(),
    "nickname": Text(),
    "tax_behavior": OneOf(("exclusive", "inclusive", "unspecified")),
}
_NEW = Record(
    {
        **_CHANGEABLE,
        "billing_scheme": OneOf(("per_unit", "tiered")),
        "currency": Text(longest=3),
        "product": Text(),
        "product_data": products.PRODUCT_DATA,
        "recurring": _RECURRING,
        "tiers": Records(price_amounts.TIER),
        "tiers_mode": OneOf(("graduated", "volume")),
        "transform_quantity": Record(
            {"divide_by": Whole(least=1), "round": OneOf(("down", "up"))}, required=("divide_by", "round")
        ),
        "unit_amount": price_amounts.CENTS,
        "unit_amount_decimal": Exact(),
    },
    required=("currency",),
)


def rendered(price: Price) -> Json:
    """A price as Stripe answers it; ``tiers`` are left out later unless the caller expands them.

    A price that has none has no such field, expanded or not: the published type has no null for it.
    """
    recurring = price.recurring
    tiers = {"tiers": [_rendered_tier(tier) for tier in price.tiers]} if price.tiers else {}
    return {
        "id": price.id,
        "object": "price",
        "active": price.active,
        "billing_scheme": "tiered" if price.tiers else "per_unit",
        "created": price.created,
        "currency": price.currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": price.lookup_key,
        "metadata": price.metadata,
        "nickname": price.nickname,
        "product": price.product,
        "recurring": recurring
        and {
            "interval": recurring.interval,
            "interval_count": recurring.interval_count,
            "meter": recurring.meter,
            "trial_period_days": None,
            "usage_type": "metered" if recurring.metered else "licensed",
        },
        "tax_behavior": price.tax_behavior,
        **tiers,
        "tiers_mode": "graduated" if price.tiers else None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": whole(price.unit_amount),
        "unit_amount_decimal": text(price.unit_amount),
    }


def _rendered_tier(tier: Tier) -> Json:
    return {
        "flat_amount": whole(tier.flat_amount),
        "flat_amount_decimal": text(tier.flat_amount),
        "unit_amount": whole(tier.unit_amount),
        "unit_amount_decimal": text(tier.unit_amount),
        "up_to": tier.up_to,
    }


def _create(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    currency = wanted["currency"]
    if not (len(currency) == len("usd") and currency.isalpha() and currency.islower()):
        raise StripeRefusalError(f"Invalid currency: {currency}.", param="currency")
    tiered = wanted.get("billing_scheme", "per_unit") == "tiered"
    recurring = _recurring(state, wanted)
    tiers = price_amounts.tiers(wanted) if tiered else ()
    unit_amount = None if tiered else price_amounts.unit_amount(wanted)
    _check_lookup_key(state, wanted, None)
    price = Price(
        id=state.new_id("price"),
        product=_product(state, asked),
        currency=currency,
        created=asked.now,
        recurring=recurring,
        unit_amount=unit_amount,
        tiers=tiers,
    )
    state.prices[price.id] = price
    _apply(state, price, wanted)
    return rendered(price)


def _product(state: State, asked: Asked) -> str:
    wanted = asked.parameters
    if ("product" in wanted) == ("product_data" in wanted):
        raise StripeRefusalError("You must specify either `product` or `product_data`.", param="product")
    if "product" in wanted:
        return lookup.product(state, wanted["product"], "product").id
    return products.make(state, wanted["product_data"], asked.now).id


def _recurring(state: State, wanted: Parameters) -> Recurring | None:
    given = wanted.get("recurring")
    if given is None:
        return None
    metered, meter = given.get("usage_type", "licensed") == "metered", given.get("meter")
    if metered and meter is None:
        raise StripeRefusalError(
            "You must specify a billing meter when `usage_type` is `metered`.", param="recurring[meter]"
        )
    if not metered and meter is not None:
        raise StripeRefusalError(
            "`recurring[meter]` may be set only when `usage_type` is `metered`.", param="recurring[meter]"
        )
    if meter is not None and not lookup.meter(state, meter, "recurring[meter]").active:
        raise StripeRefusalError(f"The meter {meter} is inactive.", param="recurring[meter]")
    return Recurring(given["interval"], given.get("interval_count", 1), meter)


def _check_lookup_key(state: State, wanted: Parameters, own: Price | None) -> None:
    holder = _holder(state, wanted.get("lookup_key"))
    if holder is not None and holder is not own and not wanted.get("transfer_lookup_key"):
        raise StripeRefusalError(f"A price (`{holder.id}`) already uses that lookup key.", param="lookup_key")


def _holder(state: State, lookup_key: str | None) -> Price | None:
    if lookup_key is None:
        return None
    return next((price for price in state.prices.values() if price.lookup_key == lookup_key), None)


def _apply(state: State, price: Price, wanted: Parameters) -> None:
    if "lookup_key" in wanted:
        holder = _holder(state, wanted["lookup_key"])
        if holder is not None:
            holder.lookup_key = None
        price.lookup_key = wanted["lookup_key"]
    for name in ("active", "nickname", "tax_behavior"):
        if name in wanted:
            setattr(price, name, wanted[name])
    if "metadata" in wanted:
        price.metadata = merged_metadata(price.metadata, wanted["metadata"])


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(lookup.price(state, asked.id))


def _update(state: State, asked: Asked) -> Json:
    price = lookup.price(state, asked.id)
    _check_lookup_key(state, asked.parameters, price)
    _apply(state, price, asked.parameters)
    return rendered(price)


def _list(state: State, asked: Asked) -> Json:
    found = [
        rendered(price) for price in reversed(state.prices.values()) if _is_wanted(price, asked.parameters)
    ]
    return page(found, asked.parameters, "/v1/prices")


def _is_wanted(price: Price, wanted: Parameters) -> bool:
    shown = rendered(price)
    recurring = shown["recurring"] or {}
    return (
        all(
            shown[name] == wanted[name]
            for name in ("active", "currency", "product", "type")
            if name in wanted
        )
        and price.lookup_key in wanted.get("lookup_keys", [price.lookup_key])
        and all(recurring.get(name) == value for name, value in wanted.get("recurring", {}).items())
        and within(price.created, wanted.get("created", {}))
    )


_LIST = Record(
    {
        **PAGING,
        "active": Flag(),
        "created": SPAN,
        "currency": Text(),
        "lookup_keys": Words(most=10),
        "product": Text(),
        "recurring": Record({"interval": _INTERVALS, "meter": Text(), "usage_type": _USAGE_TYPES}),
        "type": OneOf(("one_time", "recurring")),
    }
)
ENDPOINTS = (
    Endpoint("POST", "/v1/prices", _NEW, _create),
    Endpoint("GET", "/v1/prices", _LIST, _list),
    Endpoint("GET", "/v1/prices/{id}", Record(EXPAND), _retrieve),
    Endpoint("POST", "/v1/prices/{id}", Record(_CHANGEABLE), _update),
)
