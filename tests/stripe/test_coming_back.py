"""Leaving and coming back: each hour is on one invoice at most, and what nobody sold is said."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, cast

import pytest

from metering.aws.observability import metrics
from metering.core.accounts import BillingPeriod, PeriodState
from metering.core.instants import HOUR
from metering.core.stripe_names import OUR_ID
from ops.attach import attach
from ops.errors import OperatorError
from ops.late_usage import Billing
from ops.set_plan import planned, set_plan
from ops.stripe_objects import existing_prices
from ops.subscriptions import SubscriptionRequest
from tests.stripe.world import CUSTOMER, DAY, GIB, START, World

METER = "mqtt_traffic"
MINUTE = timedelta(minutes=1)


def cancel(world: World, *, invoice_now: bool) -> str:
    """Cancel the customer's subscription at once; return its id."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    subscription_id = str(profile.stripe_subscription_id)
    world.stripe.v1.subscriptions.cancel(subscription_id, cast("Any", {"invoice_now": invoice_now}))
    return subscription_id


def come_back(world: World) -> str:
    """Attach the customer to a subscription anew; return its id."""
    account = world.customers.account(CUSTOMER)
    assert account is not None
    customer, _ = attach(world.stripe, account, SubscriptionRequest(), world.tables, world.catalog, world.now)
    return str(customer.stripe_subscription_id)


def settle_first(world: World) -> BillingPeriod:
    """Run the schedules until the first period is final; return it."""
    for _ in range(200):
        world.dispatch()
        world.close()
        if world.period().state is PeriodState.FINALISED:
            return world.period()
        world.at(max(min(world.looks()), world.now + MINUTE))
    raise AssertionError("the first period was never finalised")


@pytest.mark.parametrize(
    ("finalised", "billed", "late"),
    [("grace", 52, []), ("at_once", 12, [(Decimal(40), Decimal("4.00"))])],
)
def test_what_is_unsent_at_the_return_is_on_the_old_subscription_s_draft_or_late(
    world: World,
    finalised: Literal["grace", "at_once"],
    billed: int,
    late: list[tuple[Decimal, Decimal]],
) -> None:
    """12 GB sent, 40 unsent, cancelled at 12:05, attached at 12:15: 52 on the draft, or 40 late ($4.00)."""
    assert world.account is not None
    world.account.state.settings.cancellation_invoice = finalised
    day = START + 5 * DAY
    world.at(day).use(START, {"mqtt_bytes_sent": 12 * GIB})
    world.dispatch()
    world.use(START + HOUR, {"mqtt_bytes_sent": 40 * GIB})
    world.at(day + 5 * MINUTE)
    old = cancel(world, invoice_now=True)
    world.at(day + 15 * MINUTE)
    new = come_back(world)
    assert old != new
    period = settle_first(world)
    assert old == period.subscription_id
    assert Decimal(billed) == period.invoiced[METER]
    assert late == [(one.quantity, one.amount) for one in world.late(period)]


def test_a_period_that_began_and_ended_before_any_look_is_the_old_subscription_s(world: World) -> None:
    """Cancelled five minutes into a new period, attached three later: its first hour is sold, not a gap."""
    end = world.period().end
    world.at(end + 5 * MINUTE).use(end, {"mqtt_bytes_sent": 13 * GIB})
    old = cancel(world, invoice_now=True)
    world.at(end + 8 * MINUTE)
    come_back(world)
    _, short, new = world.customers.periods(CUSTOMER)
    assert (end, end + 5 * MINUTE, old, True) == (short.start, short.end, short.subscription_id, short.sold)
    assert end + HOUR == new.start

    while world.now < end + 4 * DAY:
        world.later(HOUR).dispatch()
        world.close()
    late = [(one.quantity, one.amount) for one in world.late(world.customers.periods(CUSTOMER)[1])]
    assert [(Decimal(13), Decimal("0.30"))] == late


def test_a_last_invoice_that_nobody_finalises_is_an_alarm(world: World) -> None:
    """Where the last invoice stays a draft for good, its period stays open and the draft is told of."""
    metrics.clear_metrics()
    assert world.account is not None
    world.account.state.settings.cancellation_invoice = "never"
    day = START + 5 * DAY
    world.at(day).use(START, {"mqtt_bytes_sent": 12 * GIB})
    world.dispatch()
    world.at(day + 5 * MINUTE)
    cancel(world, invoice_now=True)
    world.at(day + 15 * MINUTE)
    come_back(world)
    for _ in range(20):
        world.later(12 * HOUR).close()

    assert PeriodState.CLOSING is world.period().state
    assert metrics.metric_set["drafts_stuck"]["Value"]


