"""What someone changes at Stripe is seen by the next look, and within a day: statuses, prices, items, ends.

Source: docs/billing.md#changes-made-outside.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, cast

import pytest
import stripe

from aggregate.conservation import conserve
from metering.aws.observability import metrics
from metering.core.accounts import PeriodState, Status
from metering.core.conservation import Stage
from metering.core.instants import HOUR
from metering.tables.closings import Closing, Retry
from ops.set_plan import planned, set_plan
from stripe_report.dispatch import RETRIED
from stripe_report.messages import CloseEnded, Reconcile, Refresh
from stripe_report.subscribed import Subscription, SubscriptionItem, SubscriptionStatus
from tests.stripe.test_our_invoice import support_contract
from tests.stripe.transport import fault
from tests.stripe.world import CUSTOMER, DAY, GIB, START, World

END = datetime.fromisoformat("2026-04-10T12:00:00+00:00")
NEXT_END = datetime.fromisoformat("2026-05-10T12:00:00+00:00")
METER = "mqtt_traffic"
ALARMS = (
    "subscription_differs",
    "prices_exchanged",
    "periods_missed",
    "subscriptions_uncollected",
    "subscriptions_competing",
    "stripe_customers_deleted",
    "stripe_refuses_reads",
    "stripe_unavailable",
)


@pytest.fixture(autouse=True)
def _fresh_metrics() -> None:
    metrics.clear_metrics()


def _gigabytes(count: int) -> dict[str, int]:
    return {"mqtt_bytes_sent": count * GIB}


def _counted(name: str) -> int:
    found: Any = metrics.metric_set.get(name, {"Value": []})
    return int(sum(found["Value"]))


def _alarmed() -> set[str]:
    """Return which alarms were raised since the test began, or since this was last asked."""
    raised = {name for name in ALARMS if _counted(name)}
    metrics.clear_metrics()
    return raised


def _seen_as(world: World, change: Callable[[Subscription], Subscription]) -> None:
    """Let Stripe say something else of the subscription."""
    read = world.gateway.reader.subscription
    world.gateway.reader.subscription = lambda subscription_id: change(read(subscription_id))  # type: ignore[method-assign]


def _with(**changes: Any) -> Callable[[Subscription], Subscription]:
    return lambda subscription: replace(subscription, **changes)


def _ending(end: datetime) -> Callable[[Subscription], Subscription]:
    """Let every item's first period end at another instant."""
    return lambda subscription: replace(
        subscription, items=tuple(replace(item, start=START, end=end) for item in subscription.items)
    )


def _night(world: World) -> None:
    world.writer.work(Reconcile(customer_id=CUSTOMER), world.now)


def _subscription_id(world: World) -> str:
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    return str(profile.stripe_subscription_id)


def _exchange(world: World, *names: str) -> None:
    """Exchange prices of starter for those of professional, as one does in the dashboard."""
    client = world.stripe
    items = client.v1.subscriptions.retrieve(_subscription_id(world))["items"]["data"]
    changes = []
    for item in items:
        name = str(item["price"]["lookup_key"]).partition(".")[2]
        if name in names:
            [price] = client.v1.prices.list({"lookup_keys": [f"professional@1.{name}"]}).data
            changes.append({"id": item["id"], "price": price.id})
    wanted: Any = {"items": changes, "proration_behavior": "none"}
    client.v1.subscriptions.update(_subscription_id(world), wanted)


# ------------------------------------------------------------------ statuses


@pytest.mark.parametrize(
    ("change", "alarms"),
    [
        ({"status": SubscriptionStatus.ACTIVE}, set()),
        ({"status": SubscriptionStatus.PAST_DUE}, set()),
        ({"status": SubscriptionStatus.UNPAID}, {"subscriptions_uncollected"}),
        ({"status": SubscriptionStatus.PAUSED}, {"subscriptions_uncollected"}),
        ({"collects": False}, {"subscriptions_uncollected"}),
    ],
)
@pytest.mark.parametrize("suspended", [False, True])
def test_a_subscription_that_goes_on_is_followed_and_alarmed_where_nobody_pays(
    world: World, change: dict[str, Any], alarms: set[str], *, suspended: bool
) -> None:
    """Of a suspended customer as well."""
    if suspended:
        profile = world.customers.customer(CUSTOMER)
        assert profile is not None
        world.customers.replace(profile, profile.model_copy(update={"status": Status.SUSPENDED}))
    _seen_as(world, _with(**change))
    _night(world.at(END + HOUR))
    assert [(START, END), (END, NEXT_END)] == [(p.start, p.end) for p in world.customers.periods(CUSTOMER)]
    assert alarms == _alarmed()


