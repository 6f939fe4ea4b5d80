"""Checks of which usage is on which invoice, where something changes in the middle of a period."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from metering.core.exact import plain
from ops.probe.check import Check, Finding, ProbeVerdict, held, not_counted
from ops.probe.sandbox import HOUR_SECONDS, Sandbox

_USED = "7"
_MORE = "9"
_THRESHOLD = 1_000
_OVER_THRESHOLD = "120"


def _used_before(sandbox: Sandbox) -> tuple[Sandbox, Any] | None:
    """A backdated subscription of a fresh customer whose usage was counted before it was made."""
    fresh = sandbox.other()
    start = fresh.now - fresh.now % HOUR_SECONDS - HOUR_SECONDS
    if not fresh.counted(_USED, start):
        return None
    anchor = {
        "day_of_month": datetime.fromtimestamp(start, UTC).day,
        "hour": start // HOUR_SECONDS % 24,
        "minute": 0,
        "second": 0,
    }
    return fresh, fresh.subscribe(backdate_start_date=start, billing_cycle_anchor_config=anchor)


def _used_since(sandbox: Sandbox, value: str = _USED, **more: Any) -> tuple[Sandbox, Any] | None:
    """A subscription of a fresh customer that has begun, and usage that is counted."""
    fresh = sandbox.other()
    subscription = fresh.subscribe(**more)
    fresh.pass_second()
    return (fresh, subscription) if fresh.counted(value, subscription["start_date"]) else None


def _quantity(sandbox: Sandbox, invoice: Any) -> str:
    """What of the probe's meter is on an invoice."""
    return plain(sandbox.quantity(invoice.lines.data))


def _latest(sandbox: Sandbox, subscription: Any) -> Any:
    again = sandbox.client.v1.subscriptions.retrieve(subscription["id"])
    return sandbox.client.v1.invoices.retrieve(str(again.latest_invoice))


def _preview(sandbox: Sandbox, subscription: Any) -> Any:
    return sandbox.client.v1.invoices.create_preview({"subscription": subscription["id"]})


def _backdated(sandbox: Sandbox) -> Finding:
    made = _used_before(sandbox)
    if made is None:
        return not_counted(sandbox)
    fresh, subscription = made
    first = _latest(sandbox, subscription)
    on_first = _quantity(fresh, first)
    on_cycle = _quantity(fresh, _preview(sandbox, subscription))
    seen = f"{_USED} used before: {on_first} on the first ({first.status}), {on_cycle} on the cycle's"
    return held((first.status, on_first, on_cycle) == ("draft", _USED, "0"), seen)


def _draft_follows(sandbox: Sandbox) -> Finding:
    made = _used_before(sandbox)
    if made is None:
        return not_counted(sandbox)
    fresh, subscription = made
    draft = _latest(sandbox, subscription)
    if draft.status != "draft":
        return ProbeVerdict.UNCLEAR, f"the first invoice is {draft.status}"
    if not fresh.counted(_MORE, subscription["start_date"]):
        return not_counted(sandbox)
    read = _quantity(fresh, sandbox.client.v1.invoices.retrieve(draft.id))
    final = _quantity(fresh, sandbox.client.v1.invoices.finalize_invoice(draft.id))
    return held(
        (read, final) == (_USED, _MORE), f"{_USED}, then {_MORE} reported: {read} read, {final} final"
    )


def _exchanged(sandbox: Sandbox, behavior: str) -> Finding:
    made = _used_since(sandbox)
    if made is None:
        return not_counted(sandbox)
    fresh, subscription = made
    other = sandbox.client.v1.prices.create(sandbox.metered(tiers=[{"up_to": "inf", "unit_amount": 20}]))
    [item] = [one for one in subscription["items"]["data"] if one["price"]["id"] == sandbox.metered_price]
    change: Any = {"items": [{"id": item["id"], "price": other.id}], "proration_behavior": behavior}
    sandbox.client.v1.subscriptions.update(subscription["id"], change)
    waiting = sandbox.client.v1.invoice_items.list({"customer": fresh.customer, "pending": True}).data
    billed = fresh.quantity(waiting)
    wanted = Decimal(_USED) if behavior == "create_prorations" else 0
    return held(billed == wanted, f"{_USED} used under the old price: {plain(billed)} on invoice items")


def _exchanged_with(sandbox: Sandbox) -> Finding:
    return _exchanged(sandbox, "create_prorations")


def _exchanged_without(sandbox: Sandbox) -> Finding:
    return _exchanged(sandbox, "none")