def test_an_hour_is_never_in_two_periods(world: World) -> None:
    """Cancelled at 12:05 and attached at 12:15: hour 12 is the old period's, the new one begins at 13:00."""
    day = START + 5 * DAY
    world.at(day + 5 * MINUTE)
    cancel(world, invoice_now=True)
    world.at(day + 15 * MINUTE)
    come_back(world)
    old, new = world.customers.periods(CUSTOMER)
    assert day + 5 * MINUTE == old.end
    assert day + HOUR == old.span.end_hour == new.span.first_hour
    account = world.customers.account(CUSTOMER)
    assert account is not None
    assert [old, new] == [account.period_at(day), account.period_at(day + HOUR)]


def test_what_lies_between_two_subscriptions_is_not_sold(world: World) -> None:
    """Ten days without a subscription are a period of their own that says so, and nothing of it is late."""
    day = START + 5 * DAY
    world.at(day)
    cancel(world, invoice_now=True)
    world.at(day + 10 * DAY + 15 * MINUTE).use(day + 3 * DAY, {"mqtt_bytes_sent": 30 * GIB})
    come_back(world)
    old, gap, new = world.customers.periods(CUSTOMER)
    assert (True, False, True) == (old.sold, gap.sold, new.sold)
    assert (old.span.end_hour, new.span.first_hour) == (gap.span.first_hour, gap.span.end_hour)
    assert Decimal(30) == world.usage(gap).quantities[METER]
    assert [] == world.late(gap)


def test_a_period_without_a_final_invoice_is_not_taken_for_billed(world: World) -> None:
    """Cancelled at once without an invoice: 30 GB are billed by nobody, before and after the return."""
    day = START + 5 * DAY
    world.at(day).use(START, {"mqtt_bytes_sent": 30 * GIB})
    world.dispatch()
    cancel(world, invoice_now=False)
    world.at(day + 15 * MINUTE)
    come_back(world)
    for _ in range(12):
        world.later(12 * HOUR).close()
    period = world.period()
    assert PeriodState.CLOSING is period.state
    assert not world.billed(period).counted
    assert {} == dict(world.billed(period).quantities)
    assert [] == world.late(period)
    # A day at a time from the end of the longest grace on, not every hour for ever.
    assert world.now + HOUR < min(world.looks()) + HOUR


@pytest.mark.parametrize("plan", ["starter@1", "professional@1"])
def test_attaching_within_the_hour_of_the_cancellation_makes_a_living_subscription(
    world: World, plan: str
) -> None:
    """The request is not the one that made the cancelled subscription, on whatever plan."""
    world.at(START + 5 * MINUTE)
    old = cancel(world, invoice_now=True)
    world.later(MINUTE)
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    world.customers.replace(profile, profile.model_copy(update={"plan": plan}))
    new = come_back(world)
    assert old != new
    assert "active" == world.stripe.v1.subscriptions.retrieve(new).status
    assert plan == world.customers.periods(CUSTOMER)[-1].plan


@pytest.mark.parametrize("returns", [False, True])
def test_usage_of_a_subscription_cancelled_without_an_invoice_is_shown_as_unbilled(
    world: World, *, returns: bool
) -> None:
    """20 GB beyond the allowance, $2.00, before the return and after it; an alarm after 72 hours."""
    metrics.clear_metrics()
    day = START + 5 * DAY
    world.at(day).use(START, {"mqtt_bytes_sent": 30 * GIB})
    world.dispatch()
    cancel(world, invoice_now=False)
    world.later(15 * MINUTE)
    if returns:
        come_back(world)
    else:
        world.writer.refresh(CUSTOMER, world.now)
    looks = 0
    while (due := [at for at in world.looks() if at <= day + 5 * DAY]) and looks < 500:
        world.at(max(min(due), world.now + MINUTE)).close()
        looks += 1
    # Hourly until the end of the longest grace, and once a day from then on.
    assert 70 < looks < 100
    assert metrics.metric_set["periods_unbilled"]["Value"]
    account = world.customers.account(CUSTOMER)
    assert account is not None
    billing = Billing(world.tables, world.catalog, world.at(day + 5 * DAY).now, world.stripe)
    [unbilled] = billing.unbilled(account)
    assert START == unbilled.billing.start
    assert [(Decimal(30), Decimal("2.00"))] == [(one.quantity, one.amount) for one in unbilled.usage]
    assert [] == billing.late(account)


