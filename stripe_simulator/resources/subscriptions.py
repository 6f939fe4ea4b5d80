"""Subscriptions: POST, GET and DELETE /v1/subscriptions."""

import copy

from stripe_simulator.engine import invoicing, lookup, subscription_life
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.item_changes import add_item, change_items
from stripe_simulator.engine.objects import Subscription
from stripe_simulator.engine.periods import Cycle
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import StripeRefusalError, no_such, not_imitated
from stripe_simulator.protocol.pagination import page, within
from stripe_simulator.protocol.parameters import (
    EPOCH,
    EXPAND,
    PAGING,
    SPAN,
    Fields,
    Flag,
    Metadata,
    OneOf,
    Parameters,
    Record,
    Records,
    Text,
    Whole,
    merged_metadata,
)
from stripe_simulator.resources import subscription_items
from stripe_simulator.resources.endpoint import Endpoint
from stripe_simulator.resources.subscription_anchor import set_cycle, start_of

_CHANGEABLE: Fields = {
    **EXPAND,
    "cancel_at_period_end": Flag(),
    "collection_method": OneOf(("charge_automatically", "send_invoice")),
    "days_until_due": Whole(least=0),
    "description": Text(longest=500),
    "metadata": Metadata(),
    "proration_behavior": OneOf(("always_invoice", "create_prorations", "none")),
}
_NEW_ITEM = Record({"price": Text(), "quantity": Whole(least=0), "metadata": Metadata()}, required=("price",))
_NEW = Record(
    {
        **_CHANGEABLE,
        "backdate_start_date": EPOCH,
        "billing_cycle_anchor": EPOCH,
        "billing_cycle_anchor_config": Record(
            {
                "day_of_month": Whole(1, 31),
                "hour": Whole(0, 23),
                "minute": Whole(0, 59),
                "second": Whole(0, 59),
            },
            required=("day_of_month",),
        ),
        "billing_mode": Record({"type": OneOf(("classic", "flexible"))}, required=("type",)),
        "currency": Text(longest=3),
        "customer": Text(),
        "items": Records(_NEW_ITEM, most=20),
    },
    required=("customer", "items"),
)
_CHANGED_ITEM = Record(
    {"id": Text(), "price": Text(), "quantity": Whole(least=0), "deleted": Flag(), "metadata": Metadata()}
)


def rendered(state: State, subscription: Subscription) -> Json:
    """A subscription as Stripe answers it; the current period is on its items."""
    items = [subscription_items.rendered(state, subscription, item) for item in subscription.items]
    return {
        "id": subscription.id,
        "object": "subscription",
        "application": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": subscription.cycle.anchor,
        "billing_cycle_anchor_config": subscription.anchor_config,
        "billing_mode": {"type": subscription.billing_mode},
        "billing_thresholds": None,
        "cancel_at": subscription.period_end
        if subscription.cancel_at_period_end and subscription.active
        else None,
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "canceled_at": subscription.canceled_at,
        "collection_method": subscription.collection_method,
        "created": subscription.created,
        "currency": subscription.currency,
        "customer": subscription.customer,
        "days_until_due": subscription.days_until_due,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": subscription.description,
        "discounts": [],
        "ended_at": subscription.ended_at,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {
            "object": "list",
            "data": items,
            "has_more": False,
            "total_count": len(items),
            "url": f"/v1/subscription_items?subscription={subscription.id}",
        },
        "latest_invoice": subscription.latest_invoice,
        "livemode": False,
        "metadata": subscription.metadata,
        "next_pending_invoice_item_invoice": None,
        "pause_collection": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": subscription.schedule,
        "start_date": subscription.start,
        "status": "active" if subscription.active else "canceled",
        "test_clock": None,
        "trial_end": None,
        "trial_start": None,
    }


