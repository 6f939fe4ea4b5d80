"""Subscription schedules as Stripe answers them."""

from stripe_simulator.engine import schedules
from stripe_simulator.engine.state import Json, State
from stripe_simulator.engine.subscribed import Phase, Schedule, Subscription
from stripe_simulator.resources.subscription_json import billing_mode


def rendered(state: State, schedule: Schedule, now: int) -> Json:
    """A schedule as Stripe answers it at an instant (epoch seconds)."""
    phase = schedules.phase_at(schedule, now) if schedule.active else None
    released = schedule.status == "released"
    subscription = state.subscriptions[schedule.subscription]
    return {
        "id": schedule.id,
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": billing_mode(subscription),
        "canceled_at": schedule.ended_at if schedule.status == "canceled" else None,
        "completed_at": None,
        "created": schedule.created,
        "current_phase": phase and {"start_date": phase.start, "end_date": phase.end},
        "customer": schedule.customer,
        "customer_account": None,
        "default_settings": _default_settings(subscription),
        "end_behavior": schedule.end_behavior,
        "livemode": False,
        "metadata": schedule.metadata,
        "pause_schedules": [],
        "phases": [_rendered_phase(subscription, phase) for phase in schedule.phases],
        "released_at": schedule.ended_at if released else None,
        "released_subscription": schedule.subscription if released else None,
        "status": schedule.status,
        "subscription": None if released else schedule.subscription,
        "test_clock": None,
    }


def _default_settings(subscription: Subscription) -> Json:
    return {
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": "automatic",
        "billing_thresholds": None,
        "collection_method": subscription.collection_method,
        "default_payment_method": subscription.payment_method,
        "description": subscription.description,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "days_until_due": subscription.days_until_due,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "on_behalf_of": None,
        "transfer_data": None,
    }


def _rendered_phase(subscription: Subscription, phase: Phase) -> Json:
    items: list[Json] = []
    for item in phase.items:
        shown: Json = {
            "billing_thresholds": None,
            "discounts": [],
            "metadata": {},
            "plan": item.price,
            "price": item.price,
            "tax_rates": [],
        }
        items.append(shown if item.quantity is None else shown | {"quantity": item.quantity})
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "currency": subscription.currency,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "end_date": phase.end,
        "invoice_settings": None,
        "items": items,
        "metadata": phase.metadata,
        "on_behalf_of": None,
        "proration_behavior": phase.proration_behavior,
        "start_date": phase.start,
        "transfer_data": None,
        "trial_end": None,
    }
