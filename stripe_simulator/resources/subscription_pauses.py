"""Subscriptions that pause and go on: POST /v1/subscriptions/{id}/pause and /resume."""

from stripe_simulator.engine import billed_parts, invoicing, lookup, subscription_life
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import StripeRefusalError, not_imitated
from stripe_simulator.protocol.parameters import EXPAND, OneOf, Record, Text
from stripe_simulator.resources.endpoint import Endpoint
from stripe_simulator.resources.subscription_json import rendered


def _pause(state: State, asked: Asked) -> Json:
    """Stop the subscription; what was used until now is not billed unless the call says so."""
    subscription = lookup.living_subscription(state, asked.id)
    if subscription.status not in {"active", "past_due", "unpaid"}:
        raise StripeRefusalError(
            f"You cannot pause a subscription with status `{subscription.status}`.", param="id"
        )
    bill_for = asked.parameters.get("bill_for", {})
    if bill_for.get("unused_time_from", {}).get("type", "none") != "none":
        raise not_imitated("prorations; pass type none", "bill_for[unused_time_from][type]")
    if bill_for.get("outstanding_usage_through", {}).get("type", "none") == "now":
        metered = list(billed_parts.metered(state, subscription, asked.now))
        draft = invoicing.Draft("subscription_update", (), metered, "at_once")
        invoicing.make(state, subscription, asked.now, draft)
    subscription_life.pause(state, subscription, asked.now, "pause_requested", asked)
    return rendered(state, subscription)


def _resume(state: State, asked: Asked) -> Json:
    """Start anew: the billing cycle is anchored now."""
    subscription = lookup.living_subscription(state, asked.id)
    if subscription.status != "paused":
        raise StripeRefusalError(
            f"You cannot resume a subscription with status `{subscription.status}`.", param="id"
        )
    if asked.parameters.get("billing_cycle_anchor", {}).get("type", "now") != "now":
        raise not_imitated("resuming with an unchanged anchor", "billing_cycle_anchor[type]")
    subscription_life.resume(state, subscription, asked)
    return rendered(state, subscription)


_TYPE = Record({"type": Text()}, required=("type",))
_PAUSE = Record(
    {
        **EXPAND,
        "bill_for": Record({"outstanding_usage_through": _TYPE, "unused_time_from": _TYPE}),
        "type": OneOf(("subscription",)),
    }
)
_RESUME = Record(
    {**EXPAND, "billing_cycle_anchor": _TYPE, "proration_behavior": OneOf(("none",))},
)
ENDPOINTS = (
    Endpoint("POST", "/v1/subscriptions/{id}/pause", _PAUSE, _pause),
    Endpoint("POST", "/v1/subscriptions/{id}/resume", _RESUME, _resume),
)
