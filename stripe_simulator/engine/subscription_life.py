"""A subscription's life: its items, its periods, and what each period's end bills."""

from collections.abc import Iterator
from decimal import Decimal

from stripe_simulator.engine import schedules
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.invoicing import finalize, open_draft
from stripe_simulator.engine.objects import (
    Invoice,
    LicensedPart,
    MeteredPart,
    Subscription,
    SubscriptionItem,
)
from stripe_simulator.engine.periods import Cycle
from stripe_simulator.engine.state import Asked, State


def begin(state: State, subscription: Subscription, asked: Asked) -> None:
    """Start a new subscription's cycle."""
    state.subscriptions[subscription.id] = subscription
    record(state, "customer.subscription.created", subscription, asked.now, asked)
    _await_period_end(state, subscription)


def bill_first_period(state: State, subscription: Subscription, *, prorates: bool) -> None:
    """Invoice the fixed prices of the first period, or of the stub before the anchor, at once.

    Without proration a stub is free; metered prices have nothing to bill yet.
    """
    start, until = subscription.period_start, subscription.period_end
    share = Decimal(1)
    if until == subscription.cycle.anchor:
        if not prorates:
            return
        full_start = subscription.cycle.boundary(-1)
        share = Decimal(until - start) / Decimal(until - full_start)
    licensed = list(licensed_parts(state, subscription, start, until, share))
    if licensed:
        state.subscriptions[subscription.id] = subscription
        invoice = open_draft(state, subscription, "subscription_create", subscription.created, licensed, [])
        finalize(state, invoice, subscription.created)


def _await_period_end(state: State, subscription: Subscription) -> None:
    state.agenda.at(subscription.period_end, lambda at: _end_period(state, subscription, at))


def _end_period(state: State, subscription: Subscription, at: int) -> None:
    """Bill the usage of the period that ended and the fixed prices of the one that starts, and go on."""
    if not subscription.active or subscription.period_end != at:
        return
    metered = list(metered_parts(state, subscription, at))
    if subscription.cancel_at_period_end:
        open_draft(state, subscription, "subscription_cycle", at, [], metered)
        end(state, subscription, at)
        return
    following = subscription.cycle.period_from(at)
    schedules.turn(state, subscription, at)
    licensed = list(licensed_parts(state, subscription, *following))
    open_draft(state, subscription, "subscription_cycle", at, licensed, metered)
    subscription.period_start, subscription.period_end = following
    record(state, "customer.subscription.updated", subscription, at)
    _await_period_end(state, subscription)


def anchor_anew(state: State, subscription: Subscription, at: int) -> None:
    """Start the cycle anew: bill the usage so far, and the fixed prices of the full period that starts."""
    metered = list(metered_parts(state, subscription, at))
    subscription.cycle = Cycle(at, subscription.cycle.interval, subscription.cycle.count)
    following = subscription.cycle.period_from(at)
    licensed = list(licensed_parts(state, subscription, *following))
    open_draft(state, subscription, "subscription_update", at, licensed, metered)
    subscription.period_start, subscription.period_end = following
    _await_period_end(state, subscription)


def end(state: State, subscription: Subscription, at: int, asked: Asked | None = None) -> None:
    """End a subscription for good; what was not billed by then is not billed any more."""
    subscription.canceled_at = subscription.canceled_at or at
    subscription.ended_at = at
    schedules.end(state, subscription, "canceled", at)
    record(state, "customer.subscription.deleted", subscription, at, asked)


def metered_parts(state: State, subscription: Subscription, until: int) -> Iterator[MeteredPart]:
    """The metered prices of the current period, up to an instant."""
    for item in subscription.items:
        recurring = state.prices[item.price].recurring
        if recurring is not None and recurring.metered:
            start = item_period_start(subscription, item)
            yield MeteredPart(item.id, item.price, start, until)


def licensed_parts(
    state: State, subscription: Subscription, start: int, until: int, share: Decimal = Decimal(1)
) -> Iterator[LicensedPart]:
    """The fixed prices for a period, or for a share of one."""
    for item in subscription.items:
        recurring = state.prices[item.price].recurring
        if recurring is not None and not recurring.metered:
            yield LicensedPart(item.id, item.price, item.quantity or 0, start, until, share)


def item_period_start(subscription: Subscription, item: SubscriptionItem) -> int:
    """Where an item's current period starts: with the subscription's, or when it was added to it."""
    return max(subscription.period_start, item.since)


def upcoming(state: State, subscription: Subscription, now: int) -> Invoice:
    """The invoice that the current period's end would make, not kept anywhere."""
    period_end = subscription.period_end
    following = subscription.cycle.period_from(period_end)
    ends = subscription.cancel_at_period_end
    turned = schedules.turned(state, subscription, period_end)
    return Invoice(
        id=state.new_id("upcoming_in"),
        customer=subscription.customer,
        subscription=subscription.id,
        created=now,
        currency=subscription.currency,
        billing_reason="upcoming",
        period_start=subscription.period_start,
        period_end=period_end,
        collection_method=subscription.collection_method,
        auto_advance=True,
        finalizes_at=period_end + state.settings.grace_s,
        licensed=() if ends else tuple(licensed_parts(state, turned, *following)),
        metered=tuple(metered_parts(state, subscription, period_end)),
    )
