"""The current period of each item of a subscription: the subscription's, or a longer one of its own."""

from stripe_simulator.engine.periods import Cycle
from stripe_simulator.engine.state import State
from stripe_simulator.engine.subscribed import Subscription, SubscriptionItem


def own_cycle(state: State, subscription: Subscription, item: SubscriptionItem) -> Cycle | None:
    """An item's own cycle on the subscription's anchor; None when it is the subscription's."""
    recurring, cycle = state.prices[item.price].recurring, subscription.cycle
    assert recurring is not None
    if (recurring.interval, recurring.interval_count) == (cycle.interval, cycle.count):
        return None
    return Cycle(cycle.anchor, recurring.interval, recurring.interval_count, cycle.day)


def begin(state: State, subscription: Subscription, item: SubscriptionItem, at: int) -> None:
    """Give an item that begins at an instant the period that it has; before the anchor that is a stub."""
    cycle = own_cycle(state, subscription, item)
    if cycle is None:
        item.own_period = None
    elif at < cycle.anchor:
        item.own_period = (at, cycle.anchor)
    else:
        item.own_period = (at, cycle.period_from(at)[1])


def advance(state: State, subscription: Subscription, item: SubscriptionItem, at: int) -> None:
    """Start an item's next period where its present one ends."""
    if not ends(item, at):
        return
    item.usage_from = None
    item.threshold_invoices = ()
    if item.own_period is not None and item.own_period[1] == at:
        begin(state, subscription, item, at)


def ends(item: SubscriptionItem, at: int) -> bool:
    """Whether an item's period ends with the period of the subscription that ends at an instant."""
    return item.own_period is None or at in item.own_period


def bounds(subscription: Subscription, item: SubscriptionItem) -> tuple[int, int]:
    """An item's current period: with the subscription's, or its own; never from before it was added."""
    start, end = item.own_period or (subscription.period_start, subscription.period_end)
    if subscription.cancel_at is not None:
        end = min(end, subscription.cancel_at)
    return max(start, item.since), end