def test_usage_of_the_hour_of_the_return_is_on_one_invoice(world: World) -> None:
    """12 GB of hour 12 are the old subscription's alone, and what comes in before 13:00 with them."""
    day = START + 5 * DAY
    world.at(day + 5 * MINUTE)
    cancel(world, invoice_now=True)
    world.at(day + 15 * MINUTE)
    come_back(world)
    world.at(day + 2 * HOUR).use(day, {"mqtt_bytes_sent": 12 * GIB})
    world.use(day + HOUR, {"mqtt_bytes_sent": 3 * GIB})
    world.dispatch()
    old, new = world.customers.periods(CUSTOMER)
    assert [Decimal(12), Decimal(3)] == [world.usage(one).quantities[METER] for one in (old, new)]
    settle_first(world)
    world.at(new.end)
    while world.customers.periods(CUSTOMER)[1].state is not PeriodState.FINALISED:
        world.later(6 * HOUR).close()
    old, new = world.customers.periods(CUSTOMER)[:2]
    billed = [world.billed(one).quantity(METER) for one in (old, new)]
    late = [sum((one.quantity for one in world.late(period)), Decimal(0)) for period in (old, new)]
    assert Decimal(3) == billed[1]
    assert [Decimal(12), Decimal(3)] == [one + more for one, more in zip(billed, late, strict=True)]


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired", "trialing", "paused", "unpaid"])
def test_a_subscription_that_bills_no_usage_is_refused_by_its_status(world: World, status: str) -> None:
    """Whoever attaches it is told its status, and nothing is stored; one that is past due is attached."""
    world.later(5 * MINUTE)
    cancel(world, invoice_now=True)
    account = world.customers.account(CUSTOMER)
    assert account is not None
    assert world.account is not None
    given = _other_subscription(world)
    world.account.state.subscriptions[given].status = cast("Any", status)
    before = world.customers.periods(CUSTOMER)
    request = SubscriptionRequest(stripe_subscription_id=given)
    with pytest.raises(OperatorError, match=f"is {status}: "):
        attach(world.stripe, account, request, world.tables, world.catalog, world.now)
    assert [period.start for period in before] == [one.start for one in world.customers.periods(CUSTOMER)]


def test_a_subscription_that_is_past_due_is_attached(world: World) -> None:
    """Its usage is billed like that of an active one."""
    world.later(5 * MINUTE)
    cancel(world, invoice_now=True)
    account = world.customers.account(CUSTOMER)
    assert account is not None
    assert world.account is not None
    given = _other_subscription(world)
    world.account.state.subscriptions[given].status = "past_due"
    request = SubscriptionRequest(stripe_subscription_id=given)
    customer, _ = attach(world.stripe, account, request, world.tables, world.catalog, world.now)
    assert given == customer.stripe_subscription_id


def _other_subscription(world: World) -> str:
    """Make a subscription on the customer's prices in Stripe that begins at the next full hour."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    keys = [f"starter@1.{name}" for name in ("base_fee", *world.catalog.meters)]
    prices = existing_prices(world.stripe, keys)
    wanted: Any = {
        "customer": str(profile.stripe_customer_id),
        "items": [{"price": price.id} for price in prices.values()],
        "billing_cycle_anchor": int((START + HOUR).timestamp()),
        "proration_behavior": "none",
        "billing_mode": {"type": "flexible"},
        "collection_method": "send_invoice",
        "days_until_due": 30,
    }
    return world.stripe.v1.subscriptions.create(wanted).id


def test_one_whose_stripe_customer_was_deleted_is_told_so_when_coming_back(world: World) -> None:
    """Attaching ends with one sentence that says what to give; with another Stripe customer it goes on."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    world.later(5 * MINUTE)
    world.stripe.v1.customers.delete(str(profile.stripe_customer_id))
    with pytest.raises(OperatorError, match="was deleted"):
        come_back(world)
    another = world.stripe.v1.customers.create({"name": "Acme anew"}).id
    account = world.customers.account(CUSTOMER)
    assert account is not None
    request = SubscriptionRequest(stripe_customer_id=another)
    customer, _ = attach(world.stripe, account, request, world.tables, world.catalog, world.now)
    assert another == customer.stripe_customer_id == world.customers.periods(CUSTOMER)[-1].stripe_customer_id


def test_a_subscription_of_another_is_refused_as_long_as_one_lives(world: World) -> None:
    """A customer with a living subscription is attached to no other."""
    account = world.customers.account(CUSTOMER)
    assert account is not None
    request = SubscriptionRequest(stripe_subscription_id="sub_other")
    with pytest.raises(OperatorError, match="already"):
        attach(world.stripe, account, request, world.tables, world.catalog, world.now)


def test_a_subscription_that_ends_before_its_first_period_begins_leaves_none_of_it(world: World) -> None:
    """Cancelled at 12:00, when its first period begins; attached at 12:15, the new one begins at 13:00."""
    cancel(world, invoice_now=False)
    world.at(START + 15 * MINUTE)
    come_back(world)
    old, new = world.customers.periods(CUSTOMER)
    assert (START + timedelta(seconds=1), START + HOUR) == (old.end, old.span.end_hour)
    assert START + HOUR == new.start


