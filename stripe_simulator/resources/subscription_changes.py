"""What can be set on a subscription, when it is made and later."""

import copy

from stripe_simulator.engine import item_periods, subscription_life
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.state import State
from stripe_simulator.engine.subscribed import PauseCollection, Subscription, Thresholds
from stripe_simulator.protocol.errors import StripeRefusalError, not_imitated
from stripe_simulator.protocol.parameters import (
    EPOCH,
    EXPAND,
    EitherOr,
    Fields,
    Flag,
    Metadata,
    OneOf,
    Parameters,
    Record,
    Text,
    Whole,
    merged_metadata,
)

CHANGEABLE: Fields = {
    **EXPAND,
    "billing_thresholds": EitherOr(
        ("",),
        Record({"amount_gte": Whole(least=50), "reset_billing_cycle_anchor": Flag()}, ("amount_gte",)),
    ),
    "cancel_at": EitherOr(("", "max_period_end", "min_period_end"), EPOCH),
    "cancel_at_period_end": Flag(),
    "collection_method": OneOf(("charge_automatically", "send_invoice")),
    "days_until_due": Whole(least=0),
    "default_payment_method": Text(),
    "description": Text(longest=500),
    "metadata": Metadata(),
    "payment_behavior": OneOf(("allow_incomplete", "default_incomplete", "error_if_incomplete")),
    "proration_behavior": OneOf(("always_invoice", "create_prorations", "none")),
    "trial_end": EitherOr(("now",), EPOCH),
    "trial_settings": Record(
        {
            "end_behavior": Record(
                {"missing_payment_method": OneOf(("cancel", "create_invoice", "pause"))},
                required=("missing_payment_method",),
            )
        },
        required=("end_behavior",),
    ),
}
PAUSE_COLLECTION = EitherOr(
    ("",),
    Record(
        {"behavior": OneOf(("keep_as_draft", "mark_uncollectible", "void")), "resumes_at": EPOCH},
        required=("behavior",),
    ),
)


def apply(state: State, subscription: Subscription, wanted: Parameters, now: int) -> None:
    """Set what a call gives; all of it or, when something is refused, nothing.

    Raises
    ------
    StripeRefusalError
        What contradicts itself, lies in the past, or would prorate.
    """
    changed = copy.copy(subscription)
    ended = subscription.period_end
    _set_collection(changed, wanted)
    if "cancel_at" in wanted or "cancel_at_period_end" in wanted:
        _set_end(state, changed, wanted, now)
    if "billing_thresholds" in wanted:
        given = wanted["billing_thresholds"]
        changed.thresholds = (
            Thresholds(given["amount_gte"], given.get("reset_billing_cycle_anchor", False)) if given else None
        )
    if "pause_collection" in wanted:
        _set_pause(state, subscription, changed, wanted["pause_collection"], now)
    if "trial_settings" in wanted:
        changed.missing_payment_method = wanted["trial_settings"]["end_behavior"]["missing_payment_method"]
    if "metadata" in wanted:
        changed.metadata = merged_metadata(changed.metadata, wanted["metadata"])
    vars(subscription).update(vars(changed))
    if subscription.period_end != ended:
        subscription_life.await_period_end(state, subscription)


def _set_collection(subscription: Subscription, wanted: Parameters) -> None:
    method = wanted.get("collection_method", subscription.collection_method)
    if method == "send_invoice" and wanted.get("days_until_due", subscription.days_until_due) is None:
        raise StripeRefusalError(
            "You must specify `days_until_due` when `collection_method` is `send_invoice`.",
            param="days_until_due",
        )
    for name in ("collection_method", "days_until_due", "description"):
        if name in wanted:
            setattr(subscription, name, wanted[name])
    if method == "charge_automatically":
        subscription.days_until_due = None
    subscription.payment_method = wanted.get("default_payment_method", subscription.payment_method)


def _set_end(state: State, subscription: Subscription, wanted: Parameters, now: int) -> None:
    at = wanted.get("cancel_at")
    if at not in {None, ""} and wanted.get("cancel_at_period_end"):
        raise StripeRefusalError(
            "You cannot set `cancel_at` and `cancel_at_period_end` at the same time.", param="cancel_at"
        )
    if "cancel_at_period_end" in wanted:
        subscription.cancel_at_period_end = wanted["cancel_at_period_end"]
        subscription.canceled_at = now if wanted["cancel_at_period_end"] else None
        subscription.cancel_at = None
    if "cancel_at" in wanted:
        subscription.cancel_at_period_end = False
        subscription.cancel_at = _instant_of(subscription, at, now)
        subscription.canceled_at = now if subscription.cancel_at is not None else None
        _refuse_proration(state, subscription, wanted)
    if subscription.id in state.subscriptions:
        subscription_life.cut(subscription)


def _instant_of(subscription: Subscription, given: str | int | None, now: int) -> int | None:
    if given in {None, ""}:
        return None
    ends = [item_periods.bounds(subscription, item)[1] for item in subscription.items]
    if given == "min_period_end":
        return min(ends)
    if given == "max_period_end":
        return max(ends)
    assert isinstance(given, int)
    if given <= now:
        raise StripeRefusalError("`cancel_at` must be a future timestamp.", param="cancel_at")
    return given


def _refuse_proration(state: State, subscription: Subscription, wanted: Parameters) -> None:
    """A fee for a period that is cut would be credited, unless the call says that nothing is prorated."""
    at = subscription.cancel_at
    cuts = at is not None and subscription.period_start < at < subscription_life.natural_end(subscription)
    fixed = any(item.quantity for item in subscription.items)
    if (
        cuts
        and fixed
        and wanted.get("proration_behavior") != "none"
        and subscription.id in state.subscriptions
    ):
        raise not_imitated("prorations; pass proration_behavior=none", "proration_behavior")


def _set_pause(
    state: State, subscription: Subscription, changed: Subscription, given: Parameters | str, now: int
) -> None:
    if isinstance(given, str):
        changed.pause_collection = None
        return
    resumes_at = given.get("resumes_at")
    if resumes_at is not None and resumes_at <= now:
        raise StripeRefusalError(
            "`resumes_at` must be a future timestamp.", param="pause_collection[resumes_at]"
        )
    paused = PauseCollection(given["behavior"], resumes_at)
    changed.pause_collection = paused
    if resumes_at is not None:
        state.agenda.at(resumes_at, lambda at: _resume_collection(state, subscription, paused, at))


def _resume_collection(state: State, subscription: Subscription, paused: PauseCollection, at: int) -> None:
    if subscription.living and subscription.pause_collection is paused:
        subscription.pause_collection = None
        record(state, "customer.subscription.updated", subscription, at)
