"""Moving a customer to another plan at its period's end.

Source: docs/billing.md#periods: a period has exactly one plan. With Stripe a subscription schedule changes
the prices exactly when the period ends; without it the profile's plan is what the next period gets. Stripe
comes first, and each step may run twice: whatever a crash leaves, running again mends.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import stripe

from metering.core.accounts import Account, Customer, PeriodState
from metering.core.catalog import Catalog, Override
from metering.core.instants import format_instant, hour_of
from metering.core.stripe_names import OUR_ID, meter_of_event_name, our_id
from metering.tables.tables import Tables
from ops.customers import replace_profile
from ops.errors import OperatorError, WrongInputError
from ops.periods import keep_periods
from ops.stripe_objects import existing_prices
from ops.subscriptions import make_own_prices


@dataclass(frozen=True)
class PlanChange:
    """From which instant a customer has which plan; ``changed`` is False when it was so already."""

    customer: Customer
    effective: datetime
    changed: bool


def planned(
    account: Account, plan: str, override: Override | None, catalog: Catalog, now: datetime
) -> Customer:
    """Return the customer with the next period's plan and override, checked together.

    The present period's plan without an override is that period's, with the customer's own prices in it:
    whatever was to come is undone.

    Raises
    ------
    WrongInputError
        When the customer has an override and it is not said what becomes of it.
    metering.core.catalog.CatalogError
        When there is no such plan, or the two do not go together.
    """
    customer, chosen = account.customer, catalog.newest(plan)
    present = account.period_at(hour_of(now))
    if override is None:
        if present is not None and chosen == present.plan:
            override = present.override
        elif customer.override == Override() or chosen == customer.plan:
            override = customer.override
        else:
            raise WrongInputError(
                f"{customer.customer_id} has prices of its own: give --override with those of the new plan, "
                "or --override '{}' for none"
            )
    catalog.terms(chosen, override)
    return customer.model_copy(update={"plan": chosen, "override": override})


def set_plan(
    client: stripe.StripeClient | None,
    account: Account,
    wanted: Customer,
    tables: Tables,
    catalog: Catalog,
    now: datetime,
) -> PlanChange:
    """Give a customer the wanted profile's plan from its next period on.

    Raises
    ------
    OperatorError
        When the subscription has ended or is governed by a schedule of somebody else, or the profile was
        changed meanwhile.
    """
    read, by_stripe = account.customer, None
    if read.stripe_subscription_id is not None:
        assert client is not None
        keys = make_own_prices(client, wanted, catalog)
        prices = existing_prices(client, keys)
        by_stripe = schedule_prices(client, wanted, [prices[key].id for key in keys], catalog)
    # A subscription that has ended is refused by now: no period is stored that it will never have.
    account = keep_periods(account, tables, catalog, now)
    effective = by_stripe.effective if by_stripe else present_end(account, now)
    changed = read != wanted or (by_stripe is not None and by_stripe.changed)
    if read != wanted:
        replace_profile(tables.customers, read, wanted)
    _change_what_is_to_come(account, wanted, effective, tables, catalog)
    return PlanChange(wanted, effective, changed)


def _change_what_is_to_come(
    account: Account, wanted: Customer, effective: datetime, tables: Tables, catalog: Catalog
) -> None:
    """Give a first period that is stored and has not begun the plan that its subscription will have then."""
    for period in account.periods:
        if period.start >= effective and period.state is PeriodState.OPEN:
            changed = period.on_plan(wanted.plan, wanted.override, catalog)
            tables.customers.replace_period(wanted.customer_id, period, changed)


def present_end(account: Account, now: datetime) -> datetime:
    """Return when the present period ends: a change of plan takes effect then."""
    present = account.period_at(hour_of(now))
    return present.end if present else now


@dataclass(frozen=True)
class Scheduled:
    """From when a subscription has its new prices, and whether that was news to Stripe."""

    effective: datetime
    changed: bool


def schedule_prices(
    client: stripe.StripeClient, customer: Customer, price_ids: list[str], catalog: Catalog
) -> Scheduled:
    """Let a subscription have other prices of ours from its present period's end on, without prorations.

    The schedule keeps the present prices up to the period's end, holds the new ones for a month and then
    releases the subscription, which keeps them. Prices that the subscription has already undo a schedule.
    What else is in the subscription, a yearly add-on say, stays in it: it is between it and Stripe.

    Raises
    ------
    OperatorError
        When the subscription has ended, or a schedule governs it that this program did not make.
    """
    subscription_id = str(customer.stripe_subscription_id)
    subscription: Any = client.v1.subscriptions.retrieve(subscription_id)
    if subscription["ended_at"] is not None:
        raise OperatorError(
            f"the subscription {subscription_id} has ended; make a new one with `ops customers attach`"
        )
    # In flexible billing mode a cancellation at the period's end may be told by its instant alone.
    if subscription["cancel_at_period_end"] or subscription["cancel_at"] is not None:
        raise OperatorError(
            f"the subscription {subscription_id} is cancelled{_at(subscription['cancel_at'])}; undo that in "
            "Stripe first"
        )
    items = subscription["items"]["data"]
    ours = [item for item in items if _is_ours(client, item, customer, catalog)]
    others = [_phase_item(item) for item in items if item not in ours]
    end = min(item["current_period_end"] for item in ours or items)
    effective = datetime.fromtimestamp(end, UTC)
    present = {str(item["price"]["id"]) for item in items}
    following = {*price_ids, *(item["price"] for item in others)}
    schedule = _schedule(client, subscription)
    if present == following:
        if schedule is not None and _is_to_be_undone(schedule, end, present):
            client.v1.subscription_schedules.release(schedule["id"])
            return Scheduled(effective, changed=True)
        return Scheduled(effective, changed=False)
    if schedule is None:
        schedule = client.v1.subscription_schedules.create({"from_subscription": subscription_id})
    elif _later_prices(schedule, end) == following:
        return Scheduled(effective, changed=False)
    phases: Any = {
        "phases": [
            {
                "items": [_phase_item(item) for item in items],
                "start_date": schedule["current_phase"]["start_date"],
                "end_date": end,
                "proration_behavior": "none",
            },
            {
                "items": [*({"price": price} for price in price_ids), *others],
                "duration": {"interval": "month", "interval_count": 1},
                "proration_behavior": "none",
            },
        ],
        "end_behavior": "release",
        "proration_behavior": "none",
        "metadata": {OUR_ID: our_id(subscription["metadata"]) or ""},
    }
    client.v1.subscription_schedules.update(schedule["id"], phases)
    return Scheduled(effective, changed=True)


def _is_ours(client: stripe.StripeClient, item: Any, customer: Customer, catalog: Catalog) -> bool:
    """Tell whether a plan of ours makes a subscription's item: by its lookup key, or on a meter of ours."""
    price = item["price"]
    owner = str(price["lookup_key"] or "").partition(".")[0]
    if owner in {*catalog.plans, customer.customer_id}:
        return True
    meter = price["recurring"]["meter"]
    return meter is not None and (
        meter_of_event_name(client.v1.billing.meters.retrieve(str(meter)).event_name) is not None
    )


