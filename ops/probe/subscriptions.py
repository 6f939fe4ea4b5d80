"""Checks of subscriptions, their schedules, previews and invoice items."""

from datetime import UTC, datetime
from typing import Any

from metering.core.stripe_names import LATE_ITEM
from ops.probe.check import Check, Finding, ProbeVerdict, held, refused
from ops.probe.sandbox import DAY_SECONDS, FREE_UNITS, HOUR_SECONDS, Sandbox

_LONGEST_MONTH = 31 * DAY_SECONDS
_SHORTEST_MONTH = 28 * DAY_SECONDS


def _subscription(sandbox: Sandbox) -> Any:
    """The one subscription, dated back to the full hour before now, as those from before decision 22 are."""
    listed = sandbox.client.v1.subscriptions.list({"customer": sandbox.customer}).data
    if listed:
        return listed[0]
    start = sandbox.now - sandbox.now % HOUR_SECONDS
    return sandbox.subscribe(
        backdate_start_date=start,
        billing_cycle_anchor_config={
            "day_of_month": datetime.fromtimestamp(start, UTC).day,
            "hour": start // HOUR_SECONDS % 24,
            "minute": 0,
            "second": 0,
        },
    )


def _full_month(sandbox: Sandbox) -> Finding:
    items = _subscription(sandbox)["items"]["data"]
    start, end = items[0]["current_period_start"], items[0]["current_period_end"]
    full = (
        _SHORTEST_MONTH <= end - start <= _LONGEST_MONTH and start == sandbox.now - sandbox.now % HOUR_SECONDS
    )
    return held(full, f"{(end - start) / DAY_SECONDS:g} days from {start}")


def _period_on_items(sandbox: Sandbox) -> Finding:
    subscription = _subscription(sandbox)
    on_items = all("current_period_start" in item for item in subscription["items"]["data"])
    return held(on_items and "current_period_start" not in subscription, f"on the items: {on_items}")


def _active_without_payment(sandbox: Sandbox) -> Finding:
    status = _subscription(sandbox)["status"]
    return held(status == "active", status)


def _preview_by_tier(sandbox: Sandbox) -> Finding:
    subscription = _subscription(sandbox)
    # what was used before it was made may be on its first invoice
    sandbox.use(f"{FREE_UNITS + 1}.5", subscription["created"])

    def metered_lines() -> list[Any]:
        params: Any = {"subscription": subscription["id"]}
        lines = sandbox.client.v1.invoices.create_preview(params).lines.data
        return [line for line in lines if sandbox.is_metered(line)]

    good, seen = sandbox.until(metered_lines, lambda lines: sum(line.amount for line in lines) > 0)
    if not good:
        return ProbeVerdict.UNCLEAR, f"no usage in the preview within {sandbox.wait_s} s"
    quantities = [str(line.quantity_decimal) for line in seen]
    return held(len(seen) == 2 and "1.5" in quantities, f"quantities {', '.join(quantities)}")  # noqa: PLR2004  two tiers


def _scheduled(sandbox: Sandbox) -> Finding:
    subscription = _subscription(sandbox)
    schedules = sandbox.client.v1.subscription_schedules
    refusal = refused(
        lambda: schedules.create({"from_subscription": subscription["id"], "end_behavior": "cancel"})
    )
    schedule: Any = schedules.create({"from_subscription": subscription["id"]})
    end = subscription["items"]["data"][0]["current_period_end"]
    other = sandbox.client.v1.prices.create(sandbox.fee(unit_amount=200))
    phases: Any = {
        "phases": [
            {
                "items": [{"price": sandbox.fee_price}, {"price": sandbox.metered_price}],
                "start_date": schedule["current_phase"]["start_date"],
                "end_date": end,
            },
            {
                "items": [{"price": other.id}, {"price": sandbox.metered_price}],
                "duration": {"interval": "month"},
                "proration_behavior": "none",
            },
        ],
        "end_behavior": "release",
        "proration_behavior": "none",
    }
    planned: Any = schedules.update(schedule["id"], phases)
    starts = [phase["start_date"] for phase in planned["phases"]]
    governed = sandbox.client.v1.subscriptions.retrieve(subscription["id"]).schedule == schedule["id"]
    cancelled = refused(
        lambda: sandbox.client.v1.subscriptions.update(subscription["id"], {"cancel_at_period_end": True})
    )
    schedules.release(schedule["id"])
    free = sandbox.client.v1.subscriptions.retrieve(subscription["id"]).schedule is None
    holds = {
        "other parameters refused": refusal[0] is ProbeVerdict.HOLDS,
        "one phase to the period's end": schedule["current_phase"]["end_date"] == end,
        "a second phase from there": end in starts,
        "the subscription names it": governed,
        "no direct cancellation": cancelled[0] is ProbeVerdict.HOLDS,
        "released": free,
    }
    wrong = [name for name, good in holds.items() if not good]
    return held(not wrong, f"not so: {', '.join(wrong)}" if wrong else ", ".join(holds))


def _credit(sandbox: Sandbox) -> Finding:
    params: Any = {
        "customer": sandbox.customer,
        "currency": "usd",
        "amount": -150,
        "metadata": {LATE_ITEM: sandbox.name},
    }
    made = sandbox.client.v1.invoice_items.create(params)
    waiting = sandbox.client.v1.invoice_items.list({"customer": sandbox.customer, "pending": True}).data
    found: list[Any] = [item for item in waiting if item.id == made.id]
    named = bool(found) and found[0]["metadata"][LATE_ITEM] == sandbox.name
    return held(named, f"{made.amount} cents, found again by its metadata: {named}")


def _draft_tells(sandbox: Sandbox) -> Finding:
    params: Any = {
        "customer": sandbox.customer,
        "auto_advance": True,
        "pending_invoice_items_behavior": "include",
    }
    invoice = sandbox.client.v1.invoices.create(params)
    at = invoice.automatically_finalizes_at
    return held(invoice.status == "draft" and at is not None, f"{invoice.status}, finalised at {at}")


CHECKS = (
    Check("a subscription dated back to the full hour has a full month and no stub", _full_month),
    Check("the period is on the subscription's items", _period_on_items),
    Check(
        "a subscription whose invoices are sent is active without a payment method", _active_without_payment
    ),
    Check("a metered price makes a line for each tier reached, exact in quantity_decimal", _preview_by_tier),
    Check("a schedule changes prices at the period's end, and is released", _scheduled),
    Check("an invoice item may be a credit and is found again by its metadata", _credit),
    Check("a draft says when it will be finalised", _draft_tells),
)
