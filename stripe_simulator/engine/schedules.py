"""Subscription schedules: what a subscription is made of, phase after phase."""

import copy

from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.item_changes import add_item
from stripe_simulator.engine.state import Asked, State
from stripe_simulator.engine.subscribed import Phase, Schedule, Subscription

CLOSED = frozenset({"released", "canceled"})


def phase_at(schedule: Schedule, at: int) -> Phase | None:
    """The phase that contains an instant."""
    return next((phase for phase in schedule.phases if phase.start <= at < phase.end), None)


def turn(state: State, subscription: Subscription, at: int) -> None:
    """Give a subscription the prices of the phase that starts now; usage from now on is billed at them."""
    schedule = state.schedules.get(subscription.schedule or "")
    phase = phase_at(schedule, at) if schedule else None
    if phase is None or phase.start != at:
        return
    for place, item in enumerate(phase.items):
        if all(present.price != item.price for present in subscription.items):
            quantity = {} if item.quantity is None else {"quantity": item.quantity}
            add_item(state, subscription, {"price": item.price, **quantity}, at, at, f"items[{place}]")
    kept = {item.price: item.quantity for item in phase.items}
    subscription.items = [item for item in subscription.items if item.price in kept]
    for present in subscription.items:
        present.quantity = kept[present.price]


def turned(state: State, subscription: Subscription, at: int) -> Subscription:
    """The subscription as it will be made up at an instant, the present one left as it is."""
    later = copy.deepcopy(subscription)
    turn(state, later, at)
    return later


def await_end(state: State, schedule: Schedule) -> None:
    """Release the subscription when the last phase is over, unless the phases change before."""
    last = schedule.phases[-1].end
    state.agenda.at(last, lambda at: _end_if_due(state, schedule, at))


def _end_if_due(state: State, schedule: Schedule, at: int) -> None:
    if schedule.active and schedule.phases[-1].end == at:
        end(state, state.subscriptions[schedule.subscription], "released", at)


def end(state: State, subscription: Subscription, status: str, at: int, asked: Asked | None = None) -> None:
    """End the schedule that governs a subscription, if one does; the subscription stays as it is."""
    if subscription.schedule is None:
        return
    schedule = state.schedules[subscription.schedule]
    schedule.status, schedule.ended_at = status, at
    subscription.schedule = None
    record(state, f"subscription_schedule.{status}", schedule, at, asked)
