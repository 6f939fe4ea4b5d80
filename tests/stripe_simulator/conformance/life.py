"""A whole life in the simulator: every call that it knows, and every end of an invoice and a subscription."""

from collections.abc import Callable
from typing import Any

import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, loose

MONTH = 31 * DAY
_GRACE = HOUR


def live(client: stripe.StripeClient, shop: Shop, clock: Clock, settings: Callable[..., Any]) -> None:
    """Make everything once, in every state that it can be in."""
    _catalogue(client, shop)
    _refused_events(client, shop)
    subscription = _first_period(client, shop, clock)
    _periods(client, shop, clock, subscription)
    _statuses(client, shop, clock, settings)
    _one_off(client, shop)
    _schedules(client, shop)
    _reads(client, shop)
    client.v1.customers.delete(shop.customer)
    client.v1.customers.retrieve(shop.customer)


def _catalogue(client: stripe.StripeClient, shop: Shop) -> None:
    made = client.v1.products.create({"name": "Extra", "description": "More", "unit_label": "GB"})
    client.v1.products.update(made.id, {"name": "Extra 2"})
    client.v1.products.retrieve(made.id)
    client.v1.products.list()
    once = client.v1.prices.create({"currency": "usd", "product": made.id, "unit_amount": 5})
    client.v1.prices.update(once.id, {"nickname": "once"})
    client.v1.prices.retrieve(shop.metered_price, {"expand": ["tiers"]})
    client.v1.prices.list({"expand": ["data.tiers"]})
    client.v1.customers.update(
        shop.customer, {"phone": "1", "invoice_settings": {"default_payment_method": "pm_card_visa"}}
    )
    client.v1.customers.retrieve(shop.customer)
    client.v1.customers.list()
    meter = client.v1.billing.meters.create(
        {"display_name": "Count", "event_name": "count", "default_aggregation": {"formula": "count"}}
    )
    client.v1.billing.meters.update(meter.id, {"display_name": "Counted"})
    client.v1.billing.meters.deactivate(meter.id)
    client.v1.billing.meters.reactivate(meter.id)
    client.v1.billing.meters.retrieve(meter.id)
    client.v1.billing.meters.list()


def _refused_events(client: stripe.StripeClient, shop: Shop) -> None:
    shop.use("1e3", key="k1")
    payload = {"stripe_customer_id": shop.customer, "value": "1"}
    client.v1.billing.meter_events.create({"event_name": "none", "payload": payload})
    for event in client.v2.core.events.list().data:
        client.v2.core.events.retrieve(event.id)


def _first_period(client: stripe.StripeClient, shop: Shop, clock: Clock) -> stripe.Subscription:
    """A backdated subscription with a threshold, an exchanged price and an item with a period of its own."""
    shop.use("15", timestamp=NOON)
    clock.set(NOON + HOUR)
    yearly = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "Archive"},
            "unit_amount": 12000,
            "recurring": {"interval": "year"},
        }
    )
    prices = [shop.fee_price, shop.metered_price, yearly.id]
    subscription = shop.subscribe(
        items=[{"price": price} for price in prices],
        backdate_start_date=NOON,
        billing_cycle_anchor_config={"day_of_month": 10, "hour": 12, "minute": 0, "second": 0},
        billing_thresholds={"amount_gte": 1000},
        default_payment_method="pm_card_visa",
        description="All of it",
        metadata={"customer_id": "acme"},
    )
    client.v1.subscription_items.list({"subscription": subscription.id})
    clock.set(NOON + 3 * HOUR)
    shop.use("300", timestamp=NOON + 2 * HOUR)
    clock.advance(_GRACE)
    other = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "MQTT traffic"},
            "unit_amount": 7,
            "recurring": {"interval": "month", "usage_type": "metered", "meter": shop.meter},
        }
    )
    shop.use("3.5", timestamp=NOON + 3 * HOUR)
    metered = subscription["items"].data[1].id
    client.v1.subscriptions.update(
        subscription.id, loose({"items": [{"id": metered, "price": other.id}], "billing_thresholds": ""})
    )
    client.v1.invoice_items.list({"customer": shop.customer, "pending": True})
    client.v1.invoices.create_preview({"subscription": subscription.id})
    return subscription


def _periods(
    client: stripe.StripeClient, shop: Shop, clock: Clock, subscription: stripe.Subscription
) -> None:
    """One invoice for each end that there is: paid, void, uncollectible, credited, paused, past due."""
    clock.set(NOON + MONTH)
    draft = client.v1.invoices.list().data[0]
    client.v1.invoices.update(draft.id, {"description": "March", "metadata": {"period": "03"}})
    client.v1.invoices.finalize_invoice(draft.id)
    client.v1.credit_notes.create({"invoice": draft.id, "amount": 100, "memo": "sorry"})
    voided = client.v1.credit_notes.create(
        {"invoice": draft.id, "amount": 100, "reason": "duplicate", "metadata": {"why": "x"}}
    )
    client.v1.credit_notes.void_credit_note(voided.id)
    client.v1.invoices.pay(draft.id, {"paid_out_of_band": True})
    client.v1.credit_notes.create({"invoice": draft.id, "amount": 50, "out_of_band_amount": 50})
    for outcome in (client.v1.invoices.void_invoice, client.v1.invoices.mark_uncollectible):
        clock.advance(MONTH)
        outcome(client.v1.invoices.list({"status": "open"}).data[0].id)
    for behavior in ("keep_as_draft", "mark_uncollectible", "void"):
        pause = {"behavior": behavior, "resumes_at": clock.now() + 2 * MONTH}
        client.v1.subscriptions.update(subscription.id, loose({"pause_collection": pause}))
        clock.advance(MONTH)
    client.v1.subscriptions.update(subscription.id, {"pause_collection": ""})
    clock.advance(100 * DAY)
    client.v1.subscriptions.retrieve(subscription.id)


