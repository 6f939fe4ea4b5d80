"""Every call of the API, resource by resource."""

from stripe_simulator.resources import (
    credit_notes,
    customers,
    event_summaries,
    events,
    invoice_items,
    invoice_outcomes,
    invoice_previews,
    invoices,
    meter_events,
    meters,
    prices,
    products,
    subscription_items,
    subscription_pauses,
    subscription_schedules,
    subscriptions,
)
from stripe_simulator.resources.endpoint import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *products.ENDPOINTS,
    *prices.ENDPOINTS,
    *customers.ENDPOINTS,
    *meters.ENDPOINTS,
    *event_summaries.ENDPOINTS,
    *meter_events.ENDPOINTS,
    *subscriptions.ENDPOINTS,
    *subscription_pauses.ENDPOINTS,
    *subscription_items.ENDPOINTS,
    *subscription_schedules.ENDPOINTS,
    *invoice_previews.ENDPOINTS,
    *invoices.ENDPOINTS,
    *invoice_outcomes.ENDPOINTS,
    *credit_notes.ENDPOINTS,
    *invoice_items.ENDPOINTS,
    *events.ENDPOINTS,
)
