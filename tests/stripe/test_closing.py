"""Closing a period: what waits, what is put right, what is written down.

Source: docs/stripe-protocol.md#closing-a-period.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
import stripe

from metering.aws.observability import metrics
from metering.core.accounts import PeriodState, Status
from metering.core.instants import HOUR
from metering.tables.ledger import SENT, EntryState, refused
from stripe_report.dispatch import due_closings
from stripe_report.gateway import MeterEvent
from stripe_report.messages import Reconcile
from stripe_simulator.serving.account import StripeAccount
from testing.steps import CrashError
from tests.stripe.transport import fault
from tests.stripe.world import CUSTOMER, DAY, GIB, START, World

MINUTE = timedelta(minutes=1)
END = datetime.fromisoformat("2026-04-10T12:00:00+00:00")
METER = "mqtt_traffic"
SUMMARIES = "GET /v1/billing/meters/{id}/event_summaries"


def _gigabytes(count: int) -> dict[str, int]:
    return {"mqtt_bytes_sent": count * GIB}


def _counted(name: str) -> float:
    """Return how often an operational event was counted since the test began."""
    found: Any = metrics.metric_set.get(name, {"Value": []})
    return float(sum(found["Value"]))


@pytest.fixture(autouse=True)
def _fresh_metrics() -> None:
    metrics.clear_metrics()


def _before_sending(world: World, act: Callable[[], object]) -> None:
    send = world.gateway.send
    acts = [act]

    def sending(events: Sequence[MeterEvent]) -> dict[str, EntryState]:
        if acts:
            acts.pop()()
        return send(events)

    world.gateway.send = sending  # type: ignore[method-assign]  # the test's own gateway


def _late(world: World) -> list[tuple[str, Decimal, Decimal]]:
    billing = world.period()
    found = world.late(billing)
    return [(late.meter, late.quantity, late.amount) for late in found]


# ------------------------------------------------------------------ when


def test_no_period_is_looked_at_before_it_is_over(world: World) -> None:
    """A look a minute before a period's end leaves it open; one at its end makes it closing."""
    assert 0 == world.at(END - MINUTE).close()
    assert PeriodState.OPEN is world.period().state
    assert 1 == world.at(END).close()
    assert PeriodState.CLOSING is world.period().state


def test_a_queue_that_is_behind_multiplies_no_entry_of_the_calendar(world: World) -> None:
    """Asked for three times before its turn came, a look is made once, and so is a retry."""
    world.at(END)
    world.gateway.reader.subscription = _away  # type: ignore[method-assign, assignment]  # the test's own
    world.work([Reconcile(customer_id=CUSTOMER)])
    world.later(DAY)
    for _ in range(2):
        behind = [*due_closings(world.tables.closings, world.now)] * 3
        assert {"close", "reconcile"} == {one.work for one in behind}
        for message in behind:
            world.later(timedelta(seconds=7)).work([message])
        world.later(DAY)
    assert 2 == len([*world.tables.closings.due(world.now)])


def _away(*_: object) -> Any:
    raise stripe.APIConnectionError("away")  # type: ignore[no-untyped-call]  # the SDK has no types there


def test_a_period_whose_last_hour_is_not_settled_is_looked_at_again_in_five_minutes(world: World) -> None:
    """With its last hour unsettled nothing is sent or read, and the next look is in 5 minutes."""
    world.at(END + 2 * MINUTE).use(END - HOUR, _gigabytes(3))
    world.close()
    assert (0, 0) == (world.events_sent(), world.wire.calls[SUMMARIES])
    assert [END + 7 * MINUTE] == world.looks()
    world.at(END + 15 * MINUTE).close()
    assert Decimal(3) == world.stripe_total(METER)


def test_a_period_with_an_hour_that_waits_to_be_recomputed_is_looked_at_again(world: World) -> None:
    """With a dirty hour no summary is read, and the next look, in 5 minutes, sends what was recomputed."""
    world.at(END + HOUR).report(START, _gigabytes(3))
    world.close()
    assert [world.now + 5 * MINUTE] == world.looks()
    assert 0 == world.wire.calls[SUMMARIES]
    world.recompute(START)
    world.at(world.now + 5 * MINUTE).close()
    assert Decimal(3) == world.stripe_total(METER)


