"""Products, meters and prices in Stripe, from the catalogue: what is wanted, what is missing, making it.

Source: docs/stripe-protocol.md#setting-up. Everything is found again by event name or lookup key, so a second
run does nothing; a price in use that differs from the catalogue is never touched.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import batched
from typing import Any, Literal

import stripe

from metering.core.accounts import Customer
from metering.core.catalog import Catalog, Price, Terms
from metering.core.rating import BASE_FEE
from metering.core.stripe_names import (
    LARGEST_PAGE,
    base_lookup_key,
    cents,
    event_name,
    meter_lookup_key,
    stripe_tiers,
    written,
)
from ops.errors import OperatorError

_LOOKUP_KEYS_A_CALL = 10
_AS_OURS = ("sum", "hour")
"""How each of our meters adds up its events, and over which window."""


@dataclass(frozen=True)
class WantedPrice:
    """One price: its lookup key, product, and what is charged."""

    lookup_key: str
    product: str
    currency: str
    fee: Decimal | None = None
    meter: str | None = None
    tiers: list[dict[str, str | int]] = field(default_factory=list)


@dataclass(frozen=True)
class MissingObjects:
    """What is to be made: products (id to name), meters (event name to label) and prices."""

    products: dict[str, str]
    meters: dict[str, str]
    prices: list[WantedPrice]

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Kind and name of each object, for people."""
        return [
            *(("product", name) for name in self.products),
            *(("meter", name) for name in self.meters),
            *(("price", price.lookup_key) for price in self.prices),
        ]


def catalog_prices(catalog: Catalog) -> Iterator[WantedPrice]:
    """Every price of every plan version; a custom fee is a customer's own price."""
    for plan, entry in catalog.plans.items():
        if isinstance(entry.base_fee, Decimal):
            yield WantedPrice(f"{plan}.{BASE_FEE}", _plan_product(plan), catalog.currency, fee=entry.base_fee)
        for meter, price in entry.meters.items():
            if not price.unlimited:
                yield _metered(f"{plan}.{meter}", meter, price, catalog)


def customer_prices(customer_id: str, terms: Terms, catalog: Catalog) -> Iterator[WantedPrice]:
    """The prices a customer's subscription is made of: the plan's, and its own where they differ."""
    fee = catalog.plans[terms.plan].base_fee
    key = base_lookup_key(customer_id, terms, fee)
    yield WantedPrice(key, _plan_product(terms.plan), catalog.currency, fee=terms.base_fee)
    for meter, price in terms.meters.items():
        if lookup_key := meter_lookup_key(customer_id, terms, meter):
            yield _metered(lookup_key, meter, price, catalog)


def own_prices(customers: Iterable[Customer], catalog: Catalog) -> list[WantedPrice]:
    """The prices that customers' overrides need besides the catalogue's."""
    shared = {price.lookup_key for price in catalog_prices(catalog)}
    return [
        price
        for customer in customers
        for price in customer_prices(
            customer.customer_id, catalog.terms(customer.plan, customer.override), catalog
        )
        if price.lookup_key not in shared
    ]


def products(catalog: Catalog) -> dict[str, str]:
    """The products by id: one for each plan's fee and each meter that is sold."""
    plans = {_plan_product(plan): f"Zemfyre {entry.label}" for plan, entry in catalog.plans.items()}
    return plans | {_meter_product(name): meter.label for name, meter in catalog.sold.items()}


def missing(client: stripe.StripeClient, catalog: Catalog, prices: list[WantedPrice]) -> MissingObjects:
    """Compare with the account; return what is to be made.

    Raises
    ------
    OperatorError
        When a meter or price exists but differs: it is in use and never changed. When one, or a product, is
        archived.
    """
    have_products = {
        product.id: product for product in client.v1.products.list({"limit": LARGEST_PAGE}).auto_paging_iter()
    }
    meters = existing_meters(client)
    have_prices = existing_prices(client, [price.lookup_key for price in prices])
    wanted_meters = {event_name(name): meter.label for name, meter in catalog.sold.items()}
    for name in products(catalog).keys() & have_products.keys():
        _check_product(name, have_products[name])
    for name in wanted_meters.keys() & meters.keys():
        _check_meter(name, meters[name])
    if absent := wanted_meters.keys() - meters.keys():
        _check_deactivated(absent, _listed_meters(client, "inactive"))
    for price in prices:
        if price.lookup_key in have_prices:
            _check_price(price, have_prices[price.lookup_key], meters)
    return MissingObjects(
        products={key: name for key, name in products(catalog).items() if key not in have_products},
        meters={name: label for name, label in wanted_meters.items() if name not in meters},
        prices=[price for price in prices if price.lookup_key not in have_prices],
    )