def test_a_look_sees_that_a_subscription_ended_before_its_first_period_began(world: World) -> None:
    """The period that was to come sells nothing that nobody bills."""
    cancel(world, invoice_now=False)
    world.writer.refresh(CUSTOMER, world.later(15 * MINUTE).now)
    assert START + HOUR == world.period().span.end_hour


def test_an_hour_of_a_subscription_that_never_began_is_on_no_invoice(world: World) -> None:
    """It lies in the stub of the one that follows: what was sent of it would be billed there, and settled."""
    begins = START + 5 * DAY + HOUR
    for minute in (-55, -45, -30, -20):
        world.at(begins + minute * MINUTE)
        if minute in {-55, -30}:
            cancel(world, invoice_now=True)
        else:
            come_back(world)
    world.at(begins + 2 * HOUR).use(begins, {"mqtt_bytes_sent": 30 * GIB})
    world.dispatch()
    never_began = world.customers.periods(CUSTOMER)[1]
    assert (begins, False) == (never_began.start, never_began.sold)
    world.at(begins + 5 * DAY)
    assert [2900, 0, 0, 2900] == [one.total for one in world.stripe.v1.invoices.list().data]


def test_one_whose_stripe_customer_was_deleted_is_told_so_and_comes_back_as_another(world: World) -> None:
    """One sentence names the Stripe customer; with another one there is a new, living subscription."""
    account = world.customers.account(CUSTOMER)
    assert account is not None
    gone = str(account.customer.stripe_customer_id)
    world.at(START + DAY)
    world.stripe.v1.customers.delete(gone)
    with pytest.raises(OperatorError, match=f"{gone} of {CUSTOMER} was deleted"):
        come_back(world)
    request = SubscriptionRequest(stripe_customer_id=world.stripe.v1.customers.create({"name": "Acme"}).id)
    account = world.customers.account(CUSTOMER)
    assert account is not None
    customer, _ = attach(world.stripe, account, request, world.tables, world.catalog, world.now)
    assert "active" == world.stripe.v1.subscriptions.retrieve(str(customer.stripe_subscription_id)).status


def test_a_change_of_plan_that_is_refused_stores_no_period(world: World) -> None:
    """The subscription ended a month ago and nobody looked: no period is stored that it will never have."""
    world.at(START + 5 * DAY)
    cancel(world, invoice_now=True)
    world.at(START + 40 * DAY)
    account = world.customers.account(CUSTOMER)
    assert account is not None
    wanted = planned(account, "professional", None, world.catalog, world.now)
    with pytest.raises(OperatorError, match="has ended"):
        set_plan(world.stripe, account, wanted, world.tables, world.catalog, world.now)
    assert [START] == [period.start for period in world.customers.periods(CUSTOMER)]


def test_late_usage_of_a_deleted_stripe_customer_is_not_written_down_as_billed(world: World) -> None:
    """An intent that can never be made would cover its quantity for ever: refused before, and said."""
    world.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": 12 * GIB})
    world.settle()
    world.use(START + HOUR, {"mqtt_bytes_sent": 5 * GIB})
    account = world.customers.account(CUSTOMER)
    assert account is not None
    world.stripe.v1.customers.delete(str(account.customer.stripe_customer_id))
    billing = Billing(world.tables, world.catalog, world.now, world.stripe)
    with pytest.raises(OperatorError, match="was deleted"):
        list(billing.bill(account, billing.late(account)))
    assert [] == world.tables.late.of_period(CUSTOMER, START)
    assert [Decimal(5)] == [one.quantity for one in world.late(world.period())]


def test_a_subscription_whose_first_payment_never_came_holds_up_no_new_one(world: World) -> None:
    """Made in the dashboard without a payment method it is incomplete, and expires: then another is made."""
    items = world.stripe.v1.subscriptions.retrieve(cancel(world.at(START + DAY), invoice_now=True))["items"]
    account = world.customers.account(CUSTOMER)
    assert account is not None
    wanted: Any = {
        "customer": account.customer.stripe_customer_id,
        "items": [{"price": item["price"]["id"]} for item in items["data"]],
        "metadata": {OUR_ID: CUSTOMER},
    }
    charged = world.stripe.v1.subscriptions.create(wanted)
    assert "incomplete" == charged.status
    with pytest.raises(OperatorError, match="incomplete"):
        come_back(world)
    world.at(START + 3 * DAY)
    assert "active" == world.stripe.v1.subscriptions.retrieve(come_back(world)).status
