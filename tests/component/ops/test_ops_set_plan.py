"""``ops customers set-plan``: another plan from the next period on, never in the middle of one."""

from datetime import datetime
from typing import Any

import pytest

from metering.core.accounts import Account
from metering.core.catalog import Override, builtin_catalog
from metering.core.instants import DAY, hour_of
from metering.core.periods import Period
from ops.errors import OperatorError
from ops.set_plan import planned, set_plan
from stripe_report.desk import Desk as ReportDesk
from stripe_report.gateway import Gateway
from stripe_report.subscription import refresh
from tests.component.ops.desk import Desk

ADD = ("customers", "add", "acme", "--name", "Acme")
SET = ("customers", "set-plan", "acme")


@pytest.fixture
def subscribed(synced: Desk) -> Desk:
    """A desk with a customer on starter, with Stripe, in the first hour of its first period."""
    synced.good(*ADD)
    synced.simulator.clock.advance(3600)
    return synced


def _account(desk: Desk) -> Account:
    account = desk.tables.customers.account("acme")
    assert account is not None
    return account


def _refresh(desk: Desk) -> None:
    """Have stripe_report look at the customer's subscription, as it does with each of its work."""
    gateway = Gateway(desk.stripe)
    refresh(ReportDesk(desk.tables, lambda: gateway, builtin_catalog()), _account(desk), desk.now)


def _subscription(desk: Desk) -> Any:
    return desk.stripe.v1.subscriptions.retrieve(str(_account(desk).customer.stripe_subscription_id))


def _plans(desk: Desk) -> set[str]:
    return {item.price.lookup_key.partition(".")[0] for item in _subscription(desk)["items"].data}


def test_the_next_period_has_the_new_plan(subscribed: Desk) -> None:
    """The present period keeps plan and prices; the next one's snapshot and invoice have the new ones."""
    said = subscribed.good(*SET, "professional", "--json").json
    [present] = _account(subscribed).periods
    assert {"starter@1"} == _plans(subscribed) | {present.plan}
    assert present.end == datetime.fromisoformat(said["effective"])

    subscribed.simulator.clock.set(int(present.end.timestamp()) + 1)
    _refresh(subscribed)
    assert {"professional@1"} == _plans(subscribed)
    assert ["starter@1", "professional@1"] == [one.plan for one in _account(subscribed).periods]
    newest = subscribed.stripe.v1.invoices.list().data[0]
    assert ("subscription_cycle", 9900) == (newest.billing_reason, newest.total)


@pytest.mark.parametrize("ends", [{"cancel_at_period_end": True}, {"cancel_at": "min_period_end"}])
def test_a_subscription_that_will_end_gets_no_other_plan(subscribed: Desk, ends: dict[str, Any]) -> None:
    """However its end is told: another plan from then on would be none, or undo the cancellation."""
    change: Any = ends | {"proration_behavior": "none"}
    subscribed.stripe.v1.subscriptions.update(_subscription(subscribed)["id"], change)
    [present] = _account(subscribed).periods
    said = subscribed.wrong(1, *SET, "professional")
    assert f"is cancelled at {present.end:%Y-%m-%dT%H:%M:%SZ}; undo that in Stripe first" in said
    assert _subscription(subscribed)["schedule"] is None
    assert "starter@1" == _account(subscribed).customer.plan


def test_setting_a_plan_twice_sets_it_once(subscribed: Desk) -> None:
    """The same command again says that it is so already and calls nothing that could change something."""
    subscribed.good(*SET, "professional")
    changes = subscribed.changes()

    assert "has already professional@1" in subscribed.good(*SET, "professional").out
    assert changes == subscribed.changes()


def test_the_present_plan_undoes_the_change(subscribed: Desk) -> None:
    """Setting the present plan again releases the schedule: the next period is like this one."""
    subscribed.good(*SET, "professional")
    subscribed.good(*SET, "starter")
    subscribed.simulator.clock.advance(40 * 86_400)

    assert ({"starter@1"}, None) == (_plans(subscribed), _subscription(subscribed).schedule)
    assert "starter@1" == _account(subscribed).customer.plan


def test_before_the_first_period_begins_its_plan_is_changed(synced: Desk) -> None:
    """A plan that is set before billing begins is the first period's, here and at Stripe; undoing as well."""
    synced.good(*ADD)
    said = synced.good(*SET, "professional", "--json").json
    [first] = _account(synced).periods
    assert ("professional@1", first.start) == (first.plan, datetime.fromisoformat(said["effective"]))
    synced.good(*SET, "starter")
    synced.good(*SET, "professional")

    synced.simulator.clock.advance(32 * 86_400)
    _refresh(synced)
    assert ["professional@1"] * 2 == [one.plan for one in _account(synced).periods]
    assert [9900, 9900] == [invoice.total for invoice in synced.stripe.v1.invoices.list().data]


