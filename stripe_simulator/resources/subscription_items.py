"""Subscription items: GET /v1/subscription_items."""

from stripe_simulator.engine import item_periods, lookup
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.engine.subscribed import Subscription, SubscriptionItem
from stripe_simulator.protocol.pagination import page
from stripe_simulator.protocol.parameters import PAGING, Record, Text
from stripe_simulator.resources import plans, prices
from stripe_simulator.resources.endpoint import Endpoint


def rendered(state: State, subscription: Subscription, item: SubscriptionItem) -> Json:
    """An item as Stripe answers it, with its current period; a metered one has no quantity."""
    start, end = item_periods.bounds(subscription, item)
    price = state.prices[item.price]
    shown: Json = {
        "id": item.id,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": item.created,
        "current_period_end": end,
        "current_period_start": start,
        "current_trial": None,
        "discounts": [],
        "metadata": item.metadata,
        "plan": plans.rendered(price),
        "price": prices.rendered(price),
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
