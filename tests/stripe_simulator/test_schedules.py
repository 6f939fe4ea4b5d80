"""Subscription schedules: prices that change at a period's end."""

from typing import Any

import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, instant, loose

PERIOD_END = instant("2026-04-10T12:00")


@pytest.fixture
def subscription(shop: Shop) -> stripe.Subscription:
    """The fee of $29 and metered units at ten cents beyond ten, from noon."""
    return shop.subscribe()


@pytest.fixture
def dearer(client: stripe.StripeClient, shop: Shop) -> list[dict[str, Any]]:
    """A fee of $99 and metered units at one dollar each, as the items of a phase."""
    fee = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "Professional"},
            "unit_amount": 9900,
            "recurring": {"interval": "month"},
        }
    )
    metered = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "MQTT traffic"},
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [{"up_to": "inf", "unit_amount": 100}],
            "recurring": {"interval": "month", "usage_type": "metered", "meter": shop.meter},
        }
    )
    return [{"price": fee.id}, {"price": metered.id}]


def _items(shop: Shop) -> list[dict[str, Any]]:
    return [{"price": shop.fee_price}, {"price": shop.metered_price}]


def _from(client: stripe.StripeClient, subscription: stripe.Subscription) -> stripe.SubscriptionSchedule:
    return client.v1.subscription_schedules.create({"from_subscription": subscription.id})


def _plan(
    client: stripe.StripeClient, schedule: str, now: list[Any], later: list[Any], **changes: Any
) -> stripe.SubscriptionSchedule:
    second = {"items": later, "duration": {"interval": "month"}, "proration_behavior": "none"} | changes
    first = {"items": now, "start_date": NOON, "end_date": PERIOD_END}
    return client.v1.subscription_schedules.update(schedule, loose({"phases": [first, second]}))


def test_a_schedule_starts_as_the_subscription_is(
    client: stripe.StripeClient, shop: Shop, subscription: stripe.Subscription
) -> None:
    """A schedule made from a subscription has one phase, the period, and the subscription names it."""
    schedule = _from(client, subscription)

    [phase] = schedule.phases
    assert (NOON, PERIOD_END) == (phase.start_date, phase.end_date)
    assert [shop.fee_price, shop.metered_price] == [item.price for item in phase["items"]]
    assert schedule.current_phase is not None
    assert PERIOD_END == schedule.current_phase.end_date
    assert schedule.id == client.v1.subscriptions.retrieve(subscription.id).schedule
    with pytest.raises(stripe.InvalidRequestError, match="already attached"):
        _from(client, subscription)


def test_prices_change_at_the_end_of_the_period(
    client: stripe.StripeClient,
    shop: Shop,
    clock: Clock,
    subscription: stripe.Subscription,
    dearer: list[dict[str, Any]],
) -> None:
    """The ended period is billed at the old prices, the next fee and the next usage at the new ones."""
    _plan(client, _from(client, subscription).id, _items(shop), dearer)
    shop.use("30", timestamp=NOON)
    preview = client.v1.invoices.create_preview({"subscription": subscription.id})
    clock.set(PERIOD_END + HOUR)
    shop.use("5", timestamp=PERIOD_END)
    clock.set(instant("2026-05-10T12:00") + 2 * HOUR)

    april, march = [
        one for one in client.v1.invoices.list().data if one.billing_reason != "subscription_create"
    ]
    assert 200 + 9900 == preview.total == march.total
    assert 500 + 9900 == april.total


def test_the_subscription_goes_on_when_the_schedule_is_over(
    client: stripe.StripeClient,
    shop: Shop,
    clock: Clock,
    subscription: stripe.Subscription,
    dearer: list[dict[str, Any]],
) -> None:
    """After the last phase the schedule is released and the subscription keeps the new prices."""
    schedule = _plan(client, _from(client, subscription).id, _items(shop), dearer)
    clock.set(instant("2026-06-01T00:00"))

    after = client.v1.subscriptions.retrieve(subscription.id)
    assert after.schedule is None
    assert [one["price"] for one in dearer] == [item.price.id for item in after["items"].data]
    ended = client.v1.subscription_schedules.retrieve(schedule.id)
    assert ("released", subscription.id) == (ended.status, ended.released_subscription)


