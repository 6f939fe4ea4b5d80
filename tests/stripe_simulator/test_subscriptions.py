"""Subscriptions: items with periods that follow the anchor, and what ends them."""

from typing import Any

import httpx
import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, instant, loose


def _periods(subscription: stripe.Subscription) -> set[tuple[int, int]]:
    return {
        (item.current_period_start, item.current_period_end)
        for item in subscription["items"].data  # the attribute is the mapping's method
    }


def _invoices(client: stripe.StripeClient) -> list[tuple[str | None, str | None, int]]:
    return [(one.billing_reason, one.status, one.total) for one in client.v1.invoices.list().data]


def test_the_period_is_on_the_items(shop: Shop) -> None:
    """Each item has the current period; the subscription itself has none."""
    subscription = shop.subscribe(metadata={"customer": "acme"})

    assert _periods(subscription) == {(NOON, instant("2026-04-10T12:00"))}
    assert "current_period_start" not in subscription
    assert (subscription.status, subscription.billing_cycle_anchor) == ("active", NOON)
    assert subscription.metadata["customer"] == "acme"


def test_a_metered_item_has_no_quantity(shop: Shop) -> None:
    """Usage sets a metered item's quantity; a fixed one has one unless told."""
    fee, metered = shop.subscribe()["items"].data

    assert fee.quantity == 1
    assert "quantity" not in metered