def test_an_incomplete_subscription_opens_no_period_and_is_said(world: World) -> None:
    """Its first payment is not made: it may never begin."""
    _seen_as(world, _with(status=SubscriptionStatus.INCOMPLETE))
    _night(world.at(END + HOUR))
    assert [START] == [period.start for period in world.customers.periods(CUSTOMER)]
    assert {"subscriptions_uncollected"} == _alarmed()


@pytest.mark.parametrize("status", [SubscriptionStatus.INCOMPLETE_EXPIRED, SubscriptionStatus.CANCELED])
def test_a_subscription_that_is_over_ends_its_period(world: World, status: SubscriptionStatus) -> None:
    """Whether or not Stripe says when it ended."""
    _seen_as(world, _with(status=status, ended_at=None))
    _night(world.at(START + DAY))
    assert (START + DAY, END) == (world.period().end, world.period().nominal_end)
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    assert profile.has_left


def test_a_trials_usage_is_not_sold(world: World) -> None:
    """Its period says so; nothing is sent, billed, late or alarmed; the period after it is sold."""
    trial = _with(status=SubscriptionStatus.TRIALING, trial_end=NEXT_END)
    world.at(END + 2 * HOUR).use(END, _gigabytes(40))
    _seen_as(world, trial)
    _night(world)
    world.dispatch()
    first, second = world.customers.periods(CUSTOMER)
    assert (True, False) == (first.sold, second.sold)
    assert 0 == world.events_sent()
    assert set() == _alarmed()
    _seen_as(world, _with(status=SubscriptionStatus.ACTIVE))
    _night(world.at(NEXT_END + HOUR))
    assert [True, False, True] == [period.sold for period in world.customers.periods(CUSTOMER)]
    assert [] == world.late(world.customers.periods(CUSTOMER)[1])


def test_a_period_that_turns_out_to_be_a_trial_is_not_sold(world: World) -> None:
    """A customer may have been attached before anyone looked."""
    _seen_as(world, _with(status=SubscriptionStatus.TRIALING, trial_end=END))
    _night(world.at(START + DAY))
    assert not world.period().sold
    assert set() == _alarmed()


def test_what_was_used_before_a_trial_that_begins_within_the_period_is_sold(world: World) -> None:
    """Up to the same end, ten days after the start: the period is cut there, the trial is one of its own."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(40))
    world.dispatch()
    _night(world)
    begins = START + 10 * DAY
    _seen_as(world, _in_trial_from(begins))
    _night(world.at(begins + HOUR))
    first, trial = world.customers.periods(CUSTOMER)
    assert [(START, begins, True), (begins, END, False)] == [(p.start, p.end, p.sold) for p in (first, trial)]


def test_a_sold_period_that_a_trial_takes_over_is_an_alarm(world: World) -> None:
    """Where Stripe names the whole period a trial afterwards, what was sent of it is not sold any more."""
    _night(world.at(START + DAY))
    _seen_as(world, _in_trial_from(START))
    _night(world.at(START + 2 * DAY))
    assert not world.period().sold
    assert {"subscription_differs"} == _alarmed()


def _in_trial_from(begins: datetime) -> Callable[[Subscription], Subscription]:
    """Let the subscription be in a trial from an instant up to the first period's end."""
    return lambda subscription: replace(
        subscription,
        status=SubscriptionStatus.TRIALING,
        trial_end=END,
        items=tuple(replace(item, start=begins, end=END) for item in subscription.items),
    )


def test_the_time_before_a_subscriptions_first_full_period_is_no_period(world: World) -> None:
    """A new subscription begins between two hours, its first period at the next: the stub sells nothing."""
    [period] = world.customers.periods(CUSTOMER)
    stub = START - timedelta(minutes=20)

    def in_stub(found: Subscription) -> Subscription:
        items = tuple(replace(item, start=stub, end=START) for item in found.items)
        return replace(found, items=items, began=stub, anchor=START)

    _seen_as(world, in_stub)
    world.writer.work(Refresh(customer_id=CUSTOMER), world.now)
    assert [(period.start, period.end)] == [(p.start, p.end) for p in world.customers.periods(CUSTOMER)]
    assert set() == _alarmed()