def apply(client: stripe.StripeClient, lacking: MissingObjects) -> Iterator[tuple[str, str]]:
    """Make what is missing, yielding each object's kind and name when it is there."""
    for identity, name in lacking.products.items():
        client.v1.products.create({"id": identity, "name": name})
        yield "product", identity
    for name, label in lacking.meters.items():
        client.v1.billing.meters.create(
            {
                "display_name": label,
                "event_name": name,
                "default_aggregation": {"formula": "sum"},
                "event_time_window": "hour",
                "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
                "value_settings": {"event_payload_key": "value"},
            }
        )
        yield "meter", name
    meters = existing_meters(client) if lacking.prices else {}
    for price in lacking.prices:
        client.v1.prices.create(_price_params(price, meters))
        yield "price", price.lookup_key


def existing_meters(client: stripe.StripeClient) -> dict[str, Any]:
    """The account's active meters, by event name."""
    return {meter.event_name: meter for meter in _listed_meters(client, "active")}


def existing_prices(client: stripe.StripeClient, lookup_keys: list[str]) -> dict[str, Any]:
    """The account's prices with these lookup keys, archived ones too, their tiers included."""
    found: dict[str, Any] = {}
    for keys in batched(lookup_keys, _LOOKUP_KEYS_A_CALL, strict=False):
        listed = client.v1.prices.list(
            {"lookup_keys": list(keys), "expand": ["data.tiers"], "limit": LARGEST_PAGE}
        )
        found |= {str(price.lookup_key): price for price in listed.data}
    return found


def _listed_meters(client: stripe.StripeClient, status: Literal["active", "inactive"]) -> Iterator[Any]:
    yield from client.v1.billing.meters.list({"status": status, "limit": LARGEST_PAGE}).auto_paging_iter()


def _metered(lookup_key: str, meter: str, price: Price, catalog: Catalog) -> WantedPrice:
    product, tiers = _meter_product(meter), stripe_tiers(price)
    return WantedPrice(lookup_key, product, catalog.currency, meter=event_name(meter), tiers=tiers)


def _plan_product(plan: str) -> str:
    return f"zemfyre_plan_{plan.partition('@')[0]}"


def _meter_product(meter: str) -> str:
    return f"zemfyre_meter_{written(meter)}"


def _price_params(price: WantedPrice, meters: Mapping[str, Any]) -> Any:
    params: dict[str, Any] = {
        "currency": price.currency,
        "product": price.product,
        "lookup_key": price.lookup_key,
        "nickname": price.lookup_key,
        "recurring": {"interval": "month"},
    }
    if price.meter is None:
        assert price.fee is not None
        return params | {"unit_amount_decimal": cents(price.fee)}
    params["recurring"] |= {"usage_type": "metered", "meter": meters[price.meter].id}
    return params | {"billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": price.tiers}


def _check_product(name: str, product: Any) -> None:
    if not product.active:
        raise OperatorError(f"the product {name} is archived in Stripe; set it active there")


def _check_meter(name: str, meter: Any) -> None:
    formula, window = _counting(meter)
    if (formula, window) != _AS_OURS:
        raise OperatorError(
            f"the meter {name} is {formula}/{window}, not sum/hour; meters cannot be "
            "changed: deactivate it in Stripe, so that a new one can be made"
        )


def _check_deactivated(names: Collection[str], inactive: Iterable[Any]) -> None:
    """Refuse to make a meter anew that is there: prices in use count on it, and on no other.

    One that counts otherwise than ours was deactivated so that a new one can be made.
    """
    for meter in inactive:
        if meter.event_name in names and _counting(meter) == _AS_OURS:
            raise OperatorError(
                f"the meter {meter.event_name} is deactivated in Stripe; reactivate it there ({meter.id}): "
                "the prices count on it"
            )


def _counting(meter: Any) -> tuple[str, str | None]:
    return meter.default_aggregation.formula, meter.event_time_window


def _check_price(wanted: WantedPrice, price: Any, meters: Mapping[str, Any]) -> None:
    if not price.active:
        raise OperatorError(
            f"the price {wanted.lookup_key} is archived in Stripe; set it active there, or give the plan a "
            "new version"
        )
    if wanted.fee is not None:
        fixed = price.billing_scheme == "per_unit" and price.recurring.usage_type == "licensed"
        same = fixed and Decimal(str(price.unit_amount_decimal)) == Decimal(cents(wanted.fee))
    else:
        meter = meters.get(str(wanted.meter))
        offered = [(tier["up_to"], _tier_cents(tier)) for tier in wanted.tiers]
        # a price of one amount has no such field
        tiers = getattr(price, "tiers", None) or ()
        charged = [("inf" if t.up_to is None else t.up_to, _tier_cents(t.to_dict())) for t in tiers]
        graduated = price.tiers_mode == "graduated" and all(not t.flat_amount for t in tiers)
        same = meter is not None and price.recurring.meter == meter.id and graduated and offered == charged
    monthly = (price.recurring.interval, price.recurring.interval_count) == ("month", 1)
    if not (same and monthly and price.currency == wanted.currency):
        raise OperatorError(
            f"the price {wanted.lookup_key} in Stripe differs from the catalogue; a price in use never "
            "changes: give the plan a new version"
        )


def _tier_cents(tier: Mapping[str, Any]) -> Decimal:
    amount = tier.get("unit_amount_decimal")
    return Decimal(str(tier.get("unit_amount") if amount is None else amount))