def test_periods_follow_the_clock(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """When a period ends the next one starts, however far the clock jumps."""
    subscription = shop.subscribe()
    clock.set(instant("2026-04-10T12:00") - 1)
    assert _periods(client.v1.subscriptions.retrieve(subscription.id)) == {
        (NOON, instant("2026-04-10T12:00"))
    }

    clock.set(instant("2026-07-01T00:00"))
    assert _periods(client.v1.subscriptions.retrieve(subscription.id)) == {
        (instant("2026-06-10T12:00"), instant("2026-07-10T12:00"))
    }


def test_an_anchor_on_the_31st_clamps_and_returns(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Periods of an anchor on the 31st end on the 28th in February and on the 31st in March."""
    clock.set(instant("2027-01-31T00:00"))
    subscription = shop.subscribe()
    assert _periods(subscription) == {(instant("2027-01-31T00:00"), instant("2027-02-28T00:00"))}

    clock.set(instant("2027-02-28T00:00"))
    assert _periods(client.v1.subscriptions.retrieve(subscription.id)) == {
        (instant("2027-02-28T00:00"), instant("2027-03-31T00:00"))
    }


def test_a_future_anchor_makes_a_stub_period(client: stripe.StripeClient, shop: Shop) -> None:
    """Before its anchor a subscription has a short period, whose fee is its share of a full one."""
    anchor = instant("2026-03-25T12:00")
    subscription = shop.subscribe(billing_cycle_anchor=anchor)

    assert _periods(subscription) == {(NOON, anchor)}
    # 15 of the 28 days since 25 February, of $29.00
    assert _invoices(client) == [("subscription_create", "open", 1554)]


def test_a_stub_without_proration_is_free(client: stripe.StripeClient, shop: Shop) -> None:
    """With proration_behavior=none nothing is billed for the stub."""
    shop.subscribe(billing_cycle_anchor=instant("2026-03-25T12:00"), proration_behavior="none")

    assert _invoices(client) == []


def test_an_anchor_can_be_configured(shop: Shop) -> None:
    """A day and a time of day make an anchor; an anchor right now makes no stub."""
    ahead = shop.subscribe(
        billing_cycle_anchor_config={"day_of_month": 31, "hour": 0, "minute": 0, "second": 0},
        proration_behavior="none",
    )
    now = shop.subscribe(
        billing_cycle_anchor_config={"day_of_month": 10, "hour": 12, "minute": 0, "second": 0}
    )

    assert _periods(ahead) == {(NOON, instant("2026-03-31T00:00"))}
    assert ahead.billing_cycle_anchor_config is not None
    assert ahead.billing_cycle_anchor_config.day_of_month == 31
    assert _periods(now) == {(NOON, instant("2026-04-10T12:00"))}


def test_a_start_can_be_backdated_to_before_its_anchor(shop: Shop) -> None:
    """A backdated period starts in the past and ends at its anchor."""
    subscription = shop.subscribe(
        backdate_start_date=NOON - HOUR,
        billing_cycle_anchor=instant("2026-04-10T11:00"),
        proration_behavior="none",
    )

    assert _periods(subscription) == {(NOON - HOUR, instant("2026-04-10T11:00"))}


def test_the_billing_mode_is_flexible_unless_told(shop: Shop) -> None:
    """New subscriptions bill flexibly; classic can be asked for."""
    assert shop.subscribe().billing_mode.type == "flexible"
    assert shop.subscribe(billing_mode={"type": "classic"}).billing_mode.type == "classic"


def test_the_first_fee_is_invoiced_at_once(client: stripe.StripeClient, shop: Shop) -> None:
    """A fixed price is billed in advance, a metered one in arrears."""
    subscription = shop.subscribe()

    assert _invoices(client) == [("subscription_create", "open", 2900)]
    assert subscription.latest_invoice == client.v1.invoices.list().data[0].id


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"billing_cycle_anchor": NOON - 1}, "billing_cycle_anchor"),
        ({"billing_cycle_anchor": NOON + 32 * DAY}, "billing_cycle_anchor"),
        ({"billing_cycle_anchor_config": {"day_of_month": 32}}, "billing_cycle_anchor_config[day_of_month]"),
        ({"billing_cycle_anchor_config": {"hour": 1}}, "billing_cycle_anchor_config[day_of_month]"),
        (
            {"billing_cycle_anchor_config": {"day_of_month": 1}, "billing_cycle_anchor": NOON},
            "billing_cycle_anchor_config",
        ),
        ({"backdate_start_date": NOON + 1}, "backdate_start_date"),
        ({"backdate_start_date": NOON - 1}, "backdate_start_date"),
        ({"customer": "cus_nobody"}, "customer"),
        ({"items": [{"price": "price_none"}]}, "items[0][price]"),
        ({"items": []}, "items"),
        ({"currency": "eur"}, "currency"),
        ({"collection_method": "send_invoice"}, "days_until_due"),
    ],
)
def test_a_subscription_is_refused(
    client: stripe.StripeClient, shop: Shop, more: dict[str, Any], param: str
) -> None:
    """Refused for what Stripe refuses, and then nothing was made and nothing billed."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.subscribe(**more)

    assert refused.value.param == param
    assert client.v1.subscriptions.list({"status": "all"}).data == []
    assert _invoices(client) == []


def test_a_metered_price_takes_no_quantity(shop: Shop) -> None:
    """A quantity for a metered price is refused."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.subscribe(items=[{"price": shop.metered_price, "quantity": 2}])

    assert refused.value.param == "items[0][quantity]"


def test_a_price_comes_once(shop: Shop) -> None:
    """A subscription has no two items of one price."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.subscribe(items=[{"price": shop.fee_price}, {"price": shop.fee_price}])

    assert refused.value.param == "items[1][price]"


def test_an_archived_price_is_refused(client: stripe.StripeClient, shop: Shop) -> None:
    """An archived price is in no new subscription."""
    client.v1.prices.update(shop.fee_price, {"active": False})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.subscribe()

    assert refused.value.param == "items[0][price]"


def test_subscriptions_are_found_by_customer_and_status(client: stripe.StripeClient, shop: Shop) -> None:
    """Lists have active subscriptions unless asked for others."""
    first, second = shop.subscribe(), shop.subscribe()
    client.v1.subscriptions.cancel(first.id)

    def listed(**wanted: Any) -> list[str]:
        page = client.v1.subscriptions.list(loose({"customer": shop.customer, **wanted}))
        return [one.id for one in page.data]

    assert listed() == [second.id]
    assert listed(status="canceled") == [first.id]
    assert listed(status="all") == [second.id, first.id]
    assert listed(price=shop.metered_price) == [second.id]
    assert len(client.v1.subscription_items.list({"subscription": second.id}).data) == 2


def test_an_update_changes_metadata_and_the_end(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """A subscription that is to end with its period bills that period's usage and stops."""
    subscription = shop.subscribe()
    changed = client.v1.subscriptions.update(
        subscription.id, {"cancel_at_period_end": True, "metadata": {"a": "1"}}
    )
    assert (changed.cancel_at_period_end, changed.cancel_at, changed.metadata["a"]) == (
        True,
        instant("2026-04-10T12:00"),
        "1",
    )

    shop.use("12")
    clock.set(instant("2026-05-20T00:00"))
    ended = client.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", instant("2026-04-10T12:00"))
    assert _invoices(client) == [("subscription_cycle", "open", 20), ("subscription_create", "open", 2900)]


def test_items_change_without_proration_alone(client: stripe.StripeClient, shop: Shop) -> None:
    """The simulator changes items only with proration_behavior=none; a swapped price keeps the item's id."""
    subscription = shop.subscribe()
    fee = subscription["items"].data[0]
    dearer = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "Pro"},
            "unit_amount": 9900,
            "recurring": {"interval": "month"},
        }
    )
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.subscriptions.update(subscription.id, {"items": [{"id": fee.id, "price": dearer.id}]})
    assert refused.value.param == "proration_behavior"

    changed = client.v1.subscriptions.update(
        subscription.id,
        {"items": [{"id": fee.id, "price": dearer.id}], "proration_behavior": "none"},
    )
    assert {(item.id, item.price.id) for item in changed["items"].data} == {
        (fee.id, dearer.id),
        (subscription["items"].data[1].id, shop.metered_price),
    }


