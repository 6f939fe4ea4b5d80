"""Subscriptions: POST, GET and DELETE /v1/subscriptions."""

import copy

from stripe_simulator.engine import (
    billed_parts,
    invoicing,
    item_periods,
    lookup,
    payments,
    removed_prices,
    subscription_life,
)
from stripe_simulator.engine.ending import end
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.item_changes import add_item, change_items
from stripe_simulator.engine.periods import DAY, Cycle
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.engine.subscribed import Subscription
from stripe_simulator.protocol.errors import StripeRefusalError, not_imitated
from stripe_simulator.protocol.pagination import page, within
from stripe_simulator.protocol.parameters import (
    EPOCH,
    EXPAND,
    PAGING,
    SPAN,
    Flag,
    Metadata,
    OneOf,
    Parameters,
    Record,
    Records,
    Text,
    Whole,
)
from stripe_simulator.resources import subscription_changes
from stripe_simulator.resources.endpoint import Endpoint
from stripe_simulator.resources.refused_payments import refused_payment
from stripe_simulator.resources.subscription_anchor import set_cycle, start_of
from stripe_simulator.resources.subscription_json import rendered

_NEW_ITEM = Record({"price": Text(), "quantity": Whole(least=0), "metadata": Metadata()}, required=("price",))
_NEW = Record(
    {
        **subscription_changes.CHANGEABLE,
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
        "trial_period_days": Whole(least=1, most=730),
    },
    required=("customer", "items"),
)
_CHANGED_ITEM = Record(
    {"id": Text(), "price": Text(), "quantity": Whole(least=0), "deleted": Flag(), "metadata": Metadata()}
)


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
    set_cycle(subscription, wanted, asked.now)
    _begin_trial(subscription, wanted, asked.now)
    for item in subscription.items:
        item_periods.begin(state, subscription, item, start)
    subscription_changes.apply(state, subscription, wanted, asked.now)
    subscription_life.cut(subscription)
    behavior = wanted.get("payment_behavior", "allow_incomplete")
    if behavior == "error_if_incomplete":
        _refuse_incomplete(state, subscription)
    subscription_life.bill_first_period(
        state,
        subscription,
        prorates=wanted.get("proration_behavior") != "none",
        attempts=behavior != "default_incomplete",
    )
    subscription_life.begin(state, subscription, asked)
    return rendered(state, subscription)


def _begin_trial(subscription: Subscription, wanted: Parameters, now: int) -> None:
    """Make the first period a trial, with the billing cycle anchored at its end."""
    if "trial_end" in wanted and "trial_period_days" in wanted:
        raise StripeRefusalError(
            "You may only specify one of these parameters: trial_end, trial_period_days.", param="trial_end"
        )
    until = wanted.get("trial_end")
    if "trial_period_days" in wanted:
        until = now + wanted["trial_period_days"] * DAY
    if until in {None, "now"}:
        return
    assert isinstance(until, int)
    if until <= now:
        raise StripeRefusalError("Invalid timestamp: must be in the future.", param="trial_end")
    if subscription.start != now or subscription.cycle.anchor != now:
        raise not_imitated("a trial with a backdated start or another anchor", "trial_end")
    cycle = subscription.cycle
    subscription.status = "trialing"
    subscription.trial_start, subscription.trial_end = now, until
    subscription.cycle = Cycle(until, cycle.interval, cycle.count)
    subscription.period_end = until


def _refuse_incomplete(state: State, subscription: Subscription) -> None:
    method = payments.payment_method(state, subscription.customer, subscription)
    charged = subscription.collection_method == "charge_automatically" and subscription.status == "active"
    if charged and any(item.quantity for item in subscription.items) and not payments.is_good(method):
        raise refused_payment(method)


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(state, lookup.subscription(state, asked.id))


def _update(state: State, asked: Asked) -> Json:
    subscription = lookup.living_subscription(state, asked.id)
    wanted = asked.parameters
    _refuse_what_a_schedule_governs(subscription, wanted)
    _refuse_prorations(state, subscription, wanted)
    items_before = copy.deepcopy(subscription.items)
    try:
        change_items(state, subscription, wanted.get("items", []), asked.now)
        subscription_changes.apply(state, subscription, wanted, asked.now)
    except StripeRefusalError:
        subscription.items = items_before
        raise
    removed_prices.bill(state, subscription, items_before, asked)
    if "trial_end" in wanted:
        subscription_life.end_trial(state, subscription, asked.now, asked)
    elif wanted.get("billing_cycle_anchor") == "now":
        subscription_life.anchor_anew(state, subscription, asked.now)
    record(state, "customer.subscription.updated", subscription, asked.now, asked)
    return rendered(state, subscription)


