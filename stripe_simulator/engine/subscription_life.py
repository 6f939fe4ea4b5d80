"""A subscription's life: its periods, and what each period's end bills."""

from decimal import Decimal

from stripe_simulator.engine import billed_parts, item_periods, payments, schedules
from stripe_simulator.engine.billed import Invoice
from stripe_simulator.engine.ending import end
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.invoicing import Draft, make
from stripe_simulator.engine.periods import Cycle
from stripe_simulator.engine.state import Asked, State
from stripe_simulator.engine.subscribed import Subscription


def begin(state: State, subscription: Subscription, asked: Asked) -> None:
    """Start a new subscription's cycle."""
    state.subscriptions[subscription.id] = subscription
    record(state, "customer.subscription.created", subscription, asked.now, asked)
    await_period_end(state, subscription)


def bill_first_period(
    state: State, subscription: Subscription, *, prorates: bool, attempts: bool = True
) -> None:
    """Invoice the fees of the first period, or of the stub before the anchor, at once.

    Without proration a stub is free. Metered prices have nothing to bill yet, but for the time before a
    backdated subscription was made: in flexible mode that is on this invoice (unless settings say otherwise),
    which where invoices are sent stays a draft for the grace time.
    """
    at, start, until = subscription.created, subscription.period_start, subscription.period_end
    share, trial = Decimal(1), subscription.status == "trialing"
    if trial:
        share = Decimal(0)
    elif start < subscription.cycle.anchor and until <= subscription.cycle.anchor:
        if not prorates:
            return
        full_start = subscription.cycle.boundary(-1)
        share = Decimal(until - start) / Decimal(subscription.cycle.anchor - full_start)
    licensed = billed_parts.licensed(state, subscription, (start, until), share)
    metered = []
    if start < at and subscription.flexible and state.settings.backdated_usage == "first_invoice":
        metered = list(billed_parts.metered(state, subscription, at))
    if not licensed and not metered:
        return
    state.subscriptions[subscription.id] = subscription
    waits = metered and subscription.collection_method == "send_invoice"
    draft = Draft(
        "subscription_create", licensed, metered, "grace" if waits else "at_once", attempts=attempts
    )
    make(state, subscription, at, draft)
    for item in subscription.items if metered else ():
        item.usage_from = at


def await_period_end(state: State, subscription: Subscription) -> None:
    """End the current period when its time comes, unless it was moved before."""
    state.agenda.at(subscription.period_end, lambda at: _end_period(state, subscription, at))


def natural_end(subscription: Subscription) -> int:
    """Where the current period ends when no cancellation cuts it."""
    start, cycle = subscription.period_start, subscription.cycle
    return cycle.anchor if start < cycle.anchor else cycle.period_from(start)[1]


def cut(subscription: Subscription) -> None:
    """End the current period where a cancellation is due in it, else where it ends by nature."""
    natural = natural_end(subscription)
    at = subscription.cancel_at
    subscription.period_end = natural if at is None else min(natural, at)


def _end_period(state: State, subscription: Subscription, at: int) -> None:
    """Bill the usage of the period that ended and the fees of the one that starts, and go on."""
    halted = subscription.status in {"paused", "incomplete"}
    if not subscription.living or halted or subscription.period_end != at:
        return
    if subscription.status == "trialing":
        end_trial(state, subscription, at)
        return
    if subscription.cancel_at_period_end or subscription.cancel_at == at:
        metered = list(billed_parts.metered(state, subscription, at))
        make(state, subscription, at, Draft("subscription_cycle", [], metered))
        end(state, subscription, at)
        return
    parts = billed_parts.metered_at_period_end(state, subscription, at)
    schedules.turn(state, subscription, at)
    parts = billed_parts.after_price_change(state, subscription, parts, at)
    _start_period(state, subscription, at, Draft("subscription_cycle", metered=parts))
    record(state, "customer.subscription.updated", subscription, at)