# ------------------------------------------------------------------ prices and items


def test_a_metered_price_exchanged_within_a_period_is_alarmed_and_charged_once(world: World) -> None:
    """15 GB, then 130 under another price: Stripe bills $3.00 for them, and nothing is late."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(15))
    world.dispatch()
    _night(world)
    assert set() == _alarmed()
    _exchange(world.at(START + 5 * DAY), METER)
    world.later(2 * HOUR).use(START + 5 * DAY + HOUR, _gigabytes(130))
    _night(world.later(DAY))
    assert {"subscription_differs", "prices_exchanged"} == _alarmed()
    world.settle()
    period = world.period()
    assert Decimal("32.00") == period.invoice_total
    assert {METER} == world.billed(period).mispriced
    assert [] == world.late(period)


@pytest.mark.parametrize(
    ("reading", "billed", "late"),
    [
        ("old_price", 20, []),
        ("new_price", 20, []),
        ("unbilled", 12, [(Decimal(8), Decimal("0.80"))]),
    ],
)
def test_after_a_change_of_plan_the_invoices_lines_say_what_of_late_reports_is_billed(
    world: World,
    reading: Literal["old_price", "new_price", "unbilled"],
    billed: int,
    late: list[tuple[Decimal, Decimal]],
) -> None:
    """8 GB reported after the change: at the old price, at the new one (nothing is late), or late."""
    assert world.account is not None
    world.account.state.settings.late_after_price_change = reading
    account = world.customers.account(CUSTOMER)
    assert account is not None
    wanted = planned(account, "professional", None, world.catalog, world.now)
    set_plan(world.stripe, account, wanted, world.tables, world.catalog, world.now)
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.dispatch()
    _night(world.at(END + HOUR))
    world.use(END - HOUR, _gigabytes(8))
    world.dispatch()
    world.settle()
    period = world.period()
    assert (Decimal(billed), "starter@1") == (world.billed(period).quantity(METER), period.plan)
    assert late == [(one.quantity, one.amount) for one in world.late(period)]
    assert (reading == "new_price") == (METER in world.billed(period).mispriced)


def test_where_all_prices_are_exchanged_the_period_goes_on_and_its_invoice_is_found(world: World) -> None:
    """The items begin anew then; no period does."""
    names = ("base_fee", METER, "http_traffic", "api_calls", "storage", "devices")
    world.at(START + 2 * HOUR).use(START, _gigabytes(15))
    world.dispatch()
    _night(world)
    _exchange(world.at(START + 5 * DAY), *names)
    _night(world.later(DAY))
    assert {"subscription_differs", "prices_exchanged"} == _alarmed()
    [period] = world.customers.periods(CUSTOMER)
    assert (START, END, None) == (period.start, period.end, period.nominal_end)
    world.settle()
    assert PeriodState.FINALISED is world.period().state


def test_an_item_made_anew_under_the_same_price_is_seen(world: World) -> None:
    """What the removed item had not billed is on no invoice."""
    _night(world)
    read = world.gateway.reader.subscription

    def anew(subscription_id: str) -> Subscription:
        found = read(subscription_id)
        return replace(found, items=tuple(replace(i, item_id=f"{i.item_id}b") for i in found.items))

    world.gateway.reader.subscription = anew  # type: ignore[method-assign]
    _night(world.at(START + DAY))
    assert {"prices_exchanged"} == _alarmed()


def test_a_yearly_item_beside_ours_decides_no_period(world: World) -> None:
    """The metered items' months go on, and what else is in the subscription is not alarmed."""
    addon = SubscriptionItem("si_addon", "support_yearly", None, "1 year", START, START + 365 * DAY)
    _seen_as(world, lambda found: replace(found, items=(addon, *found.items)))
    for end in (END, NEXT_END):
        _night(world.at(end + HOUR))
    starts = [period.start for period in world.customers.periods(CUSTOMER)]
    assert [START, END, NEXT_END] == starts
    assert set() == _alarmed()


