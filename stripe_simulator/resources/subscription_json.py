"""Subscriptions as Stripe answers them."""

from stripe_simulator.engine.state import Json, State
from stripe_simulator.engine.subscribed import Subscription
from stripe_simulator.resources import subscription_items


def rendered(state: State, subscription: Subscription) -> Json:
    """A subscription as Stripe answers it; the current period is on its items."""
    items = [subscription_items.rendered(state, subscription, item) for item in subscription.items]
    shown: Json = {
        "id": subscription.id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": subscription.cycle.anchor,
        "billing_cycle_anchor_config": subscription.anchor_config,
        "billing_mode": billing_mode(subscription),
        "billing_schedules": [],
        "billing_thresholds": thresholds(subscription),
        "cancel_at": _cancel_at(subscription),
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "canceled_at": subscription.canceled_at,
        "cancellation_details": {
            "comment": None,
            "feedback": None,
            "feedback_option": None,
            "reason": "cancellation_requested" if subscription.canceled_at else None,
        },
        "collection_method": subscription.collection_method,
        "created": subscription.created,
        "currency": subscription.currency,
        "customer": subscription.customer,
        "customer_account": None,
        "days_until_due": subscription.days_until_due,
        "default_payment_method": subscription.payment_method,
        "default_source": None,
        "default_tax_rates": [],
        "description": subscription.description,
        "discounts": [],
        "ended_at": subscription.ended_at,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "items": {
            "object": "list",
            "data": items,
            "has_more": False,
            "total_count": len(items),
            "url": f"/v1/subscription_items?subscription={subscription.id}",
        },
        "latest_invoice": subscription.latest_invoice,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": subscription.metadata,
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": subscription.pause_collection
        and {
            "behavior": subscription.pause_collection.behavior,
            "resumes_at": subscription.pause_collection.resumes_at,
        },
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": subscription.schedule,
        "start_date": subscription.start,
        "status": subscription.status,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": subscription.trial_end,
        "trial_settings": {
            "end_behavior": {
                "billing_cycle_anchor": None,
                "missing_payment_method": subscription.missing_payment_method,
            }
        },
        "trial_start": subscription.trial_start,
    }
    if subscription.status == "paused":
        shown["status_details"] = {
            "paused": {
                "subscription": {"type": subscription.paused_because},
                "transitioned_at": subscription.paused_at,
                "type": "subscription",
            }
        }
    return shown


def billing_mode(subscription: Subscription) -> Json:
    """The mode that says how usage and prorations are billed."""
    flexible = {"proration_discounts": "included"} if subscription.flexible else None
    return {"flexible": flexible, "type": subscription.billing_mode}


def thresholds(subscription: Subscription) -> Json | None:
    """How much unbilled usage makes an invoice, None without a threshold."""
    if subscription.thresholds is None:
        return None
    return {
        "amount_gte": subscription.thresholds.amount_gte,
        "reset_billing_cycle_anchor": subscription.thresholds.resets_anchor,
    }


def _cancel_at(subscription: Subscription) -> int | None:
    if subscription.cancel_at is not None:
        return subscription.cancel_at
    ends = subscription.cancel_at_period_end and subscription.living
    return subscription.period_end if ends else None
