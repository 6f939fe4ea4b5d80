"""Billing thresholds: an invoice in the middle of a period when enough usage is not billed yet.

Stripe, "Set up thresholds": not during a trial, nor in the last 24 hours of a period; the period goes on, and
so do the tiers.
"""

from stripe_simulator.engine import billed_parts, subscription_life
from stripe_simulator.engine.invoice_lines import lines_from
from stripe_simulator.engine.invoicing import Draft, make
from stripe_simulator.engine.periods import DAY
from stripe_simulator.engine.state import State
from stripe_simulator.engine.subscribed import Subscription


def look_later(state: State, customer: str, at: int) -> None:
    """Compare a customer's unbilled usage with its thresholds once an event of that instant is aggregated."""
    if any(one.customer == customer and one.thresholds for one in state.subscriptions.values()):
        state.agenda.at(
            at + state.settings.aggregation_delay_s, lambda instant: _look(state, customer, instant)
        )


def _look(state: State, customer: str, at: int) -> None:
    for subscription in state.subscriptions.values():
        if (
            subscription.customer == customer
            and subscription.thresholds is not None
            and subscription.living
            and subscription.status in {"active", "past_due"}
            and subscription.period_start <= at < subscription.period_end - DAY
            and _unbilled(state, subscription, at) >= subscription.thresholds.amount_gte
        ):
            _bill(state, subscription, at)


def _unbilled(state: State, subscription: Subscription, at: int) -> int:
    sample = subscription_life.upcoming(state, subscription, at)
    sample.licensed = ()
    sample.metered = tuple(billed_parts.metered(state, subscription, at))
    return sum(line.amount for line in lines_from(state, sample, [], at))


def _bill(state: State, subscription: Subscription, at: int) -> None:
    thresholds = subscription.thresholds
    assert thresholds is not None
    if thresholds.resets_anchor:
        subscription_life.anchor_anew(state, subscription, at, thresholds.amount_gte)
        return
    metered = list(billed_parts.metered(state, subscription, at))
    invoice = make(
        state, subscription, at, Draft("subscription_threshold", (), metered, threshold=thresholds.amount_gte)
    )
    for item in subscription.items:
        if billed_parts.meter_of(state, item.price) is not None:
            item.threshold_invoices += (invoice.id,)
