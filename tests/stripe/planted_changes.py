"""Planted faults of "changes made outside" and of "the past is not repriced"."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

import stripe_report.report
from metering.core.accounts import BillingPeriod
from metering.core.catalog import Catalog, Price, Terms
from metering.core.instants import HOUR
from metering.core.rollup import NEWEST_VERSION, Hour, rollup
from metering.tables.charges import Charges
from metering.tables.ledger import PENDING
from ops import late_usage
from stripe_report import invoices, subscription, work
from stripe_report.reader import Reader
from stripe_report.reconciling import reconcile_period
from stripe_report.subscription import Refreshed
from tests.stripe.planted import (
    METER,
    Planted,
    bill_late,
    cancelled_at_the_end,
    gigabytes,
    night,
    run,
    subscription_of,
    used,
)
from tests.stripe.test_changes_outside import _exchange as exchange
from tests.stripe.transport import fault
from tests.stripe.world import CUSTOMER, DAY, START, World

# ------------------------------------------------------------------ changes made outside


def one_price_exchanged(world: World) -> None:
    """15 GB, another price, then 130 GB."""
    night(used(world, 15))
    exchange(world.at(START + 5 * DAY), METER)
    run(used(world, 130, 6 * DAY), 34)


def all_prices_exchanged(world: World) -> None:
    """15 GB, other prices of everything, and the month ends."""
    night(used(world, 15))
    exchange(world.at(START + 5 * DAY), "base_fee", METER, "http_traffic", "api_calls", "storage", "devices")
    night(used(world, 30, 6 * DAY))
    run(world, 36)


def only_prices_of_the_plan(patch: pytest.MonkeyPatch) -> None:
    """A line with another price than the period's plan has is no line of ours."""
    honest = Reader._meter_of_price

    def of_starter(self: Reader, price_id: str) -> str | None:
        key = self._stripe.v1.prices.retrieve(price_id).lookup_key or ""
        return honest(self, price_id) if key.startswith("starter@1.") else None

    patch.setattr(Reader, "_meter_of_price", of_starter)


def by_its_lines_alone(patch: pytest.MonkeyPatch) -> None:
    """An invoice ends a period by lines of the plan's prices alone."""
    only_prices_of_the_plan(patch)
    patch.setattr(
        invoices,
        "ends",
        lambda invoice, billing: any(one.end >= billing.end for one in invoices.within(invoice, billing)),
    )


def into_the_second_month(world: World) -> None:
    """12 GB in the first month, 20 in the second, with a yearly item in the subscription."""
    product = world.stripe.v1.products.create({"name": "Training"})
    params: Any = {
        "product": product.id,
        "currency": "usd",
        "unit_amount": 12_000,
        "recurring": {"interval": "year"},
    }
    price = world.stripe.v1.prices.create(params)
    addon: Any = {"items": [{"price": price.id}], "proration_behavior": "none"}
    world.stripe.v1.subscriptions.update(subscription_of(world), addon)
    run(used(world, 12), 33)
    used(world, 20, 32 * DAY)
    run(world, 36)


def the_years_period(patch: pytest.MonkeyPatch) -> None:
    """The present period's start is the earliest of all items: the second month's is known already."""
    honest = subscription.refresh

    def refresh(desk: Any, account: Any, now: datetime) -> Refreshed:
        found = desk.gateway.reader.subscription(str(account.customer.stripe_subscription_id))
        first = min(item.start for item in found.items)
        known = any(period.start == first for period in account.periods)
        return Refreshed(found.status) if known else honest(desk, account, now)

    patch.setattr(work, "refresh", refresh)


def ends_and_goes_on(world: World) -> None:
    """It is to end on the fifth day; that is taken back; 30 GB on the tenth."""
    at: Any = {"cancel_at": int((START + 5 * DAY).timestamp()), "proration_behavior": "none"}
    back: Any = {"cancel_at": ""}
    world.stripe.v1.subscriptions.update(subscription_of(world), at)
    night(world.at(START + DAY))
    world.stripe.v1.subscriptions.update(subscription_of(world), back)
    night(world.at(START + 2 * DAY))
    night(used(world, 30, 10 * DAY))
    run(world, 25)