def _create(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    customer = lookup.customer(state, wanted["customer"], "customer")
    start = start_of(wanted, asked.now)
    subscription = Subscription(
        id=state.new_id("sub"),
        customer=customer.id,
        created=asked.now,
        start=start,
        cycle=Cycle(start, "month", 1),
        period_start=start,
        period_end=start,
        items=[],
        currency="",
        billing_mode=wanted.get("billing_mode", {}).get("type", "flexible"),
        collection_method="charge_automatically",
        days_until_due=None,
    )
    if not wanted["items"]:
        raise StripeRefusalError("A subscription must have at least one item.", param="items")
    for place, given in enumerate(wanted["items"]):
        add_item(state, subscription, given, asked.now, start, f"items[{place}]")
    if wanted.get("currency", subscription.currency) != subscription.currency:
        raise StripeRefusalError("The prices' currency differs from `currency`.", param="currency")
    _apply(subscription, wanted)
    set_cycle(subscription, wanted, asked.now)
    subscription_life.bill_first_period(
        state, subscription, prorates=wanted.get("proration_behavior") != "none"
    )
    subscription_life.begin(state, subscription, asked)
    return rendered(state, subscription)


def _apply(subscription: Subscription, wanted: Parameters) -> None:
    method = wanted.get("collection_method", subscription.collection_method)
    if method == "send_invoice" and wanted.get("days_until_due", subscription.days_until_due) is None:
        raise StripeRefusalError(
            "You must specify `days_until_due` when `collection_method` is `send_invoice`.",
            param="days_until_due",
        )
    for name in ("cancel_at_period_end", "collection_method", "days_until_due", "description"):
        if name in wanted:
            setattr(subscription, name, wanted[name])
    if "metadata" in wanted:
        subscription.metadata = merged_metadata(subscription.metadata, wanted["metadata"])


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(state, lookup.subscription(state, asked.id))


def _update(state: State, asked: Asked) -> Json:
    subscription = _find_active(state, asked.id)
    changes = asked.parameters.get("items")
    _refuse_what_a_schedule_governs(subscription, asked.parameters)
    if changes and asked.parameters.get("proration_behavior") != "none":
        raise not_imitated(
            "changing items with proration; pass proration_behavior=none", "proration_behavior"
        )
    anchors_anew = asked.parameters.get("billing_cycle_anchor") == "now"
    if anchors_anew and asked.parameters.get("proration_behavior") != "none":
        raise not_imitated(
            "a new billing cycle anchor with proration; pass proration_behavior=none", "proration_behavior"
        )
    items_before = copy.deepcopy(subscription.items)
    try:
        change_items(state, subscription, changes or [], asked.now)
        _apply(subscription, asked.parameters)
    except StripeRefusalError:
        subscription.items = items_before
        raise
    if anchors_anew:
        subscription_life.anchor_anew(state, subscription, asked.now)
    record(state, "customer.subscription.updated", subscription, asked.now, asked)
    return rendered(state, subscription)


def _refuse_what_a_schedule_governs(subscription: Subscription, wanted: Parameters) -> None:
    if subscription.schedule is None:
        return
    if "cancel_at_period_end" in wanted:
        raise StripeRefusalError(
            f"The subscription is managed by the subscription schedule `{subscription.schedule}`, and "
            "updating any cancelation behavior directly is not allowed. Please update the schedule instead.",
            param="cancel_at_period_end",
        )
    if wanted.get("items"):
        raise not_imitated("changing items of a subscription that a schedule governs", "items")


def _cancel(state: State, asked: Asked) -> Json:
    """End at once. Only ``invoice_now`` bills what was used and not yet billed; without it that is lost."""
    subscription = _find_active(state, asked.id)
    if asked.parameters.get("prorate"):
        raise not_imitated("prorate", "prorate")
    if asked.parameters.get("invoice_now"):
        metered = list(subscription_life.metered_parts(state, subscription, asked.now))
        invoicing.open_draft(state, subscription, "subscription_update", asked.now, [], metered)
    subscription_life.end(state, subscription, asked.now, asked)
    return rendered(state, subscription)


def _find_active(state: State, identity: str) -> Subscription:
    subscription = lookup.subscription(state, identity)
    if not subscription.active:
        raise no_such("subscription", identity)
    return subscription


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    status = wanted.get("status", "active")
    found = [
        rendered(state, subscription)
        for subscription in reversed(state.subscriptions.values())
        if wanted.get("customer", subscription.customer) == subscription.customer
        and (status == "all" or (status == "active") == subscription.active)
        and wanted.get("price") in {None, *(item.price for item in subscription.items)}
        and within(subscription.created, wanted.get("created", {}))
    ]
    return page(found, wanted, "/v1/subscriptions")


_LIST = Record(
    {
        **PAGING,
        "created": SPAN,
        "customer": Text(),
        "price": Text(),
        "status": OneOf(("active", "canceled", "all")),
    }
)
_CANCEL = Record({**EXPAND, "invoice_now": Flag(), "prorate": Flag()})
ENDPOINTS = (
    Endpoint("POST", "/v1/subscriptions", _NEW, _create),
    Endpoint("GET", "/v1/subscriptions", _LIST, _list),
    Endpoint("GET", "/v1/subscriptions/{id}", Record(EXPAND), _retrieve),
    Endpoint(
        "POST",
        "/v1/subscriptions/{id}",
        Record(
            {
                **_CHANGEABLE,
                "billing_cycle_anchor": OneOf(("now", "unchanged")),
                "items": Records(_CHANGED_ITEM, most=20),
            }
        ),
        _update,
    ),
    Endpoint("DELETE", "/v1/subscriptions/{id}", _CANCEL, _cancel),
)