def test_a_period_in_order_is_looked_at_seldom_until_its_invoice_is_due(world: World) -> None:
    """A period in order takes fewer than 20 looks, the last one at most 72 h 5 min after its end."""
    world.at(END + HOUR).use(START, _gigabytes(3))
    looks = []
    while world.period().state is not PeriodState.FINALISED:
        looks.append(world.now - END)
        world.close()
        if world.looks():
            world.at(min(world.looks()))
    assert 20 > len(looks)
    assert looks[-1] <= timedelta(hours=72, minutes=5)
    # From then on the invoice is watched, once a day, until it is paid or void.
    assert [world.now] == world.looks()


# ------------------------------------------------------------------ putting right


def test_what_an_old_request_overwrote_is_found_and_sent_again_under_the_next_number(world: World) -> None:
    """12 processed late over a newer 30 are found at the closing, and 30 goes again as number 3."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.wire.faults.add(fault("processed_late", after_s=24 * 3600))
    world.dispatch()
    world.use(START, _gigabytes(30))
    world.dispatch()
    assert Decimal(30) == world.stripe_total(METER)
    world.later(2 * DAY)
    assert Decimal(12) == world.stripe_total(METER)

    world.settle()
    assert (3, Decimal(30)) == (world.entries(METER)[START].number, world.entries(METER)[START].value)
    assert {METER: Decimal(30)} == {m: q for m, q in world.period().invoiced.items() if q}


def test_a_difference_younger_than_ten_minutes_is_left_to_stripe(world: World) -> None:
    """Summaries lag: what was just sent need not be there yet."""
    assert world.account is not None
    world.account.change_settings({"aggregation_delay_s": 8 * 60})
    world.at(END + HOUR).use(START, _gigabytes(3))
    world.close()
    assert [world.now + 5 * MINUTE] == world.looks()
    world.at(world.now + 5 * MINUTE).close()
    world.at(world.now + 5 * MINUTE).close()
    assert (1, 1) == (world.events_sent(), world.entries(METER)[START].number)
    assert world.now + HOUR < min(world.looks())


def test_what_still_differs_an_hour_after_it_was_sent_again_is_an_alarm_with_the_three_values(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What differs an hour after it was sent again is counted as overdue, with usage, ledger and Stripe."""
    assert world.account is not None
    [meter] = [m for m in world.account.state.meters.values() if m.event_name == f"zemfyre_{METER}"]
    world.at(END + HOUR).use(START, _gigabytes(3))
    meter.deactivated_at = world.clock.now()
    first = world.now
    while world.now <= first + 70 * MINUTE:
        assert 0 == _counted("hours_overdue")
        world.close()
        world.later(5 * MINUTE)
    world.later(10 * MINUTE).close()
    assert 1 <= _counted("hours_overdue")
    [record, *_] = [r for r in caplog.records if r.levelname == "ERROR"]
    said: Any = record.__dict__
    assert CUSTOMER == said["customer_id"]
    row = said["rows"][0]
    assert (METER, "2026-03-10T12:00:00Z") == (row["meter"], row["hour"])
    assert ("3.000000000", "3.000000000", None) == (row["usage"], row["ledger"], row["stripe"])

    meter.deactivated_at = None
    world.settle()
    assert Decimal(3) == world.period().invoiced[METER]


def test_a_refused_number_is_sent_again_by_the_reconciliation(world: World) -> None:
    """No run repeats a number reported as refused; the reconciliation sends number 2, which stays sent."""
    assert world.account is not None
    [meter] = [m for m in world.account.state.meters.values() if m.event_name == f"zemfyre_{METER}"]
    world.at(START + 2 * HOUR).use(START, _gigabytes(3))
    meter.deactivated_at = world.clock.now()
    world.dispatch()
    meter.deactivated_at = None
    reports = [e for e in world.later(MINUTE).events() if e["detail-type"].startswith("v1.billing.meter")]
    assert 1 == world.hear(*reports)
    assert refused("archived_meter") == world.entries(METER)[START].state
    assert 1 == _counted("contributions_refused")
    world.dispatch()
    assert 1 == world.events_sent()

    world.later(10 * MINUTE)
    assert [METER] == [row["meter"] for row in world.reconcile()]
    assert (2, SENT) == (world.entries(METER)[START].number, world.entries(METER)[START].state)
    assert 1 == world.hear(*reports)
    assert (2, SENT) == (world.entries(METER)[START].number, world.entries(METER)[START].state)


