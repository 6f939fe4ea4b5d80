"""The calls on subscriptions: POST, GET and DELETE /v1/subscriptions."""

import copy
from decimal import Decimal

from stripe_simulator.engine import invoicing, subscription_life
from stripe_simulator.engine.item_changes import add_item, change_items
from stripe_simulator.engine.objects import Subscription
from stripe_simulator.engine.periods import Cycle, configured_anchor
from stripe_simulator.engine.state import Asked, Json, Route, State, merged_metadata
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
)
from stripe_simulator.resources import customers
from stripe_simulator.resources.events import record

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


def find(state: State, identity: str, param: str = "id") -> Subscription:
    """The subscription with an id, or the refusal that there is none."""
    if identity not in state.subscriptions:
        raise no_such("subscription", identity, param)
    return state.subscriptions[identity]


def _create(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    customer = customers.find(state, wanted["customer"], "customer")
    start = _start(wanted, asked.now)
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
    _set_cycle(subscription, wanted, asked.now)
    _bill_first_period(state, subscription, wanted)
    subscription_life.begin(state, subscription, asked)
    return subscription_life.rendered(state, subscription)


def _start(wanted: Parameters, now: int) -> int:
    start: int = wanted.get("backdate_start_date", now)
    if start > now:
        raise StripeRefusalError("backdate_start_date must be in the past.", param="backdate_start_date")
    anchored = "billing_cycle_anchor" in wanted or "billing_cycle_anchor_config" in wanted
    if "backdate_start_date" in wanted and not anchored:
        raise not_imitated("backdate_start_date without a billing cycle anchor", "backdate_start_date")
    return start


def _set_cycle(subscription: Subscription, wanted: Parameters, now: int) -> None:
    cycle, config = subscription.cycle, wanted.get("billing_cycle_anchor_config")
    if "billing_cycle_anchor" in wanted and config is not None:
        raise StripeRefusalError(
            "You may only specify one of these parameters: billing_cycle_anchor, "
            "billing_cycle_anchor_config.",
            param="billing_cycle_anchor_config",
        )
    if config is not None:
        if cycle.interval != "month":
            raise not_imitated(
                "billing_cycle_anchor_config without monthly prices", "billing_cycle_anchor_config"
            )
        parts = {name: config.get(name) for name in ("hour", "minute", "second")}
        anchor = configured_anchor(now, config["day_of_month"], **parts)
        subscription.anchor_config = {"day_of_month": config["day_of_month"], "month": None, **parts}
        cycle = Cycle(anchor, cycle.interval, cycle.count, config["day_of_month"])
    elif "billing_cycle_anchor" in wanted:
        anchor = wanted["billing_cycle_anchor"]
        if anchor < now:
            raise StripeRefusalError(
                "billing_cycle_anchor must be a timestamp in the future.", param="billing_cycle_anchor"
            )
        if anchor > Cycle(now, cycle.interval, cycle.count).boundary(1):
            raise StripeRefusalError(
                "billing_cycle_anchor cannot be later than next natural billing date.",
                param="billing_cycle_anchor",
            )
        cycle = Cycle(anchor, cycle.interval, cycle.count)
    subscription.cycle = cycle
    subscription.period_end = cycle.anchor if cycle.anchor > subscription.start else cycle.boundary(1)


def _bill_first_period(state: State, subscription: Subscription, wanted: Parameters) -> None:
    """Invoice the fixed prices of the first period, or of the stub before the anchor, at once.

    Without proration a stub is free; metered prices have nothing to bill yet.
    """
    start, until = subscription.period_start, subscription.period_end
    share = Decimal(1)
    if until == subscription.cycle.anchor:
        if wanted.get("proration_behavior") == "none":
            return
        full_start = subscription.cycle.boundary(-1)
        share = Decimal(until - start) / Decimal(until - full_start)
    licensed = list(subscription_life.licensed_parts(state, subscription, start, until, share))
    if licensed:
        state.subscriptions[subscription.id] = subscription
        invoice = invoicing.open_draft(
            state, subscription, "subscription_create", subscription.created, licensed, []
        )
        invoicing.finalize(state, invoice, subscription.created)


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
    return subscription_life.rendered(state, find(state, asked.id))


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
    answer = subscription_life.rendered(state, subscription)
    record(state, "customer.subscription.updated", answer, asked.now, asked)
    return answer


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
    return subscription_life.rendered(state, subscription)


def _find_active(state: State, identity: str) -> Subscription:
    subscription = find(state, identity)
    if not subscription.active:
        raise no_such("subscription", identity)
    return subscription


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    status = wanted.get("status", "active")
    found = [
        subscription_life.rendered(state, subscription)
        for subscription in reversed(state.subscriptions.values())
        if wanted.get("customer", subscription.customer) == subscription.customer
        and (status == "all" or (status == "active") == subscription.active)
        and wanted.get("price") in {None, *(item.price for item in subscription.items)}
        and within(subscription.created, wanted.get("created", {}))
    ]
    return page(found, wanted, "/v1/subscriptions")


def _list_items(state: State, asked: Asked) -> Json:
    subscription = find(state, asked.parameters["subscription"], "subscription")
    items = subscription_life.rendered(state, subscription)["items"]["data"]
    return page(items, asked.parameters, "/v1/subscription_items")


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
ROUTES = (
    Route("POST", "/v1/subscriptions", _NEW, _create),
    Route("GET", "/v1/subscriptions", _LIST, _list),
    Route("GET", "/v1/subscriptions/{id}", Record(EXPAND), _retrieve),
    Route(
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
    Route("DELETE", "/v1/subscriptions/{id}", _CANCEL, _cancel),
    Route(
        "GET",
        "/v1/subscription_items",
        Record({**PAGING, "subscription": Text()}, required=("subscription",)),
        _list_items,
    ),
)