def _statuses(client: stripe.StripeClient, shop: Shop, clock: Clock, settings: Callable[..., Any]) -> None:
    trial = shop.subscribe(
        trial_period_days=7, trial_settings=_pausing(), collection_method="charge_automatically"
    )
    client.v1.subscriptions.update(trial.id, {"trial_end": "now"})
    client.v1.subscriptions.pause(trial.id)
    client.v1.subscriptions.resume(trial.id)
    client.v1.subscriptions.update(trial.id, {"cancel_at": clock.now() + DAY, "proration_behavior": "none"})
    clock.advance(2 * DAY)
    nobody = client.v1.customers.create({"name": "Nobody"})
    charged = {"collection_method": "charge_automatically", "customer": nobody.id}
    shop.subscribe(**charged)
    paused = shop.subscribe(trial_period_days=1, trial_settings=_pausing(), **charged)
    clock.advance(2 * DAY)
    client.v1.subscriptions.retrieve(paused.id)
    settings({"after_retries": "unpaid"})
    shop.subscribe(days_until_due=1, collection_method="send_invoice")
    clock.advance(60 * DAY)
    client.v1.subscriptions.list({"status": "all"})
    client.v1.subscriptions.list({"status": "ended"})


def _pausing() -> dict[str, Any]:
    return {"end_behavior": {"missing_payment_method": "pause"}}


def _one_off(client: stripe.StripeClient, shop: Shop) -> None:
    """Late usage: items that are credits too, on an invoice of their own; one is deleted, a draft as well."""
    item = client.v1.invoice_items.create(
        loose(
            {
                "customer": shop.customer,
                "currency": "usd",
                "quantity_decimal": "2.5",
                "unit_amount_decimal": "10",
                "metadata": {"late": "x"},
            }
        )
    )
    client.v1.invoice_items.retrieve(item.id)
    client.v1.invoice_items.create({"customer": shop.customer, "currency": "usd", "amount": -5})
    gone = client.v1.invoice_items.create({"customer": shop.customer, "currency": "usd", "amount": 7})
    client.v1.invoice_items.delete(gone.id)
    included = {"customer": shop.customer, "pending_invoice_items_behavior": "include", "auto_advance": True}
    client.v1.invoices.create(loose(included))
    draft = client.v1.invoices.create({"customer": shop.customer})
    client.v1.invoices.delete(draft.id)


def _schedules(client: stripe.StripeClient, shop: Shop) -> None:
    subscription = shop.subscribe()
    schedule = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    phase = schedule.phases[0]
    items = [{"price": shop.fee_price}, {"price": shop.metered_price}]
    phases = [
        {"items": items, "start_date": phase.start_date, "end_date": phase.end_date},
        {"items": items, "duration": {"interval": "month"}, "proration_behavior": "none"},
    ]
    client.v1.subscription_schedules.update(schedule.id, loose({"phases": phases}))
    client.v1.subscription_schedules.retrieve(schedule.id)
    client.v1.subscription_schedules.release(schedule.id)
    again = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    client.v1.subscription_schedules.cancel(again.id, {"prorate": False})
    client.v1.subscription_schedules.list()
    anew = shop.subscribe()
    client.v1.subscriptions.update(
        anew.id, loose({"billing_cycle_anchor": "now", "proration_behavior": "none"})
    )
    client.v1.subscriptions.update(anew.id, {"cancel_at_period_end": True})
    client.v1.subscriptions.cancel(anew.id, {"invoice_now": True})


def _reads(client: stripe.StripeClient, shop: Shop) -> None:
    """Every list to its end, and one of each by its id."""
    invoices = list(client.v1.invoices.list({"limit": 100}).auto_paging_iter())
    client.v1.invoices.retrieve(invoices[0].id, {"expand": ["customer", "parent.subscription_details"]})
    client.v1.invoices.line_items.list(invoices[0].id)
    notes = client.v1.credit_notes.list().data
    client.v1.credit_notes.retrieve(notes[0].id)
    span = {"customer": shop.customer, "start_time": NOON, "end_time": NOON + DAY}
    client.v1.billing.meters.event_summaries.list(
        shop.meter, loose({**span, "value_grouping_window": "hour"})
    )
    events = list(client.v1.events.list({"limit": 100}).auto_paging_iter())
    client.v1.events.retrieve(events[0].id)
