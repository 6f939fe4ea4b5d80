"""What a subscription bills: adding, changing and removing its items."""

from collections.abc import Sequence

from stripe_simulator.engine import item_periods, lookup
from stripe_simulator.engine.objects import Price, Recurring
from stripe_simulator.engine.periods import Cycle, months
from stripe_simulator.engine.state import State
from stripe_simulator.engine.subscribed import Subscription, SubscriptionItem
from stripe_simulator.protocol.errors import StripeRefusalError, no_such, not_imitated
from stripe_simulator.protocol.parameters import Parameters, merged_metadata


def add_item(
    state: State, subscription: Subscription, given: Parameters, now: int, since: int, param: str
) -> None:
    """Add an item for a price; the first item sets the subscription's currency and interval.

    Raises
    ------
    StripeRefusalError
        No such price, an archived or one-time one, one that is already in it, a quantity for a metered one.
    """
    price = lookup.price(state, given["price"], f"{param}[price]")
    recurring = _recurring(price, param)
    if any(item.price == price.id for item in subscription.items):
        raise StripeRefusalError(
            f"Cannot add multiple subscription items with the same price: {price.id}.",
            param=f"{param}[price]",
        )
    if recurring.metered and "quantity" in given:
        raise StripeRefusalError(
            "You cannot set a quantity for a metered price: usage sets it.", param=f"{param}[quantity]"
        )
    _match(state, subscription, price, recurring, param)
    item = SubscriptionItem(
        id=state.new_id("si"),
        price=price.id,
        quantity=None if recurring.metered else given.get("quantity", 1),
        created=now,
        since=since,
        metadata=merged_metadata({}, given.get("metadata", {})),
    )
    subscription.items.append(item)
    if subscription.id in state.subscriptions:
        item_periods.begin(state, subscription, item, since)


def _recurring(price: Price, param: str) -> Recurring:
    if price.recurring is None:
        raise StripeRefusalError(
            f"The price {price.id} is set to `type=one_time` but this field only accepts prices with "
            "`type=recurring`.",
            param=f"{param}[price]",
        )
    if not price.active:
        raise StripeRefusalError(
            f"The price specified is inactive. This field only accepts active prices: {price.id}.",
            param=f"{param}[price]",
        )
    return price.recurring


def _match(state: State, subscription: Subscription, price: Price, recurring: Recurring, param: str) -> None:
    """Hold a price to the subscription's currency and interval; of a new one the shortest interval counts."""
    cycle = subscription.cycle
    if not subscription.items:
        subscription.currency = price.currency
        subscription.cycle = Cycle(cycle.anchor, recurring.interval, recurring.interval_count, cycle.day)
        return
    if price.currency != subscription.currency:
        raise StripeRefusalError("All prices must have the same currency.", param=f"{param}[price]")
    if (recurring.interval, recurring.interval_count) == (cycle.interval, cycle.count):
        return
    if not subscription.flexible:
        raise StripeRefusalError(
            "All prices on a subscription must have the same interval unless `billing_mode` is `flexible`.",
            param=f"{param}[price]",
        )
    own, shared = months(recurring.interval, recurring.interval_count), months(cycle.interval, cycle.count)
    if not own or not shared or max(own, shared) % min(own, shared):
        raise not_imitated("intervals that are no multiple of each other in months", f"{param}[price]")
    if own < shared and subscription.id in state.subscriptions:
        raise not_imitated("adding a price of a shorter interval", f"{param}[price]")
    if own < shared:
        subscription.cycle = Cycle(cycle.anchor, recurring.interval, recurring.interval_count, cycle.day)


def change_items(state: State, subscription: Subscription, changes: Sequence[Parameters], now: int) -> None:
    """Apply changes without proration: an item starts to bill now, a removed one never bills again."""
    for place, change in enumerate(changes):
        param = f"items[{place}]"
        if "id" not in change:
            add_item(state, subscription, change, now, now, param)
            continue
        item = next((item for item in subscription.items if item.id == change["id"]), None)
        if item is None:
            raise no_such("subscription item", change["id"], f"{param}[id]")
        if change.get("deleted"):
            subscription.items.remove(item)
        elif "price" in change and change["price"] != item.price:
            subscription.items.remove(item)
            add_item(state, subscription, change, now, now, param)
            subscription.items[-1].id = item.id
        else:
            item.quantity = change.get("quantity", item.quantity)
            item.metadata = merged_metadata(item.metadata, change.get("metadata", {}))