def test_another_living_subscription_on_our_meters_is_an_alarm(world: World) -> None:
    """It bills the same usage again; one with prices of its own does not."""
    support_contract(world)
    _night(world.at(START + HOUR))
    assert set() == _alarmed()
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    [price] = world.stripe.v1.prices.list({"lookup_keys": [f"professional@1.{METER}"]}).data
    other: Any = {"customer": str(profile.stripe_customer_id), "items": [{"price": price.id}]}
    made = world.stripe.v1.subscriptions.create(other)
    _night(world)
    assert {"subscriptions_competing"} == _alarmed()
    world.stripe.v1.subscriptions.cancel(made.id)
    _night(world)
    assert set() == _alarmed()


# ------------------------------------------------------------------ ends


def test_a_period_whose_end_moves_while_its_start_stays_moves_with_it(world: World) -> None:
    """No invoice's quantity is taken for that of a shorter period, which was a credit."""
    later = END + 15 * DAY
    world.at(START + 2 * HOUR).use(START, _gigabytes(15))
    _seen_as(world, _ending(later))
    world.at(END).close()
    assert (later, None) == (world.period().end, world.period().nominal_end)
    assert PeriodState.OPEN is world.period().state
    assert {later} == set(world.looks())
    assert [START] == [period.start for period in world.customers.periods(CUSTOMER)]
    assert set() == _alarmed()


@pytest.mark.parametrize(
    "seen_as", [_ending(START + 20 * DAY), _with(cancel_at=START + 20 * DAY)], ids=["items", "cancel_at"]
)
def test_a_period_that_will_end_early_is_cut_there_and_whole_again_when_that_is_taken_back(
    world: World, seen_as: Callable[[Subscription], Subscription]
) -> None:
    """Averages stay over the whole interval; the closing follows."""
    read = world.gateway.reader.subscription
    _seen_as(world, seen_as)
    _night(world.at(START + DAY))
    assert (START + 20 * DAY, END) == (world.period().end, world.period().nominal_end)
    assert START + 20 * DAY in world.looks()
    world.gateway.reader.subscription = read  # type: ignore[method-assign]
    _night(world.at(START + 2 * DAY))
    assert (END, None) == (world.period().end, world.period().nominal_end)


def test_a_period_that_no_look_saw_is_stored_reconciled_and_closed(world: World) -> None:
    """12 GB of the second month reach its draft, though nobody looked until the third."""
    world.at(NEXT_END + 2 * HOUR).use(END + 20 * DAY, _gigabytes(12))
    world.markers.clear_unsent(next(iter(world.markers.unsent_of(CUSTOMER))))
    _night(world)
    assert [START, END, NEXT_END] == [period.start for period in world.customers.periods(CUSTOMER)]
    assert 1 == _counted("periods_missed")
    while world.customers.periods(CUSTOMER)[1].state is not PeriodState.FINALISED:
        world.later(6 * HOUR).close()
    missed = world.customers.periods(CUSTOMER)[1]
    assert (Decimal(12), Decimal("29.20")) == (missed.invoiced[METER], missed.invoice_total)


def test_a_period_that_no_look_saw_is_stored_too_when_the_subscription_has_ended_since(world: World) -> None:
    """Cancelled at once in the second month, and nobody looked."""
    world.at(END + 5 * DAY)
    world.stripe.v1.subscriptions.cancel(_subscription_id(world), {"invoice_now": True})
    _night(world.later(DAY))
    first, second = world.customers.periods(CUSTOMER)
    assert (START, END) == (first.start, first.end)
    assert (END, END + 5 * DAY, NEXT_END) == (second.start, second.end, second.nominal_end)


# ------------------------------------------------------------------ refusals


def _refusal(status: int) -> stripe.StripeError:
    return stripe.InvalidRequestError("No such object.", None, http_status=status)  # type: ignore[no-untyped-call]  # SDK


def _refused(status: int) -> Callable[..., Any]:
    def refuse(*_given: Any, **_more: Any) -> Any:
        raise _refusal(status)

    return refuse