def test_a_number_that_stripe_counts_is_sent_whatever_a_report_said_of_it(world: World) -> None:
    """Its repetition was refused a day later, when Stripe had forgotten the identifier."""
    assert world.account is not None
    [meter] = [m for m in world.account.state.meters.values() if m.event_name == f"zemfyre_{METER}"]
    world.at(START + 2 * HOUR).use(START, _gigabytes(3))
    world.wire.faults.add(fault("500_after"))
    world.dispatch()
    world.later(25 * HOUR)
    meter.deactivated_at = world.clock.now()
    world.dispatch()
    meter.deactivated_at = None
    world.hear(*[e for e in world.later(MINUTE).events() if e["detail-type"].startswith("v1.billing")])
    assert refused("archived_meter") == world.entries(METER)[START].state
    assert [] == world.later(HOUR).reconcile()
    assert (1, SENT) == (world.entries(METER)[START].number, world.entries(METER)[START].state)


def test_an_event_that_someone_else_sent_is_overwritten_with_zero(world: World) -> None:
    """40 that someone else sent are a difference of -40, overwritten with 0 and found no more."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    world.at(START + 2 * HOUR)
    world.stripe.v1.billing.meter_events.create(
        {
            "event_name": f"zemfyre_{METER}",
            "payload": {"stripe_customer_id": str(profile.stripe_customer_id), "value": "40"},
            "timestamp": int(START.timestamp()),
        }
    )
    assert ["-40.0"] == [row["difference"] for row in world.reconcile()]
    assert Decimal(0) == world.stripe_total(METER)
    assert [] == world.later(HOUR).reconcile()


def test_looking_without_fixing_sends_nothing(world: World) -> None:
    """A reconciliation that may not fix shows usage, ledger and Stripe's value, and sends no event."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(3))
    [row] = world.reconcile(fix=False)
    assert ("3.000000000", "0", None) == (row["usage"], row["ledger"], row["stripe"])
    assert 0 == world.events_sent()


def test_the_daily_reconciliation_puts_an_open_period_right(world: World) -> None:
    """The daily reconciliation of an open period sends the newer 30 again over the old request's 12."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.wire.faults.add(fault("processed_late", after_s=3600))
    world.dispatch()
    world.use(START, _gigabytes(30))
    world.dispatch()
    world.later(DAY).writer.work(Reconcile(customer_id=CUSTOMER), world.now)
    assert Decimal(30) == world.stripe_total(METER)


def test_stripe_being_away_holds_nothing_up_and_is_counted(world: World) -> None:
    """Stripe being away is counted as such, keeps the period in the calendar, and the next look sends."""
    world.at(END + HOUR).use(START, _gigabytes(3))
    wire = world.wire
    wire.faults.add(fault("500", times=1))
    wire.faults.pending[0].method, wire.faults.pending[0].path_prefix = "GET", "/v1/invoices"
    world.close()
    assert 1 == _counted("stripe_unavailable")
    assert [END] == world.looks()
    world.close()
    assert Decimal(3) == world.stripe_total(METER)


# ------------------------------------------------------------------ final


def test_a_final_invoice_is_written_down_with_quantities_link_and_total(world: World) -> None:
    """Both tiers of a meter's price are one quantity."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12) | {"http_requests": 150_000})
    world.settle()
    period, invoice = world.period(), world.final_invoice()
    assert (invoice.id, invoice.hosted_invoice_url) == (period.invoice_id, period.invoice_url)
    assert Decimal("54.20") == period.invoice_total
    assert {METER: Decimal(12), "api_calls": Decimal(150)} == {m: q for m, q in period.invoiced.items() if q}