def the_end_stays(patch: pytest.MonkeyPatch) -> None:
    """A period's end is what it was when the period was stored."""
    honest = BillingPeriod.moved

    def moved(self: BillingPeriod, end: datetime, now: datetime) -> BillingPeriod:
        return honest(self, end, now) if end < self.end else self

    patch.setattr(BillingPeriod, "moved", moved)


def nobody_looks_for_two_months(world: World) -> None:
    """12 GB in a month that no look saw."""
    world.at(START + 65 * DAY).use(START + 50 * DAY, gigabytes(12))
    night(world)
    run(world, 7)


def none_is_missed(patch: pytest.MonkeyPatch) -> None:
    """Only the present period is stored."""
    patch.setattr(subscription, "_add_missed", lambda *_given: 0)


# ------------------------------------------------------------------ the past is not repriced


def expired(world: World) -> None:
    """30 GB billed; more than 400 days later the hours are gone, by their TTL."""
    cancelled_at_the_end(used(world, 30))
    world.at(START + 410 * DAY)
    for table in ("hours", "reports"):
        for item in list(world.dynamodb.items(table)):
            world.dynamodb.delete_item(TableName=table, Key={name: item[name] for name in ("pk", "sk")})


def never_past(patch: pytest.MonkeyPatch) -> None:
    """A period has late usage however old it is."""
    patch.setattr(late_usage, "is_past_retention", lambda *_given: False)


def another_meter(world: World) -> None:
    """After the period is final its plan sells a meter more."""
    world.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": 12 * 2**30, "coap_bytes_sent": 0})
    cancelled_at_the_end(world)
    catalog, plan = world.catalog, world.catalog.plans["starter@1"]
    new = catalog.meters[METER].model_copy(update={"label": "Messages"})
    price = Price.model_validate({"included": "0", "overage": "1.00"})
    world.catalog = catalog.model_copy(
        update={
            "meters": {**catalog.meters, "messages": new},
            "plans": {
                **catalog.plans,
                "starter@1": plan.model_copy(update={"meters": {**plan.meters, "messages": price}}),
            },
        }
    )


def whatever_the_plan_sells(patch: pytest.MonkeyPatch) -> None:
    """A period sells what its plan sells today."""

    def terms(self: BillingPeriod, catalog: Catalog) -> Terms:
        return catalog.terms(self.plan, self.override, None)

    patch.setattr(BillingPeriod, "terms", terms)


def by_the_first_rule(world: World) -> None:
    """An hour of two journals, made by the first rule, is recomputed when its period is final."""
    world.at(START + 2 * HOUR)
    reports = []
    for number, name in enumerate(("one", "two", "three")):
        world.report(START, gigabytes(20), instance="i0")
        [last] = [one for one in world.reports.of_hour(CUSTOMER, START) if one.state_id == "journal"]
        span = {
            "observed_from": START + number * 20 * HOUR / 60,
            "observed_until": START + min(number * 20 + 24, 60) * HOUR / 60,
        }
        reports.append(last.model_copy(update={"state_id": name, **span}))
    world.dynamodb.delete_item(
        TableName="reports",
        Key={name: world.dynamodb.items("reports")[0][name] for name in ("pk", "sk")},
    )
    for report in reports:
        world.reports.put(report)
    world.hours.put(CUSTOMER, rollup(START, reports, version=1))
    for marker in list(world.markers.dirty_of(CUSTOMER)):
        world.markers.clear_dirty(marker)
    world.markers.touch_unsent(CUSTOMER, START.date())
    cancelled_at_the_end(world)
    world.markers.touch_dirty(CUSTOMER, START)
    world.recompute(START)


