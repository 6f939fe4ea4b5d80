"""Reporting to the letter of the protocol: what is sent when, and when a marker goes.

Source: docs/stripe-protocol.md#the-protocol.

A period starts at noon of 10 March 2026, a Tuesday.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from metering.core.accounts import Status
from metering.core.instants import HOUR
from metering.tables.ledger import PENDING, SENT, Day, EntryState, VersionConflictError, refused
from stripe_report.gateway import MeterEvent
from stripe_report.report import report_customer
from stripe_simulator.serving.account import StripeAccount
from testing.steps import CrashError
from tests.stripe.transport import METER_EVENTS, fault
from tests.stripe.world import CUSTOMER, DAY, GIB, START, World

MINUTE = timedelta(minutes=1)
MIDNIGHT = START.replace(hour=0) + DAY
METER = "mqtt_traffic"
TRAFFIC = {"mqtt_bytes_sent": 3 * GIB}
ALL_METERS = {"mqtt_bytes_sent": GIB, "http_bytes_sent": GIB, "http_requests": 1000}


def _marked(world: World) -> list[int]:
    return [marker.day.day for marker in world.markers.unsent_of(CUSTOMER)]


def _while_sending(world: World, act: Callable[[], object]) -> None:
    """Let something happen after the ledger says pending and before Stripe is asked, once."""
    send = world.gateway.send
    acts = [act]

    def sending(events: Sequence[MeterEvent]) -> dict[str, EntryState]:
        if acts:
            acts.pop()()
        return send(events)

    world.gateway.send = sending  # type: ignore[method-assign]  # the test's own gateway


def test_an_hour_is_sent_a_quarter_after_it_and_not_a_second_earlier(world: World) -> None:
    """An hour that not every instance closed is sent 15 minutes after its end, not a second earlier."""
    world.use(START, TRAFFIC)
    world.at(START + HOUR + 15 * MINUTE - timedelta(seconds=1)).dispatch()
    assert 0 == world.events_sent()
    world.at(START + HOUR + 15 * MINUTE).dispatch()
    assert Decimal(3) == world.stripe_total(METER)


def test_an_hour_is_sent_at_its_end_when_every_known_instance_is_final(account: StripeAccount) -> None:
    """At its end an hour waits for the second of two instances, and is sent once both are final."""
    world = World(account=account, instances=2)
    world.at(START + HOUR).use(START, TRAFFIC, instance="i0", final=True)
    world.dispatch()
    assert 0 == world.events_sent()
    world.use(START, TRAFFIC, instance="i1", final=True)
    world.dispatch()
    assert Decimal(6) == world.stripe_total(METER)


def test_an_hour_that_one_dead_instance_never_closes_is_sent_a_quarter_after_it(
    account: StripeAccount,
) -> None:
    """15 minutes after its end an hour is sent as it is, though one of two instances never closed it."""
    world = World(account=account, instances=2)
    world.at(START + HOUR + 15 * MINUTE).use(START, TRAFFIC, instance="i0", final=True)
    world.dispatch()
    assert Decimal(3) == world.stripe_total(METER)


def test_an_unknown_instance_that_still_reports_keeps_the_hour_open(world: World) -> None:
    """One that is revoked, say: all that is known is final, and yet the hour may grow."""
    world.at(START + HOUR).use(START, TRAFFIC, instance="revoked")
    world.use(START, TRAFFIC, instance="i0", final=True)
    world.dispatch()
    assert 0 == world.events_sent()


def test_an_open_hour_is_sent_when_asked_for_and_overwritten_later(world: World) -> None:
    """With include_open an open hour is sent with its 3, which number 2 overwrites with 7 later."""
    world.at(START + 10 * MINUTE).use(START, TRAFFIC)
    world.dispatch(include_open=True)
    assert Decimal(3) == world.stripe_total(METER)
    world.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": 7 * GIB})
    world.dispatch()
    assert Decimal(7) == world.stripe_total(METER)
    assert 2 == world.entries(METER)[START].number


def test_a_marker_stays_until_every_hour_of_its_day_is_settled(world: World) -> None:
    """Else nothing would say that the day's last hours are still to be sent."""
    world.at(START + 2 * HOUR).use(START, TRAFFIC)
    world.dispatch()
    world.at(MIDNIGHT + 15 * MINUTE - timedelta(seconds=1)).dispatch()
    assert [10] == _marked(world)
    world.at(MIDNIGHT + 15 * MINUTE).dispatch()
    assert [] == _marked(world)