def test_an_added_metered_item_bills_from_then_on(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Usage from before an item was added is not billed; a removed item's usage never is."""
    subscription = shop.subscribe(items=[{"price": shop.fee_price}])
    shop.use("50", timestamp=NOON)
    clock.advance(2 * HOUR)
    added = client.v1.subscriptions.update(
        subscription.id, {"items": [{"price": shop.metered_price}], "proration_behavior": "none"}
    )
    shop.use("12", timestamp=NOON + 2 * HOUR)
    item = added["items"].data[1]
    assert (item.current_period_start, item.current_period_end) == (
        NOON + 2 * HOUR,
        instant("2026-04-10T12:00"),
    )
    assert client.v1.invoices.create_preview({"subscription": subscription.id}).total == 2920

    client.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item.id, "deleted": True}], "proration_behavior": "none"}
    )
    assert client.v1.invoices.create_preview({"subscription": subscription.id}).total == 2900


def test_a_refused_update_changes_nothing(client: stripe.StripeClient, shop: Shop) -> None:
    """When one of several changes is refused, none is made."""
    subscription = shop.subscribe()
    fee = subscription["items"].data[0]
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.subscriptions.update(
            subscription.id,
            {
                "items": [{"id": fee.id, "deleted": True}, {"price": "price_none"}],
                "proration_behavior": "none",
            },
        )

    assert len(client.v1.subscriptions.retrieve(subscription.id)["items"].data) == 2


def test_cancelling_without_invoice_now_loses_the_usage(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """What accrued and was not billed is on no invoice."""
    subscription = shop.subscribe()
    shop.use("12")
    clock.advance(DAY)
    canceled = client.v1.subscriptions.cancel(subscription.id)
    clock.set(instant("2026-06-01T00:00"))

    assert (canceled.status, canceled.canceled_at) == ("canceled", NOON + DAY)
    assert _invoices(client) == [("subscription_create", "open", 2900)]


def test_cancelling_with_invoice_now_bills_the_usage(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """A last invoice has the usage until the cancellation; with a grace time, what comes in it too."""
    control.post("/settings", json={"cancellation_invoice": "grace", "draft_usage": "at_each_read"})
    subscription = shop.subscribe()
    shop.use("12")
    clock.advance(DAY)
    client.v1.subscriptions.cancel(subscription.id, {"invoice_now": True})
    assert _invoices(client)[0] == ("subscription_update", "draft", 20)

    shop.use("13", timestamp=NOON + HOUR)
    clock.advance(HOUR)
    assert _invoices(client)[0] == ("subscription_update", "open", 150)


def test_an_ended_subscription_is_not_there_to_cancel(client: stripe.StripeClient, shop: Shop) -> None:
    """A second cancellation is refused."""
    subscription = shop.subscribe()
    client.v1.subscriptions.cancel(subscription.id)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.subscriptions.cancel(subscription.id)

    assert refused.value.code == "resource_missing"


def test_a_new_anchor_bills_what_was_used_and_starts_a_full_period(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """billing_cycle_anchor=now ends the period at once; the usage so far is on an invoice of its own."""
    control.post("/settings", json={"anchor_reset_invoice": "grace"})
    subscription = shop.subscribe()
    shop.use("12")
    clock.advance(DAY)
    moved = client.v1.subscriptions.update(
        subscription.id, loose({"billing_cycle_anchor": "now", "proration_behavior": "none"})
    )

    item = moved["items"]["data"][0]
    assert (item.current_period_start, item.current_period_end) == (NOON + DAY, instant("2026-04-11T12:00"))
    draft = client.v1.invoices.list().data[0]
    assert (draft.status, draft.billing_reason, draft.period_start, draft.period_end) == (
        "draft",
        "subscription_update",
        NOON,
        NOON + DAY,
    )
    assert draft.total == 2900 + 20
    clock.set(instant("2026-04-10T12:00"))
    assert len(client.v1.invoices.list().data) == 2


@pytest.mark.parametrize(
    ("finalisation", "statuses"),
    [("grace", ("draft", "open")), ("at_once", ("open", "open")), ("never", ("draft", "draft"))],
)
def test_a_new_anchors_invoice_may_be_final_at_once_or_never(
    client: stripe.StripeClient,
    shop: Shop,
    clock: Clock,
    control: httpx.Client,
    finalisation: str,
    statuses: tuple[str, str],
) -> None:
    """Nothing may count on a grace time after billing_cycle_anchor=now."""
    control.post("/settings", json={"anchor_reset_invoice": finalisation})
    subscription = shop.subscribe()
    clock.advance(DAY)
    client.v1.subscriptions.update(
        subscription.id, loose({"billing_cycle_anchor": "now", "proration_behavior": "none"})
    )
    invoice = client.v1.invoices.list().data[0]
    clock.advance(10 * DAY)

    later = client.v1.invoices.retrieve(invoice.id)
    assert statuses == (invoice.status, later.status)
    assert (finalisation != "never") == invoice.auto_advance


def test_a_new_anchor_with_proration_is_not_imitated(client: stripe.StripeClient, shop: Shop) -> None:
    """Without saying that nothing is prorated, Stripe would credit and charge parts of the fee."""
    subscription = shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="proration_behavior"):
        client.v1.subscriptions.update(subscription.id, loose({"billing_cycle_anchor": "now"}))