def _refuse_prorations(state: State, subscription: Subscription, wanted: Parameters) -> None:
    """Refuse what would credit or charge parts of a fee; metered prices are exchanged without."""
    if "trial_end" in wanted and (subscription.status != "trialing" or wanted["trial_end"] != "now"):
        raise not_imitated("a trial that begins or moves later; `now` ends one", "trial_end")
    if wanted.get("proration_behavior") == "none":
        return
    if any(not _is_metered(state, subscription, change) for change in wanted.get("items", [])):
        raise not_imitated(
            "changing fixed prices with proration; pass proration_behavior=none", "proration_behavior"
        )
    if wanted.get("billing_cycle_anchor") == "now":
        raise not_imitated(
            "a new billing cycle anchor with proration; pass proration_behavior=none", "proration_behavior"
        )


def _is_metered(state: State, subscription: Subscription, change: Parameters) -> bool:
    """Whether a change of items touches metered prices alone, so far as they are known."""
    present = {item.id: item.price for item in subscription.items}
    prices = [change.get("price"), present.get(change.get("id", ""))]
    known = [price for price in prices if price in state.prices]
    return all(billed_parts.meter_of(state, str(price)) is not None for price in known)


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
    subscription = lookup.living_subscription(state, asked.id)
    cancel(
        state,
        subscription,
        asked,
        invoices=asked.parameters.get("invoice_now", False),
        prorates=asked.parameters.get("prorate", False),
    )
    return rendered(state, subscription)


def cancel(state: State, subscription: Subscription, asked: Asked, *, invoices: bool, prorates: bool) -> None:
    """End a subscription at once, with or without a final invoice of what was used."""
    if prorates:
        raise not_imitated("prorations; pass prorate=false", "prorate")
    if invoices:
        metered = list(billed_parts.metered(state, subscription, asked.now))
        draft = invoicing.Draft("subscription_update", (), metered, state.settings.cancellation_invoice)
        invoicing.make(state, subscription, asked.now, draft)
    end(state, subscription, asked.now, asked)


def _list(state: State, asked: Asked) -> Json:
    """Subscriptions newest first; unless a status is asked for, those that are not canceled."""
    wanted = asked.parameters
    status = wanted.get("status")
    found = [
        rendered(state, subscription)
        for subscription in reversed(state.subscriptions.values())
        if wanted.get("customer", subscription.customer) == subscription.customer
        and _has_status(subscription, status)
        and wanted.get("price") in {None, *(item.price for item in subscription.items)}
        and within(subscription.created, wanted.get("created", {}))
    ]
    return page(found, wanted, "/v1/subscriptions")


def _has_status(subscription: Subscription, wanted: str | None) -> bool:
    if wanted in {None, "all"}:
        return wanted == "all" or subscription.status != "canceled"
    ended = subscription.status in {"canceled", "incomplete_expired"}
    return ended if wanted == "ended" else subscription.status == wanted


_LIST = Record(
    {
        **PAGING,
        "created": SPAN,
        "customer": Text(),
        "price": Text(),
        "status": OneOf(
            (
                "active",
                "all",
                "canceled",
                "ended",
                "incomplete",
                "incomplete_expired",
                "past_due",
                "paused",
                "trialing",
                "unpaid",
            )
        ),
    }
)
_CANCEL = Record({**EXPAND, "invoice_now": Flag(), "prorate": Flag()})
_ONE = "/v1/subscriptions/{id}"
ENDPOINTS = (
    Endpoint("POST", "/v1/subscriptions", _NEW, _create),
    Endpoint("GET", "/v1/subscriptions", _LIST, _list),
    Endpoint("GET", _ONE, Record(EXPAND), _retrieve),
    Endpoint(
        "POST",
        _ONE,
        Record(
            {
                **subscription_changes.CHANGEABLE,
                "billing_cycle_anchor": OneOf(("now", "unchanged")),
                "items": Records(_CHANGED_ITEM, most=20),
                "pause_collection": subscription_changes.PAUSE_COLLECTION,
            }
        ),
        _update,
    ),
    Endpoint("DELETE", _ONE, _CANCEL, _cancel),
)
