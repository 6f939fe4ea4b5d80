"""Subscription items: GET /v1/subscription_items."""

from stripe_simulator.engine import lookup
from stripe_simulator.engine.objects import Subscription, SubscriptionItem
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.engine.subscription_life import item_period_start
from stripe_simulator.protocol.pagination import page
from stripe_simulator.protocol.parameters import PAGING, Record, Text
from stripe_simulator.resources import prices
from stripe_simulator.resources.endpoint import Endpoint


def rendered(state: State, subscription: Subscription, item: SubscriptionItem) -> Json:
    """An item as Stripe answers it, with its current period; a metered one has no quantity."""
    shown: Json = {
        "id": item.id,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": item.created,
        "current_period_end": subscription.period_end,
        "current_period_start": item_period_start(subscription, item),
        "discounts": [],
        "metadata": item.metadata,
        "price": prices.rendered(state.prices[item.price]),
        "subscription": subscription.id,
        "tax_rates": [],
    }
    if item.quantity is not None:
        shown["quantity"] = item.quantity
    return shown


def _list(state: State, asked: Asked) -> Json:
    subscription = lookup.subscription(state, asked.parameters["subscription"], "subscription")
    items = [rendered(state, subscription, item) for item in subscription.items]
    return page(items, asked.parameters, "/v1/subscription_items")


_LIST = Record({**PAGING, "subscription": Text()}, required=("subscription",))
ENDPOINTS = (Endpoint("GET", "/v1/subscription_items", _LIST, _list),)
