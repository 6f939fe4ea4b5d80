"""Previews of invoices: POST /v1/invoices/create_preview."""

from stripe_simulator.engine import lookup
from stripe_simulator.engine.invoice_lines import lines_from
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.engine.subscribed import Subscription
from stripe_simulator.engine.subscription_life import upcoming
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.parameters import EXPAND, OneOf, Parameters, Record, Text
from stripe_simulator.resources.endpoint import Endpoint
from stripe_simulator.resources.invoice_json import rendered

_PREVIEWS_REMEMBERED = 50


def _preview(state: State, asked: Asked) -> Json:
    """The invoice that a subscription's current period would end with, as far as usage is known now."""
    subscription = _previewed(state, asked.parameters)
    invoice = upcoming(state, subscription, asked.now)
    pending = [
        item
        for item in state.invoice_items.values()
        if item.invoice is None
        and item.customer == subscription.customer
        and item.subscription in {None, subscription.id}
    ]
    invoice.lines = lines_from(state, invoice, pending, asked.now)
    state.previews[invoice.id] = invoice
    if len(state.previews) > _PREVIEWS_REMEMBERED:
        del state.previews[next(iter(state.previews))]
    return rendered(state, invoice, asked.now)


def _previewed(state: State, wanted: Parameters) -> Subscription:
    if "subscription" in wanted:
        subscription = lookup.subscription(state, wanted["subscription"], "subscription")
        found = [subscription] if subscription.living else []
    elif "customer" in wanted:
        customer = lookup.customer(state, wanted["customer"], "customer").id
        found = [one for one in state.subscriptions.values() if one.customer == customer and one.living]
    else:
        raise StripeRefusalError(
            "You must specify a customer or a subscription.", code="parameter_missing", param="customer"
        )
    if not found:
        raise StripeRefusalError(
            "No upcoming invoices: there is no active subscription.",
            status=404,
            code="invoice_upcoming_none",
        )
    return found[-1]


_NEW = Record(
    {**EXPAND, "customer": Text(), "subscription": Text(), "preview_mode": OneOf(("next",))},
)
ENDPOINTS = (Endpoint("POST", "/v1/invoices/create_preview", _NEW, _preview),)