@pytest.mark.parametrize(
    ("status", "alarm"),
    [
        (400, "stripe_refuses_reads"),
        (403, "stripe_refuses_reads"),
        (404, "stripe_refuses_reads"),
        (401, "stripe_unavailable"),
        (429, ""),
        (500, "stripe_unavailable"),
    ],
)
def test_a_read_that_is_refused_for_good_is_named_and_not_taken_for_an_outage(
    world: World, status: int, alarm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What can be done without it goes on; the look comes in six hours."""
    world.at(END + HOUR).use(START, _gigabytes(12))
    world.gateway.reader.subscription = _refused(status)  # type: ignore[method-assign]
    world.dispatch()
    # A limit passes by itself, and what met it comes back: nobody need be woken.
    assert {alarm} - {""} == _alarmed()
    permanent = alarm == "stripe_refuses_reads"
    assert ("Stripe refuses to be read" in caplog.text) == permanent
    assert (Decimal(12) if permanent else Decimal(0)) == world.stripe_total(METER)


def test_a_look_that_is_refused_for_good_is_not_tried_every_five_minutes(world: World) -> None:
    """It would be an alarm each time."""
    world.gateway.reader.invoices = _refused(404)  # type: ignore[method-assign]
    world.at(END).close()
    assert [END + 6 * HOUR] == world.looks()


def test_the_stripe_customer_was_deleted_is_one_sentence_and_its_period_is_unbilled(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its subscription ended with it; 20 GB, $2.00 and the fee aside, are on no invoice."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(20))
    world.dispatch()
    world.at(START + DAY)
    world.stripe.v1.subscriptions.cancel(_subscription_id(world))
    deleted: Any = {"id": "cus_1", "object": "customer", "deleted": True}
    gone = stripe.Customer.construct_from(deleted, "sk")
    monkeypatch.setattr(stripe.CustomerService, "retrieve", lambda *_args: gone)
    world.gateway.reader.hourly = _refused(404)  # type: ignore[method-assign]
    # Everything that Stripe tells of it can be heard.
    world.hear(*world.events())
    assert 1 == world.customers.periods(CUSTOMER)[0].end.day - START.day
    _night(world)
    assert "the Stripe customer was deleted" in caplog.text
    assert "stripe_customers_deleted" in _alarmed()
    world.at(START + 5 * DAY)
    while not _counted("periods_unbilled"):
        world.at(min(world.looks())).close() if min(world.looks()) > world.now else world.close()
        assert world.now < START + 10 * DAY
    assert PeriodState.CLOSING is world.period().state


# ------------------------------------------------------------------ nothing starves


def test_an_event_that_stripe_keeps_failing_holds_up_no_other(world: World) -> None:
    """4,000 GB used, 4,000 on the invoice, though one number of the second day never gets an answer."""
    stuck = START + DAY
    prefix = f"{CUSTOMER}.{METER}.{stuck:%Y%m%dT%H}.1"
    world.wire.faults.add(replace(_stuck(), identifier_prefix=prefix))
    for number in range(40):
        hour = START + number * 16 * HOUR if number else stuck
        world.at(max(world.now, hour + 2 * HOUR)).use(hour, _gigabytes(100))
        world.dispatch()
    world.dispatch()
    world.dispatch()
    assert Decimal(3900) == world.stripe_total(METER)
    _night(world.later(HOUR))
    assert Decimal(4000) == world.stripe_total(METER)
    world.settle()
    assert Decimal(4000) == world.period().invoiced[METER]


def test_a_closing_period_is_reconciled_although_a_number_gets_no_answer(world: World) -> None:
    """So the hour takes its next number in time for the invoice."""
    prefix = f"{CUSTOMER}.{METER}.{START:%Y%m%dT%H}.1"
    world.wire.faults.add(replace(_stuck(), identifier_prefix=prefix))
    world.at(END + HOUR).use(START, _gigabytes(12))
    for _ in range(4):
        world.close()
        world.later(timedelta(minutes=5))
    assert (2, Decimal(12)) == (world.entries(METER)[START].number, world.stripe_total(METER))


def test_a_reconciliation_that_meets_a_limit_comes_back_that_day(world: World) -> None:
    """By the calendar, later each time; nothing else of its customer waits for it."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.dispatch()
    entry = world.entries(METER)[START]
    day = world.ledger.day(CUSTOMER, START.date())
    world.ledger.put(replace(day, entries={(METER, START): replace(entry, value=Decimal(3))}))
    world.wire.faults.add(replace(_stuck(), kind="429", method="GET", path_prefix="/v1/billing", times=6))
    started = world.later(DAY).now
    _night(world)
    assert 1 == _counted("stripe_limited")
    assert set() == _alarmed()
    tries = 0
    while (due := _retries(world)) and tries < 9:
        world.at(due[0])
        world.close()
        tries += 1
    assert 1 < tries < 9
    assert Decimal(12) == world.entries(METER)[START].value
    assert world.now - started < timedelta(hours=6)


def test_usage_that_meets_a_limit_comes_back_without_the_schedule(world: World) -> None:
    """12 GB are with Stripe within the quarter of an hour, though no schedule asked for them again."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.wire.faults.add(replace(_stuck(), kind="429", times=1))
    world.dispatch()
    assert Decimal(0) == world.stripe_total(METER)
    [due] = _retries(world)
    assert timedelta(minutes=5) <= due - world.now <= timedelta(minutes=15)
    assert set() == _alarmed()
    assert 1 == world.at(due).close()
    assert Decimal(12) == world.stripe_total(METER)
    assert [] == _retries(world)


def test_a_sending_that_meets_limits_for_hours_waits_longer_each_time(world: World) -> None:
    """At most two hours lie between two tries, and one chain of them is in the calendar."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.wire.faults.add(replace(_stuck(), kind="429"))
    world.dispatch()
    waited = []
    for _ in range(8):
        [due] = _retries(world)
        waited.append(due - world.now)
        world.at(due).close()
    assert sorted(waited) == waited
    assert waited[-1] <= timedelta(hours=2, minutes=10)
    world.wire.faults.clear()
    [due] = _retries(world)
    world.at(due).close()
    assert Decimal(12) == world.stripe_total(METER)


def test_an_outage_is_left_to_the_hourly_run(world: World) -> None:
    """What an outage held up is marked still, and enters no calendar: retries would only pile up."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.wire.faults.add(_stuck())
    world.dispatch()
    assert [] == _retries(world)
    world.wire.faults.clear()
    world.later(HOUR).dispatch()
    assert Decimal(12) == world.stripe_total(METER)


@pytest.mark.parametrize("work", [CloseEnded(customer_id=CUSTOMER), Refresh(customer_id=CUSTOMER)])
def test_what_an_event_asked_for_comes_back_after_a_limit(world: World, work: CloseEnded | Refresh) -> None:
    """Stripe tells of a change once; a limit met while looking at it must not be the end of it."""
    world.wire.faults.add(replace(_stuck(), kind="429", method="GET", path_prefix="/v1", times=1))
    world.writer.work(work, world.now)
    [again] = [entry for entry in world.tables.closings.due(world.now + DAY) if isinstance(entry, Retry)]
    assert RETRIED[type(work)] is again.kind
    assert 1 == world.at(again.at).close()
    assert [] == _retries(world)


def _stuck() -> Any:
    return fault("500", times=100_000)


def _retries(world: World) -> list[datetime]:
    due = world.tables.closings.due(world.now + DAY)
    return [entry.at for entry in due if not isinstance(entry, Closing)]


# ------------------------------------------------------------------ after the end


def test_usage_after_the_subscriptions_end_is_kept_counted_and_named(world: World) -> None:
    """4,800 GB in 20 days: nobody bills them, and nobody may think so."""
    world.stripe.v1.subscriptions.update(_subscription_id(world), {"cancel_at_period_end": True})
    _night(world.at(END + HOUR))
    metrics.clear_metrics()
    world.at(END + 20 * DAY)
    for number in range(96):
        world.use(END + number * 5 * HOUR, _gigabytes(50))
    world.at(END + 21 * DAY).dispatch()
    assert 96 == _counted("usage_after_end")
    assert 0 == world.events_sent()
    assert [] == list(world.markers.unsent_of(CUSTOMER))
    found = conserve(CUSTOMER, world.now, world.tables, world.catalog).differences
    [after] = [difference for difference in found if difference.stage is Stage.AFTER_END]
    assert (METER, Decimal(4800), None) == (after.metric, Decimal(cast("str", after.expected)), after.found)