def test_what_was_written_down_is_never_written_again(world: World) -> None:
    """A finalised period is unchanged by events repeated in any order, and refuses to be replaced."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.settle()
    period = world.period()
    events = world.events()
    world.hear(*events, *reversed(events))
    assert period == world.period()
    with pytest.raises(ValueError, match="finalised"):
        world.customers.replace_period(CUSTOMER, period, period.model_copy(update={"invoiced": {}}))


def test_a_draft_that_stripe_cannot_finalise_is_told_of(world: World) -> None:
    """A draft whose time has passed is one that nobody finalises: alarmed, and looked at seldom."""
    assert world.account is not None
    world.use(START, _gigabytes(30))
    world.later(2 * HOUR).dispatch()
    world.account.state.settings.failing_finalisation = True
    world.at(END + MINUTE)
    looks = 0
    while world.now < END + 6 * DAY:
        looks += world.close()
        world.at(max(min(world.looks()), world.now + timedelta(seconds=1)))
    assert 1 <= _counted("drafts_stuck")
    assert 100 >= looks

    draft, _of_the_first_fee = world.stripe.v1.invoices.list({"status": "draft"}).data
    world.stripe.v1.invoices.finalize_invoice(draft.id)
    world.later(DAY).close()
    assert PeriodState.FINALISED is world.period().state
    assert Decimal(30) == world.period().invoiced[METER]


def test_usage_after_finalisation_is_late_and_not_sent(world: World) -> None:
    """What comes after finalisation is late usage, 3 GB and $0.30; it is not sent, and its marker goes."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.settle()
    sent = world.events_sent()
    world.use(START, _gigabytes(15))
    world.dispatch()
    assert sent == world.events_sent()
    assert [(METER, Decimal(3), Decimal("0.30"))] == _late(world)
    assert [] == list(world.markers.unsent_of(CUSTOMER))


def test_a_correction_in_the_grace_time_is_on_the_invoice(world: World) -> None:
    """A correction in the grace time of the draft is on the invoice, 25, and nothing is late."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.dispatch()
    world.at(END + 20 * HOUR).close()
    world.use(START, _gigabytes(25))
    world.settle()
    assert Decimal(25) == world.period().invoiced[METER]
    assert [] == _late(world)


def test_an_event_finalised_between_its_sending_and_its_answer_is_late_usage(world: World) -> None:
    """Stripe acknowledged it, and it is on no invoice."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.dispatch()
    world.at(END + HOUR).use(START, _gigabytes(15))
    [draft] = [i for i in world.stripe.v1.invoices.list().data if i.status == "draft"]
    _before_sending(world, lambda: world.stripe.v1.invoices.finalize_invoice(draft.id))
    world.dispatch()
    assert (SENT, Decimal(15)) == (world.entries(METER)[START].state, world.entries(METER)[START].value)
    world.settle()
    assert Decimal(12) == world.period().invoiced[METER]
    assert [(METER, Decimal(3), Decimal("0.30"))] == _late(world)