def _threshold(sandbox: Sandbox) -> Finding:
    made = _used_since(sandbox, _OVER_THRESHOLD, billing_thresholds={"amount_gte": _THRESHOLD})
    if made is None:
        return not_counted(sandbox)
    fresh, subscription = made
    good, invoice = sandbox.until(
        lambda: _latest(sandbox, subscription), lambda one: one.billing_reason == "subscription_threshold"
    )
    if not good:
        return ProbeVerdict.UNCLEAR, f"no invoice of a threshold within {sandbox.wait_s} s"
    again: Any = sandbox.client.v1.subscriptions.retrieve(subscription["id"])
    before, after = (one["items"]["data"][0]["current_period_start"] for one in (subscription, again))
    on_it = _quantity(fresh, invoice)
    seen = f"{invoice.status}, {on_it} of {_OVER_THRESHOLD} on it, the period goes on: {before == after}"
    return held((invoice.status, on_it, before) == ("draft", _OVER_THRESHOLD, after), seen)


def _anchored_anew(sandbox: Sandbox) -> Finding:
    made = _used_since(sandbox)
    if made is None:
        return not_counted(sandbox)
    fresh, subscription = made
    change: Any = {"billing_cycle_anchor": "now", "proration_behavior": "none"}
    sandbox.client.v1.subscriptions.update(subscription["id"], change)
    return _final_at_once(fresh, _latest(sandbox, subscription))


def _cancelled(sandbox: Sandbox) -> Finding:
    made = _used_since(sandbox)
    if made is None:
        return not_counted(sandbox)
    fresh, subscription = made
    sandbox.client.v1.subscriptions.cancel(subscription["id"], {"invoice_now": True})
    return _final_at_once(fresh, _latest(sandbox, subscription))


def _final_at_once(sandbox: Sandbox, invoice: Any) -> Finding:
    on_it = _quantity(sandbox, invoice)
    at = invoice.automatically_finalizes_at
    seen = (
        f"{on_it} of {_USED} on it, {invoice.status}, auto_advance {invoice.auto_advance}, finalised at {at}"
    )
    return held(on_it == _USED and invoice.status != "draft", seen)


def _cancelled_without(sandbox: Sandbox) -> Finding:
    made = _used_since(sandbox)
    if made is None:
        return not_counted(sandbox)
    _, subscription = made
    sandbox.client.v1.subscriptions.cancel(subscription["id"])
    latest = _latest(sandbox, subscription)
    return held(latest.id == subscription["latest_invoice"], f"the last invoice is {latest.billing_reason}")


def _schedule_cancelled(sandbox: Sandbox) -> Finding:
    made = _used_since(sandbox)
    if made is None:
        return not_counted(sandbox)
    fresh, subscription = made
    schedules = sandbox.client.v1.subscription_schedules
    schedule = schedules.create({"from_subscription": subscription["id"]})
    schedules.cancel(schedule.id, {"prorate": False})
    latest = _latest(sandbox, subscription)
    on_it = _quantity(fresh, latest)
    good = latest.id != subscription["latest_invoice"] and on_it == _USED
    return held(good, f"{on_it} of {_USED} on the last invoice, {latest.billing_reason}")


def _negative(sandbox: Sandbox) -> Finding:
    made = _used_since(sandbox, "-3")
    if made is None:
        return not_counted(sandbox)
    fresh, subscription = made
    lines = [line for line in _preview(sandbox, subscription).lines.data if fresh.is_metered(line)]
    billed = sum(line.amount for line in lines)
    return held(billed == 0, f"-3 used: {billed} cents in the preview")


CHECKS = (
    Check(
        "a backdated subscription's first invoice is a draft of its usage so far, the cycle's has none",
        _backdated,
    ),
    Check("a draft's metered lines are updated when it is finalised, not when it is read", _draft_follows),
    Check("an exchanged metered price bills what was reported, as invoice items", _exchanged_with),
    Check("a metered price exchanged without proration loses what was reported", _exchanged_without),
    Check("a threshold's invoice is a draft of the usage so far, and the period goes on", _threshold),
    Check("the invoice of a new anchor has the usage so far and is final at once", _anchored_anew),
    Check("the invoice of a cancellation has the usage so far and is final at once", _cancelled),
    Check("a subscription cancelled without invoice_now gets no last invoice", _cancelled_without),
    Check("a schedule that is cancelled bills the usage so far unless told not to", _schedule_cancelled),
    Check("a negative total of a meter bills as zero", _negative),
)
