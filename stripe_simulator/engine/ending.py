"""How a subscription ends: at its time, by a call, or because nobody pays."""

from stripe_simulator.engine import schedules
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.state import Asked, State
from stripe_simulator.engine.subscribed import Status, Subscription


def end(
    state: State,
    subscription: Subscription,
    at: int,
    asked: Asked | None = None,
    status: Status = "canceled",
) -> None:
    """End a subscription for good; what was not billed by then is not billed any more."""
    subscription.status = status
    subscription.canceled_at = subscription.canceled_at or at
    subscription.ended_at = at
    schedules.end(state, subscription, "canceled", at)
    kind = "deleted" if status == "canceled" else "updated"
    record(state, f"customer.subscription.{kind}", subscription, at, asked)
