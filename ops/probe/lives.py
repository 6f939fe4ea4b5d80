"""Checks of a subscription's life: its statuses, its ends, its items, and its customer's end."""

from typing import Any

from metering.core.exact import plain
from ops.probe.check import Check, Finding, held, not_counted
from ops.probe.sandbox import DAY_SECONDS, HOUR_SECONDS, Sandbox


def _incomplete(sandbox: Sandbox) -> Finding:
    subscription = sandbox.other().subscribe(collection_method="charge_automatically")
    return held(subscription["status"] == "incomplete", subscription["status"])


def _trial(sandbox: Sandbox) -> Finding:
    fresh = sandbox.other()
    subscription = fresh.subscribe(trial_period_days=7)
    if not fresh.counted("7", subscription["start_date"]):
        return not_counted(fresh)
    first = sandbox.client.v1.invoices.retrieve(subscription["latest_invoice"])
    preview = sandbox.client.v1.invoices.create_preview({"subscription": subscription["id"]})
    billed = sum(line.amount for line in preview.lines.data if fresh.is_metered(line))
    good = (subscription["status"], first.total, billed) == ("trialing", 0, 0)
    return held(
        good, f"{subscription['status']}, first invoice {first.total}, its usage in the preview {billed}"
    )


def _paused(sandbox: Sandbox) -> Finding:
    subscriptions: Any = sandbox.client.v1.subscriptions
    made = sandbox.other().subscribe()
    paused = subscriptions.pause(made["id"]).status
    resumed = subscriptions.resume(made["id"])
    good = (paused, resumed.status) == ("paused", "active")
    anew = resumed["items"]["data"][0]["current_period_start"]
    return held(good, f"{paused}, then {resumed.status}, its period from {anew}")


def _collection_paused(sandbox: Sandbox) -> Finding:
    subscription = sandbox.other().subscribe()
    change: Any = {"pause_collection": {"behavior": "void"}}
    sandbox.client.v1.subscriptions.update(subscription["id"], change)
    anchor: Any = {"billing_cycle_anchor": "now", "proration_behavior": "none"}
    after = sandbox.client.v1.subscriptions.update(subscription["id"], anchor)
    invoice = sandbox.client.v1.invoices.retrieve(str(after.latest_invoice))
    good = (after.status, invoice.status) == ("active", "void") and bool(invoice.lines.data)
    return held(good, f"{after.status}, its invoice {invoice.status}, {len(invoice.lines.data)} lines")


def _cut(sandbox: Sandbox) -> Finding:
    subscription = sandbox.other().subscribe()
    item = subscription["items"]["data"][0]
    change: Any = {"cancel_at": item["current_period_end"] - DAY_SECONDS, "proration_behavior": "none"}
    after: Any = sandbox.client.v1.subscriptions.update(subscription["id"], change)
    cut = after["items"]["data"][0]
    good = (cut["current_period_start"], cut["current_period_end"]) == (
        item["current_period_start"],
        change["cancel_at"],
    )
    moved = (cut["current_period_end"] - item["current_period_end"]) / DAY_SECONDS
    return held(good, f"the end moves by {moved:g} days")


def _second(sandbox: Sandbox) -> Finding:
    fresh = sandbox.other()
    made = [fresh.subscribe(), fresh.subscribe()]
    if not fresh.counted("7", made[1]["start_date"]):
        return not_counted(fresh)
    previews = [
        sandbox.client.v1.invoices.create_preview({"subscription": subscription["id"]})
        for subscription in made
    ]
    used = [plain(fresh.quantity(one.lines.data)) for one in previews]
    own = made[0]["latest_invoice"] != made[1]["latest_invoice"]
    return held(own and used == ["7", "7"], f"invoices of their own: {own}; 7 used, {' and '.join(used)}")


def _mixed(sandbox: Sandbox) -> Finding:
    yearly = sandbox.client.v1.prices.create(sandbox.fee(recurring={"interval": "year"}))
    subscription = sandbox.other().subscribe(sandbox.fee_price, sandbox.metered_price, yearly.id)
    days = {
        item["price"]["id"]: (item["current_period_end"] - item["current_period_start"]) / DAY_SECONDS
        for item in subscription["items"]["data"]
    }
    monthly, metered = days[sandbox.fee_price], days[sandbox.metered_price]
    good = monthly == metered < days[yearly.id]
    return held(good, f"{monthly:g}, {metered:g} and {days[yearly.id]:g} days")


def _stub(sandbox: Sandbox) -> Finding:
    fresh = sandbox.other()
    anchor = fresh.now - fresh.now % HOUR_SECONDS + HOUR_SECONDS
    subscription = fresh.subscribe(billing_cycle_anchor=anchor, proration_behavior="none")
    item = subscription["items"]["data"][0]
    good = subscription["latest_invoice"] is None and item["current_period_end"] == anchor
    return held(
        good, f"invoice {subscription['latest_invoice']}, its period until {item['current_period_end']}"
    )


def _deleted_customer(sandbox: Sandbox) -> Finding:
    fresh = sandbox.other()
    subscription = fresh.subscribe()
    sandbox.client.v1.customers.delete(fresh.customer)
    shown = sandbox.client.v1.customers.retrieve(fresh.customer).to_dict()
    status = sandbox.client.v1.subscriptions.retrieve(subscription["id"]).status
    good = shown.get("deleted") is True and "name" not in shown and status == "canceled"
    return held(good, f"deleted {shown.get('deleted')}, its subscription {status}")


def _usage_of_nobody(sandbox: Sandbox) -> Finding:
    fresh = sandbox.other()
    sandbox.client.v1.customers.delete(fresh.customer)
    fresh.use("1")
    return held(holds=True, seen="200")


CHECKS = (
    Check("a charged subscription without a payment method is incomplete", _incomplete),
    Check("a trial's first invoice is of nothing, and its usage is in no preview", _trial),
    Check("a paused subscription says so, and is active again when it is resumed", _paused),
    Check(
        "a subscription whose collection is paused is active, and its invoice void with its lines",
        _collection_paused,
    ),
    Check("an end within a period moves the period's end and not its start", _cut),
    Check("a second subscription has invoices of its own, and bills the same usage again", _second),
    Check("an item of a longer interval has a period of its own", _mixed),
    Check("a stub before the anchor makes no invoice without proration", _stub),
    Check("a deleted customer is its id alone, and its subscriptions are canceled", _deleted_customer),
    Check("an event of a deleted customer gets a 200", _usage_of_nobody),
)