def test_a_marker_touched_meanwhile_stays(world: World) -> None:
    """A marker touched while its day is sent stays; the next run sends the 5, and it goes."""
    world.at(MIDNIGHT + HOUR).use(START, TRAFFIC)
    _while_sending(world, lambda: world.use(START, {"mqtt_bytes_sent": 5 * GIB}))
    world.dispatch()
    assert [10] == _marked(world)
    world.dispatch()
    assert [] == _marked(world)
    assert Decimal(5) == world.stripe_total(METER)


def test_a_marker_stays_while_a_number_is_pending_and_goes_when_it_is_refused(world: World) -> None:
    """A marker stays while a number of its day is pending, and goes once that is refused."""
    world.at(MIDNIGHT + HOUR).use(START, TRAFFIC)
    world.wire.faults.add(fault("500", times=9))
    world.dispatch()
    assert (PENDING, [10]) == (world.entries(METER)[START].state, _marked(world))

    world.wire.faults.clear()
    world.at(START + 36 * DAY)
    report_customer(world.desk, CUSTOMER, world.now, include_open=False)
    assert refused("timestamp_too_far_in_past") == world.entries(METER)[START].state
    assert [] == _marked(world)


def test_nothing_marked_is_not_one_call(world: World) -> None:
    """A run without a marker makes no call."""
    world.at(MIDNIGHT + HOUR).use(START, TRAFFIC)
    world.dispatch()
    world.wire.calls.clear()
    assert 0 == world.dispatch()
    report_customer(world.desk, CUSTOMER, world.now, include_open=False)
    assert 0 == world.wire.calls.total()


def test_a_day_marked_again_without_a_change_is_not_one_call(world: World) -> None:
    """A day marked again without a changed value makes no call."""
    world.at(MIDNIGHT + HOUR).use(START, TRAFFIC)
    world.dispatch()
    world.wire.calls.clear()
    world.use(START, TRAFFIC)
    assert 1 == world.dispatch()
    assert 0 == world.wire.calls.total()


def test_a_changed_hour_is_one_call_for_each_meter_that_changed(world: World) -> None:
    """Five meters are five calls, and a change of one of them is one call more."""
    world.at(START + 2 * HOUR).use(START, ALL_METERS, devices=3, storage=GIB)
    world.dispatch()
    assert {METER_EVENTS: 5} == dict(world.wire.calls)
    world.wire.calls.clear()
    world.use(START, ALL_METERS | {"http_requests": 2000}, devices=3, storage=GIB)
    world.dispatch()
    assert {METER_EVENTS: 1} == dict(world.wire.calls)


@pytest.mark.parametrize(
    "change", [{"status": Status.SUSPENDED}, {"stripe_customer_id": None, "stripe_subscription_id": None}]
)
def test_a_customer_suspended_or_without_stripe_is_not_one_call(
    world: World, change: dict[str, object]
) -> None:
    """Suspended or without Stripe a customer costs no call and its markers go; marked again, all is sent."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    changed = profile.model_copy(update=change)
    world.customers.replace(profile, changed)
    world.at(MIDNIGHT + HOUR).use(START, TRAFFIC)
    world.dispatch()
    assert 0 == world.wire.calls.total()
    assert [] == _marked(world)

    world.customers.replace(changed, profile)
    for day in world.period().span.days():
        if day <= world.now.date():
            world.markers.touch_unsent(CUSTOMER, day)
    world.dispatch()
    assert Decimal(3) == world.stripe_total(METER)


def test_a_day_of_two_periods_sends_each_hour_by_the_period_it_belongs_to(world: World) -> None:
    """An average is over its own period's length: 31 days until 10 April, noon, then 30 days."""
    end = world.period().end
    before, after = end - HOUR, end
    world.at(end + 2 * HOUR).use(before, devices=31)
    world.use(after, devices=30)
    world.dispatch()
    entries = world.entries("devices")
    hour_of_a_day = Decimal("0.041666666")
    assert [hour_of_a_day, hour_of_a_day] == [entries[before].value, entries[after].value]
    assert 2 == len(world.customers.periods(CUSTOMER))
    world.settle()
    assert world.period().invoiced["devices"] == entries[before].value