@pytest.mark.parametrize("kept_out", [(), ("--no-stripe",)])
@pytest.mark.parametrize(
    "change", [("professional", "--override", "{}"), ("starter", "--override", '{"base_fee": "25"}')]
)
def test_undoing_a_change_restores_the_customer_s_own_prices(
    synced: Desk, kept_out: tuple[str, ...], change: tuple[str, ...]
) -> None:
    """The present plan again, without an override, is the present period's with its own prices."""
    own = '{"base_fee": "19", "meters": {"devices": {"included": "25", "overage": "1.50"}}}'
    synced.good(*ADD, "--override", own, *kept_out)
    synced.simulator.clock.advance(3600)
    added = _account(synced).customer
    synced.good(*SET, *change)
    assert added != _account(synced).customer
    synced.good(*SET, "starter")

    assert added == _account(synced).customer
    assert "has already starter@1" in synced.good(*SET, "starter").out
    if not kept_out:
        assert None is _subscription(synced).schedule
        synced.simulator.clock.advance(32 * 86_400)
        _refresh(synced)
        assert [added.override] * 2 == [one.override for one in _account(synced).periods]


def test_a_change_with_own_prices_is_undone_without_asking(subscribed: Desk) -> None:
    """Own prices that were to come need no word of what becomes of them when the change is undone."""
    subscribed.good(*SET, "enterprise", "--override", '{"base_fee": "500"}')
    subscribed.good(*SET, "starter")

    customer = _account(subscribed).customer
    assert ("starter@1", Override()) == (customer.plan, customer.override)


def test_another_plan_replaces_the_one_that_was_planned(subscribed: Desk) -> None:
    """Of several changes in one period the last one counts, own prices included."""
    subscribed.good(*SET, "professional")
    override = '{"base_fee": "500"}'
    subscribed.good(*SET, "enterprise", "--override", override)
    subscribed.simulator.clock.advance(32 * 86_400)

    [item] = _subscription(subscribed)["items"].data
    assert item.price.lookup_key.startswith("acme.base_fee.")
    _refresh(subscribed)
    assert ["starter@1", "enterprise@1"] == [one.plan for one in _account(subscribed).periods]


def test_a_plan_can_change_every_period(subscribed: Desk) -> None:
    """While the schedule of the last change still runs, another change takes effect at the next end."""
    subscribed.good(*SET, "professional")
    subscribed.simulator.clock.advance(32 * 86_400)
    _refresh(subscribed)
    account, now = _account(subscribed), subscribed.now
    wanted = planned(account, "starter@1", None, builtin_catalog(), now)
    change = set_plan(subscribed.stripe, account, wanted, subscribed.tables, builtin_catalog(), now)
    assert account.periods[-1].end == change.effective
    assert {"professional@1"} == _plans(subscribed)

    subscribed.simulator.clock.advance(32 * 86_400)
    assert {"starter@1"} == _plans(subscribed)


@pytest.mark.parametrize("kind", ["500", "500_after"])
@pytest.mark.parametrize("skip", [0, 1])
def test_a_crash_between_the_steps_is_mended(subscribed: Desk, kind: str, skip: int) -> None:
    """A failure while the schedule is made or filled leaves the profile; running again does what is left."""
    subscribed.fault(kind, "/v1/subscription_schedules", skip=skip)
    subscribed.wrong(1, *SET, "professional")
    assert "starter@1" == _account(subscribed).customer.plan
    subscribed.good(*SET, "professional")
    subscribed.simulator.clock.advance(32 * 86_400)

    assert {"professional@1"} == _plans(subscribed)
    assert 1 == len(subscribed.stripe.v1.subscription_schedules.list().data)


@pytest.mark.parametrize("interval", ["month", "year"])
def test_what_else_is_in_the_subscription_stays_in_it(subscribed: Desk, interval: str) -> None:
    """Two support seats put in by hand outlive a change of plan, and are no change that is to be undone."""
    stripe = subscribed.stripe
    product = stripe.v1.products.create({"name": "Support"})
    seat: Any = {"product": product.id, "currency": "usd", "unit_amount": 5000}
    price = stripe.v1.prices.create(seat | {"recurring": {"interval": interval}})
    added: Any = {"items": [{"price": price.id, "quantity": 2}], "proration_behavior": "none"}
    stripe.v1.subscriptions.update(_subscription(subscribed).id, added)
    assert "has already starter@1" in subscribed.good(*SET, "starter").out
    subscribed.good(*SET, "professional")
    assert "has already professional@1" in subscribed.good(*SET, "professional").out
    subscribed.good(*SET, "starter")
    assert None is _subscription(subscribed).schedule

    subscribed.good(*SET, "professional")
    subscribed.simulator.clock.advance(32 * 86_400)
    items = {item.price.id: item for item in _subscription(subscribed)["items"].data}
    assert 2 == items.pop(price.id)["quantity"]
    assert {"professional@1"} == {item.price.lookup_key.partition(".")[0] for item in items.values()}


