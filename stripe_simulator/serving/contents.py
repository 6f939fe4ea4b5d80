"""The account as JSON, for people and tests to look into."""

from collections.abc import Iterable
from dataclasses import asdict

from stripe_simulator.engine import aggregation
from stripe_simulator.engine.objects import StripeObject
from stripe_simulator.engine.state import Json, State
from stripe_simulator.protocol.amounts import text


def contents(state: State, now: int) -> Json:
    """Everything that the account holds: objects as Stripe shows them, meter events as they came.

    ``usage`` lists what counts: each customer's and meter's windows with the value that won.
    """
    return {
        "now": now,
        **{name: [state.shown(one, now) for one in objects] for name, objects in _objects(state).items()},
        "meter_events": [asdict(event) for event in state.accepted],
        "usage": _usage(state, now),
        "rejected": [{**asdict(rejection), "event": asdict(rejection.event)} for rejection in state.rejected],
        "events": state.events,
        "thin_events": state.thin_events,
    }


def _objects(state: State) -> dict[str, Iterable[StripeObject]]:
    return {
        "products": state.products.values(),
        "prices": state.prices.values(),
        "customers": state.customers.values(),
        "meters": state.meters.values(),
        "subscriptions": state.subscriptions.values(),
        "subscription_schedules": state.schedules.values(),
        "invoices": state.invoices.values(),
        "invoice_items": state.invoice_items.values(),
        "credit_notes": state.credit_notes.values(),
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