def test_a_released_schedule_changes_nothing(
    client: stripe.StripeClient,
    shop: Shop,
    clock: Clock,
    subscription: stripe.Subscription,
    dearer: list[dict[str, Any]],
) -> None:
    """A schedule that is released before its phase leaves the prices; it cannot be changed any more."""
    schedule = _plan(client, _from(client, subscription).id, _items(shop), dearer)
    client.v1.subscription_schedules.release(schedule.id)
    clock.set(PERIOD_END + DAY)

    after = client.v1.subscriptions.retrieve(subscription.id)
    assert [shop.fee_price, shop.metered_price] == [item.price.id for item in after["items"].data]
    with pytest.raises(stripe.InvalidRequestError, match="released"):
        _plan(client, schedule.id, _items(shop), dearer)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"proration_behavior": "create_prorations"}, "phases[1][proration_behavior]"),
        ({"items": []}, "phases[1][items]"),
        ({"items": [{"price": "price_none"}]}, "phases[1][items][0][price]"),
        ({"start_date": PERIOD_END + 1}, "phases[1][start_date]"),
        ({"end_date": PERIOD_END - 1, "duration": {"interval": "month"}}, "phases[1][end_date]"),
        ({"iterations": 1}, "phases[1][iterations]"),
    ],
)
def test_a_phase_that_is_wrong_is_refused(
    client: stripe.StripeClient,
    shop: Shop,
    subscription: stripe.Subscription,
    dearer: list[dict[str, Any]],
    changes: dict[str, Any],
    param: str,
) -> None:
    """A phase is refused that prorates, has no or unknown prices, leaves a gap, or is not of this API."""
    schedule = _from(client, subscription)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _plan(client, schedule.id, _items(shop), dearer, **changes)

    assert param == refused.value.param
    assert 1 == len(client.v1.subscription_schedules.retrieve(schedule.id).phases)


def test_the_current_phase_stays(
    client: stripe.StripeClient,
    shop: Shop,
    subscription: stripe.Subscription,
    dearer: list[dict[str, Any]],
) -> None:
    """A change of phases must repeat the current one: its start, and its prices."""
    schedule = _from(client, subscription)
    for first in (
        {"items": _items(shop), "start_date": NOON + 1, "end_date": PERIOD_END},
        {"items": dearer, "start_date": NOON, "end_date": PERIOD_END},
    ):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.subscription_schedules.update(schedule.id, loose({"phases": [first]}))


def test_a_price_changes_at_a_periods_end_only(
    client: stripe.StripeClient,
    shop: Shop,
    subscription: stripe.Subscription,
    dearer: list[dict[str, Any]],
) -> None:
    """A phase that would change prices in the middle of a period is refused, and said not to be imitated."""
    schedule = _from(client, subscription)
    phases = [
        {"items": _items(shop), "start_date": NOON, "end_date": NOON + 5 * DAY},
        {"items": dearer, "duration": {"interval": "month"}, "proration_behavior": "none"},
    ]
    with pytest.raises(stripe.InvalidRequestError, match="middle of a period"):
        client.v1.subscription_schedules.update(schedule.id, loose({"phases": phases}))


def test_a_governed_subscription_is_not_cancelled_directly(
    client: stripe.StripeClient, subscription: stripe.Subscription
) -> None:
    """A subscription that a schedule governs refuses cancel_at_period_end and new items."""
    _from(client, subscription)
    for change in ({"cancel_at_period_end": True}, {"items": [{"price": "x"}], "proration_behavior": "none"}):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.subscriptions.update(subscription.id, loose(change))


def test_a_cancelled_subscription_ends_its_schedule(
    client: stripe.StripeClient, subscription: stripe.Subscription
) -> None:
    """A subscription cancelled at once takes its schedule with it."""
    schedule = _from(client, subscription)
    client.v1.subscriptions.cancel(subscription.id)

    assert "canceled" == client.v1.subscription_schedules.retrieve(schedule.id).status
    assert isinstance(subscription.customer, str)
    [listed] = client.v1.subscription_schedules.list({"customer": subscription.customer}).data
    assert schedule.id == listed.id