def _phase_item(item: Any) -> dict[str, Any]:
    """Return a subscription's item as a phase has it; a metered one has no quantity."""
    price = str(item["price"]["id"])
    return {"price": price, "quantity": item["quantity"]} if "quantity" in item else {"price": price}


def _at(cancel_at: int | None) -> str:
    if cancel_at is None:
        return " at its period's end"
    return f" at {format_instant(datetime.fromtimestamp(cancel_at, UTC))}"


def _schedule(client: stripe.StripeClient, subscription: Any) -> Any:
    """Retrieve the subscription's schedule; one of a single phase may be what a crash of ours left."""
    if subscription["schedule"] is None:
        return None
    schedule: Any = client.v1.subscription_schedules.retrieve(str(subscription["schedule"]))
    if our_id(schedule["metadata"]) is None and len(schedule["phases"]) > 1:
        raise OperatorError(
            f"the subscription {subscription['id']} is governed by the schedule {schedule['id']}, which was "
            "not made here; release it in Stripe first"
        )
    return schedule


def _is_to_be_undone(schedule: Any, end: int, present: set[str]) -> bool:
    """Tell whether a schedule would change the prices later, or is what a crash of ours left."""
    return _later_prices(schedule, end) not in (None, present) or our_id(schedule["metadata"]) is None


def _later_prices(schedule: Any, end: int) -> set[str] | None:
    """Return the prices of the phase that starts at the present period's end; None when there is none."""
    for phase in schedule["phases"]:
        if phase["start_date"] == end:
            return {str(item["price"]) for item in phase["items"]}
    return None