def by_the_newest_rule(patch: pytest.MonkeyPatch) -> None:
    """Every hour is made anew by the rule of today."""

    def newest(_self: BillingPeriod, _stored: Hour | None) -> int:
        return NEWEST_VERSION

    patch.setattr(BillingPeriod, "rollup_version", newest)


def a_waiver(world: World) -> None:
    """5 GB late are billed, the invoice item is deleted at Stripe, and what is late is billed again."""
    run(used(world, 12), 36)
    world.use(START + HOUR, gigabytes(5))
    bill_late(world)
    assert world.account is not None
    [item] = [one.id for one in world.account.state.invoice_items.values() if one.invoice is None]
    world.stripe.v1.invoice_items.delete(item)
    bill_late(world.later(DAY))


def nothing_is_kept(patch: pytest.MonkeyPatch) -> None:
    """A late item does not say which invoice item was made of it."""

    def forgotten(_self: Any, item: Any, _stripe_item_id: str) -> Any:
        return item

    patch.setattr(Charges, "keep_stripe_item", forgotten)


def an_event_keeps_failing(world: World) -> None:
    """One number of the second day never gets an answer, and 2,000 GB are used on the days after it."""
    prefix = f"{CUSTOMER}.{METER}.{START + DAY:%Y%m%dT%H}.1"
    world.wire.faults.add(replace(fault("500", times=100_000), identifier_prefix=prefix))
    for number in range(20):
        used(world, 100, DAY + number * 26 * HOUR)
    run(world, 20)


def the_rest_waits(patch: pytest.MonkeyPatch) -> None:
    """Days go out in order, and stop at one without an answer; such a period is not reconciled."""
    patch.setattr(stripe_report.report, "_turn", lambda *_given: 0)
    patch.setattr(stripe_report.report.Sent, "unanswered", property(lambda self: bool(self.pending)))
    honest = reconcile_period

    def unless_pending(desk: Any, account: Any, billing: Any, now: datetime, *, fix: bool) -> Any:
        days = desk.tables.ledger.between(CUSTOMER, billing.start.date(), billing.end.date())
        waits = any(entry.state == PENDING for day in days for entry in day.entries.values())
        return honest(desk, account, billing, now, fix=fix and not waits)

    patch.setattr("stripe_report.closing.reconcile_period", unless_pending)


def a_limit_at_night(world: World) -> None:
    """The ledger lost 9 of 12 GB; the nightly run that would put it right meets a limit; a day passes."""
    used(world, 12)
    world.at(START + 2 * DAY).dispatch()
    entry, day = world.entries(METER)[START], world.ledger.day(CUSTOMER, START.date())
    world.ledger.put(replace(day, entries={(METER, START): replace(entry, value=Decimal(3))}))
    limit = replace(fault("429", times=6), method="GET", path_prefix="/v1/billing")
    world.wire.faults.add(limit)
    night(world.at(START + 3 * DAY))
    for _ in range(12):
        world.later(HOUR).close()


def counts_as_done(patch: pytest.MonkeyPatch) -> None:
    """A reconciliation that meets a limit is done for that day."""
    patch.setattr(work.Writer, "_done", lambda *_given, **_more: None)


OUTSIDE = (
    Planted("a metered price exchanged", one_price_exchanged, only_prices_of_the_plan),
    Planted("all metered prices exchanged", all_prices_exchanged, by_its_lines_alone),
    Planted("a yearly item", into_the_second_month, the_years_period),
    Planted("an end that moves", ends_and_goes_on, the_end_stays),
    Planted("a period that no look saw", nobody_looks_for_two_months, none_is_missed),
)
PAST = (
    Planted("hours expire", expired, never_past),
    Planted("a meter is added", another_meter, whatever_the_plan_sells),
    Planted("the rule of the hour changes", by_the_first_rule, by_the_newest_rule),
    Planted("a deleted item is made again", a_waiver, nothing_is_kept),
    Planted("an event keeps failing", an_event_keeps_failing, the_rest_waits),
    Planted("a limit at night", a_limit_at_night, counts_as_done),
)