def test_a_schedule_of_somebody_else_is_left_alone(subscribed: Desk) -> None:
    """A schedule with phases that this program did not make ends the command."""
    subscription = _subscription(subscribed)
    schedule: Any = subscribed.stripe.v1.subscription_schedules.create({"from_subscription": subscription.id})
    items: Any = [{"price": item.price.id} for item in subscription["items"].data]
    [phase] = schedule["phases"]
    phases: Any = [
        {"items": items, "start_date": phase["start_date"], "end_date": phase["end_date"]},
        {"items": items[:1], "duration": {"interval": "month"}, "proration_behavior": "none"},
    ]
    subscribed.stripe.v1.subscription_schedules.update(schedule.id, {"phases": phases})

    assert "was not made here" in subscribed.wrong(1, *SET, "professional")
    assert "starter@1" == _account(subscribed).customer.plan


def test_a_dry_run_sets_no_plan(subscribed: Desk) -> None:
    """A dry run says from when the plan would be, and changes neither Stripe nor the profile."""
    changes = subscribed.changes()

    assert "would have professional@1" in subscribed.good(*SET, "professional", "--dry-run").out
    assert (changes, "starter@1") == (subscribed.changes(), _account(subscribed).customer.plan)


def test_own_prices_are_not_kept_or_dropped_in_silence(synced: Desk) -> None:
    """A customer with an override gets another plan only when it is said what becomes of the override."""
    override = '{"base_fee": "19"}'
    synced.good(*ADD, "--no-stripe", "--override", override)
    assert "prices of its own" in synced.wrong(2, *SET, "professional")
    synced.good(*SET, "professional", "--override", "{}")

    assert ("professional@1", Override()) == (
        _account(synced).customer.plan,
        _account(synced).customer.override,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gold",), "no plan 'gold'"),
        (("enterprise",), "base_fee"),
        (("professional", "--override", "x"), "--override is not JSON"),
    ],
)
def test_a_wrong_plan_is_named(subscribed: Desk, arguments: tuple[str, ...], said: str) -> None:
    """A plan that does not exist, or needs an override, ends with status 2 and changes nothing."""
    changes = subscribed.changes()

    assert said in subscribed.wrong(2, *SET, *arguments)
    assert changes == subscribed.changes()


def test_calendar_months_keep_the_plan_they_had(desk: Desk) -> None:
    """Without Stripe the months so far keep the old plan, stored or not, and the next has the new one."""
    desk.good(*ADD, "--no-stripe")
    first = hour_of(desk.now) - 65 * DAY
    desk.used("acme", first, gib=1)
    desk.good(*SET, "professional")
    desk.good(*SET, "professional")

    account = _account(desk)
    present = Period.calendar_month(desk.now)
    assert {"starter@1"} == {one.plan for one in account.periods}
    assert Period.calendar_month(first).start == account.periods[0].start
    assert present.end == account.periods[-1].end
    assert _plan_at(account, first) == _plan_at(account, desk.now) == "starter@1"
    assert "professional@1" == _plan_at(account, present.end)


def test_calendar_months_that_are_kept_name_what_they_sell(desk: Desk) -> None:
    """A meter that their plan is given later they do not sell."""
    desk.good(*ADD, "--no-stripe")
    desk.good(*SET, "professional")
    periods = _account(desk).periods
    assert periods
    assert {tuple(builtin_catalog().meters_of("starter@1"))} == {period.meters for period in periods}


def test_a_change_of_the_profile_meanwhile_is_not_overwritten(desk: Desk) -> None:
    """Two operators at once: the second finds another profile than it read and stops."""
    desk.good(*ADD, "--no-stripe")
    read = _account(desk)
    desk.good("customers", "suspend", "acme")
    wanted = planned(read, "professional@1", None, builtin_catalog(), desk.now)
    with pytest.raises(OperatorError, match="changed meanwhile"):
        set_plan(None, read, wanted, desk.tables, builtin_catalog(), desk.now)

    kept = _account(desk).customer
    assert ("suspended", "starter@1") == (kept.status, kept.plan)


def _plan_at(account: Account, instant: datetime) -> str:
    period = account.period_at(hour_of(instant))
    assert period is not None
    return period.plan
