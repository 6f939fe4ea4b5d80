"""The account as JSON, for people and tests to look into."""

from dataclasses import asdict

from stripe_simulator.engine import aggregation, invoicing, schedules, subscription_life
from stripe_simulator.engine.state import Json, State
from stripe_simulator.resources import customers, invoice_items, meters, prices, products
from stripe_simulator.resources.prices import text


def snapshot(state: State, now: int) -> Json:
    """Everything that the account holds: objects as Stripe shows them, meter events as they came.

    ``usage`` lists what counts: each customer's and meter's windows with the value that won.
    """
    return {
        "now": now,
        "products": [products.rendered(product) for product in state.products.values()],
        "prices": [prices.rendered(price) for price in state.prices.values()],
        "customers": [customers.rendered(customer) for customer in state.customers.values()],
        "meters": [meters.rendered(meter) for meter in state.meters.values()],
        "subscriptions": [subscription_life.rendered(state, one) for one in state.subscriptions.values()],
        "subscription_schedules": [schedules.rendered(one, now) for one in state.schedules.values()],
        "invoices": [invoicing.rendered(state, invoice, now) for invoice in state.invoices.values()],
        "invoice_items": [invoice_items.rendered(item) for item in state.invoice_items.values()],
        "meter_events": [asdict(event) for event in state.accepted],
        "usage": _usage(state, now),
        "rejected": [{**asdict(rejection), "event": asdict(rejection.event)} for rejection in state.rejected],
        "events": state.events,
        "thin_events": state.thin_events,
    }


def _usage(state: State, now: int) -> list[Json]:
    shown = []
    for meter_id, customer in state.usage:
        meter = state.meters[meter_id]
        effective = aggregation.effective(state, meter, customer, now)
        total = aggregation.aggregated(meter.formula, effective)
        shown.append(
            {
                "meter": meter_id,
                "event_name": meter.event_name,
                "customer": customer,
                "total": text(total),
                "events": [
                    {
                        "identifier": usage.identifier,
                        "timestamp": usage.timestamp,
                        "value": text(usage.value),
                        "processed_at": usage.processed_at,
                    }
                    for usage in sorted(effective, key=lambda usage: usage.timestamp)
                ],
            }
        )
    return shown