def test_a_suspended_customers_period_closes_with_what_was_sent(world: World) -> None:
    """A suspended customer's period closes with what was sent, and 5 GB used since then are late usage."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.dispatch()
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    assert world.customers.replace(profile, profile.model_copy(update={"status": Status.SUSPENDED}))
    world.use(START + HOUR, _gigabytes(5))
    sent = world.events_sent()
    world.settle()
    assert sent == world.events_sent()
    assert [(METER, Decimal(5), Decimal("0.50"))] == _late(world)


@pytest.mark.parametrize("after", [False, True])
def test_the_next_look_settles_whatever_step_the_last_one_died_at(
    account: StripeAccount, *, after: bool
) -> None:
    """In sending, reconciling and finalising alike: the invoice is right, and written down once."""
    for due in (END + HOUR, END + 73 * HOUR):
        step, finished = 0, False
        while not finished:
            step += 1
            world = World(account=account)
            world.at(START + 2 * HOUR).use(START, _gigabytes(12))
            world.dispatch()
            world.at(END + HOUR).use(START, _gigabytes(15))
            if due > world.now:
                world.close()
                world.at(due)
            world.steps.die_at(step, after=after)
            try:
                world.close()
                finished = True
            except CrashError:
                world.steps.live_on()
            world.settle()
            where = world.steps.where
            assert Decimal(15) == world.period().invoiced[METER], where
            assert Decimal("29.50") == world.period().invoice_total, where
            assert 1 == len(world.looks()), where
        assert step > 3


# ------------------------------------------------------------------ subscriptions


def test_a_new_anchor_cuts_the_period_and_each_invoice_has_its_own_usage(world: World) -> None:
    """The average is still over the whole interval that the period would have had."""
    moved_at = START + 5 * DAY + 2 * HOUR
    world.at(START + 2 * HOUR).use(START, _gigabytes(12), devices=31 * 24)
    world.dispatch()
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    world.at(moved_at)
    world.stripe.v1.subscriptions.update(
        str(profile.stripe_subscription_id),
        cast("Any", {"billing_cycle_anchor": "now", "proration_behavior": "none"}),
    )
    *_, update = [e for e in world.events() if e["detail-type"] == "customer.subscription.updated"]
    assert 1 == world.hear(update)
    first, second = world.customers.periods(CUSTOMER)
    assert (moved_at, END) == (first.end, first.nominal_end)
    assert (moved_at, False) == (second.start, second.first)
    world.at(moved_at + 2 * HOUR).use(moved_at, _gigabytes(20))
    world.settle()
    assert (Decimal(12), Decimal(1)) == (world.period().invoiced[METER], world.period().invoiced["devices"])
    moved = world.customers.customer(CUSTOMER)
    assert moved is not None
    assert moved_at == moved.anchor
    world.dispatch()
    preview = world.stripe.v1.invoices.create_preview({"customer": str(profile.stripe_customer_id)})
    assert 2900 + 100 == preview.total


def test_a_cancellation_at_once_cuts_the_period_and_closes_it(world: World) -> None:
    """A cancellation at once ends the period there, keeps its nominal end, and bills its 12."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.dispatch()
    gone = world.at(START + 3 * DAY).now
    world.stripe.v1.subscriptions.cancel(str(profile.stripe_subscription_id), {"invoice_now": True})
    world.hear(*[e for e in world.events() if e["detail-type"] == "customer.subscription.deleted"])
    assert (gone, END) == (world.period().end, world.period().nominal_end)
    left = world.customers.customer(CUSTOMER)
    assert left is not None
    assert left.stripe_subscription_id is None
    world.settle()
    assert Decimal(12) == world.period().invoiced[METER]


def test_a_new_period_has_the_plan_whose_prices_the_subscription_has(world: World) -> None:
    """A plan change that has not reached Stripe is not what Stripe will bill."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    assert world.customers.replace(profile, profile.model_copy(update={"plan": "professional@1"}))
    world.at(END + HOUR).hear(*world.events())
    assert "starter@1" == world.customers.periods(CUSTOMER)[1].plan


def test_events_of_others_lead_to_nothing(world: World) -> None:
    """The Stripe account may have customers that are not ours."""
    other = world.stripe.v1.customers.create({"name": "Other"})
    [price] = world.stripe.v1.prices.list({"lookup_keys": ["starter@1.base_fee"]}).data
    world.stripe.v1.subscriptions.create({"customer": other.id, "items": [{"price": price.id}]})
    heard = [e for e in world.events() if e["detail"]["data"]["object"].get("customer") == other.id]
    assert heard
    assert 0 == world.hear(*heard)


@pytest.mark.parametrize("order", ["late", "repeated", "reversed", "never"])
def test_the_invoice_is_right_however_events_arrive(world: World, order: str) -> None:
    """However events arrive, what the invoice has and what is late add up to the 14 that were used."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(12))
    world.dispatch()
    world.at(END + 20 * MINUTE)
    if order == "repeated":
        world.hear(*world.events(), *world.events())
    world.use(START + HOUR, _gigabytes(2))
    world.at(END + 73 * HOUR) if order == "late" else world.close()
    if order != "never":
        world.hear(*(reversed(world.events()) if order == "reversed" else world.events()))
    world.settle()
    # Late events find an invoice that Stripe finalised without the second hour: it is late usage.
    on_invoice = Decimal(12) if order == "late" else Decimal(14)
    assert on_invoice == world.period().invoiced[METER]
    assert Decimal(14) == on_invoice + sum(quantity for _, quantity, _ in _late(world))