def _start_period(state: State, subscription: Subscription, at: int, draft: Draft) -> Invoice:
    """Start the period at an instant: its fees are on the invoice beside what the draft has already."""
    following = subscription.cycle.period_from(at)
    share = Decimal(1)
    if subscription.cancel_at is not None and subscription.cancel_at < following[1]:
        share = Decimal(subscription.cancel_at - at) / Decimal(following[1] - at)
        following = (at, subscription.cancel_at)
    licensed = billed_parts.licensed(state, subscription, following, share)
    invoice = make(
        state,
        subscription,
        at,
        Draft(draft.reason, licensed, draft.metered, draft.finalisation, draft.threshold),
    )
    subscription.period_start, subscription.period_end = following
    for item in subscription.items:
        item_periods.advance(state, subscription, item, at)
    await_period_end(state, subscription)
    return invoice


def end_trial(state: State, subscription: Subscription, at: int, asked: Asked | None = None) -> None:
    """Start the first period that is paid; what was used in the trial is free.

    Where a payment method is needed and missing, the subscription goes on, ends or pauses, as it was made.
    """
    subscription.trial_end = at
    for item in subscription.items:
        item.since = at
    if subscription.cancel_at_period_end or subscription.cancel_at == at:
        end(state, subscription, at, asked)
        return
    method = payments.payment_method(state, subscription.customer, subscription)
    if subscription.collection_method == "charge_automatically" and method is None:
        if subscription.missing_payment_method == "cancel":
            end(state, subscription, at, asked)
            return
        if subscription.missing_payment_method == "pause":
            pause(state, subscription, at, "trial_end_without_payment_method", asked)
            return
    subscription.status = "active"
    _restart(state, subscription, at, Draft("subscription_cycle"))
    record(state, "customer.subscription.updated", subscription, at, asked)


def pause(
    state: State, subscription: Subscription, at: int, because: str, asked: Asked | None = None
) -> None:
    """Make no invoices until it is resumed; what was used and not billed by then is not billed any more."""
    subscription.status = "paused"
    subscription.paused_at, subscription.paused_because = at, because
    record(state, "customer.subscription.paused", subscription, at, asked)


def resume(state: State, subscription: Subscription, asked: Asked) -> None:
    """Start anew after a pause: a full period from now, whose fee is invoiced at once."""
    subscription.status = "active"
    subscription.paused_at = subscription.paused_because = None
    for item in subscription.items:
        item.since = asked.now
    _restart(state, subscription, asked.now, Draft("subscription_update", finalisation="at_once"))
    record(state, "customer.subscription.resumed", subscription, asked.now, asked)


def _restart(state: State, subscription: Subscription, at: int, draft: Draft) -> Invoice:
    cycle = subscription.cycle
    subscription.cycle = Cycle(at, cycle.interval, cycle.count)
    for item in subscription.items:
        item.own_period = None
    invoice = _start_period(state, subscription, at, draft)
    for item in subscription.items:
        item_periods.begin(state, subscription, item, at)
        item.threshold_invoices = ()
    return invoice


def anchor_anew(state: State, subscription: Subscription, at: int, threshold: int | None = None) -> Invoice:
    """Start the cycle anew: bill the usage so far, and the fees of the full period that starts."""
    metered = list(billed_parts.metered(state, subscription, at))
    reason = "subscription_update" if threshold is None else "subscription_threshold"
    finalisation = "grace" if threshold is not None else state.settings.anchor_reset_invoice
    return _restart(state, subscription, at, Draft(reason, (), metered, finalisation, threshold))


def upcoming(state: State, subscription: Subscription, now: int) -> Invoice:
    """The invoice that the current period's end would make, not kept anywhere."""
    period_end = subscription.period_end
    ends = subscription.cancel_at_period_end or subscription.cancel_at == period_end
    turned = schedules.turned(state, subscription, period_end)
    following = subscription.cycle.period_from(period_end)
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
        licensed=() if ends else tuple(billed_parts.licensed(state, turned, following)),
        metered=tuple(billed_parts.metered_at_period_end(state, subscription, period_end)),
    )