def test_hours_after_a_subscriptions_end_are_not_sent(world: World) -> None:
    """No invoice would ever have them."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    world.stripe.v1.subscriptions.update(str(profile.stripe_subscription_id), {"cancel_at_period_end": True})
    end = world.period().end
    world.at(end + 2 * HOUR).use(end - HOUR, TRAFFIC)
    world.use(end, TRAFFIC)
    world.dispatch()
    assert {end - HOUR} == set(world.entries(METER))


def test_a_value_that_goes_from_a_to_b_to_a_ends_as_a_whichever_answers_are_lost(world: World) -> None:
    """3, 5, 3 ends as number 3 with value 3, sent, whichever of the three answers are lost."""
    for lost in range(8):
        hour = START + lost * HOUR
        world.at(max(world.now, hour + 2 * HOUR))
        for step, amount in enumerate((3, 5, 3)):
            world.use(hour, {"mqtt_bytes_sent": amount * GIB})
            if lost >> step & 1:
                world.wire.faults.add(fault("drop_after", times=3))
            world.dispatch()
            world.wire.faults.clear()
        world.dispatch()
        entry = world.entries(METER)[hour]
        assert (3, Decimal(3), SENT) == (entry.number, entry.value, entry.state)
        assert Decimal(3 * (lost + 1)) == world.stripe_total(METER)


def test_a_second_trigger_of_the_same_customer_conflicts_and_reads_again(world: World) -> None:
    """The ledger's version lets one run through; nothing is billed twice."""
    world.at(START + 2 * HOUR).use(START, TRAFFIC)
    _while_sending(world, world.dispatch)
    world.dispatch()
    entry = world.entries(METER)[START]
    assert (1, SENT) == (entry.number, entry.state)
    assert Decimal(3) == world.stripe_total(METER)


def test_a_ledger_written_by_another_run_is_not_overwritten(world: World) -> None:
    """A day of the ledger written from a version that is no longer the newest raises."""
    world.ledger.put(Day(CUSTOMER, START.date()))
    with pytest.raises(VersionConflictError):
        world.ledger.put(Day(CUSTOMER, START.date()))


@pytest.mark.parametrize("after", [False, True])
def test_the_next_run_settles_whatever_step_the_last_one_died_at(
    account: StripeAccount, *, after: bool
) -> None:
    """Reads, writes and calls alike, before their effect and after it."""
    step, finished = 0, False
    while not finished:
        step += 1
        world = World(account=account)
        world.at(MIDNIGHT + HOUR).use(START, TRAFFIC)
        world.use(START + HOUR, TRAFFIC)
        world.steps.die_at(step, after=after)
        try:
            world.dispatch()
            finished = True
        except CrashError:
            world.dispatch()
        world.steps.live_on()
        entries, where = world.entries(METER), world.steps.where
        assert {(1, SENT, Decimal(3))} == {(e.number, e.state, e.value) for e in entries.values()}, where
        assert (Decimal(6), []) == (world.stripe_total(METER), _marked(world)), where
    assert step > 20


def test_days_after_one_that_stripe_did_not_answer_wait_for_the_next_run(world: World) -> None:
    """Stripe being away must not hold a run until it is killed."""
    world.at(MIDNIGHT + DAY).use(START, TRAFFIC)
    world.use(MIDNIGHT, TRAFFIC)
    world.wire.faults.add(fault("drop_before", times=99))
    world.dispatch()
    assert [START] == list(world.entries(METER))
    world.wire.faults.clear()
    world.dispatch()
    assert Decimal(6) == world.stripe_total(METER)
