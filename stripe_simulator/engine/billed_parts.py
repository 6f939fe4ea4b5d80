"""What of a subscription an invoice bills: usage of spans that are over, fees of periods that start."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from stripe_simulator.engine import item_periods
from stripe_simulator.engine.billed import LicensedPart, MeteredPart
from stripe_simulator.engine.state import State
from stripe_simulator.engine.subscribed import Subscription, SubscriptionItem


def meter_of(state: State, price: str) -> str | None:
    """The meter of a metered price, None of a fixed one."""
    recurring = state.prices[price].recurring
    return recurring.meter if recurring else None


def metered(state: State, subscription: Subscription, until: int) -> Iterator[MeteredPart]:
    """The usage of every metered item in its current period, up to an instant; a trial's is free."""
    if subscription.status == "trialing":
        return
    for item in subscription.items:
        if meter_of(state, item.price) is not None:
            yield metered_part(state, subscription, item, until)


def metered_part(state: State, subscription: Subscription, item: SubscriptionItem, until: int) -> MeteredPart:
    """One metered item's usage in its current period, up to an instant."""
    start, _ = item_periods.bounds(subscription, item)
    earlier = [state.invoices[invoice].period_end for invoice in item.threshold_invoices]
    return MeteredPart(
        item.id,
        item.price,
        max(start, item.usage_from or start),
        until,
        item.threshold_invoices,
        max(earlier, default=None),
    )


def metered_at_period_end(state: State, subscription: Subscription, at: int) -> list[MeteredPart]:
    """The usage of the items whose period ends at an instant."""
    ending = {item.id for item in subscription.items if item_periods.ends(item, at)}
    return [part for part in metered(state, subscription, at) if part.subscription_item in ending]


def after_price_change(
    state: State, subscription: Subscription, parts: list[MeteredPart], at: int
) -> list[MeteredPart]:
    """The ended period's usage, told of the prices that a schedule has just given its meters."""
    present = {meter_of(state, item.price): item.price for item in subscription.items}
    return [
        part
        if part.price in present.values()
        else replace(part, prices_changed_at=at, later_price=present.get(meter_of(state, part.price)))
        for part in parts
    ]


def licensed(
    state: State, subscription: Subscription, following: tuple[int, int], share: Decimal = Decimal(1)
) -> list[LicensedPart]:
    """The fees of the periods that start: the subscription's, or a share of it, and items' own ones."""
    start, _ = following
    found = []
    for item in subscription.items:
        if meter_of(state, item.price) is not None:
            continue
        cycle = item_periods.own_cycle(state, subscription, item)
        if cycle is None:
            found.append(LicensedPart(item.id, item.price, item.quantity or 0, *following, share))
        elif item.own_period is None or start in item.own_period:
            end = cycle.anchor if start < cycle.anchor else cycle.period_from(start)[1]
            full = Decimal(end - start) / Decimal(end - cycle.boundary(-1)) if end == cycle.anchor else share
            found.append(LicensedPart(item.id, item.price, item.quantity or 0, start, end, min(full, share)))
    return found
