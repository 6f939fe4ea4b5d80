"""Prices that change in the middle of a period, thresholds, and items with periods of their own."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, instant, loose

PERIOD_END = instant("2026-04-10T12:00")


@pytest.fixture
def dearer(client: stripe.StripeClient, shop: Shop) -> str:
    """Another price on the same meter: one dollar a unit from the first."""
    return client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "MQTT traffic"},
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [{"up_to": "inf", "unit_amount": 100}],
            "recurring": {"interval": "month", "usage_type": "metered", "meter": shop.meter},
        }
    ).id


def _exchange(
    client: stripe.StripeClient, subscription: stripe.Subscription, price: str, **more: Any
) -> stripe.Subscription:
    metered = subscription["items"].data[1]
    changed = {"items": [{"id": metered.id, "price": price}], **more}
    return client.v1.subscriptions.update(subscription.id, loose(changed))


def _metered(invoice: stripe.Invoice) -> list[tuple[str, object, int]]:
    return [
        (str(line.pricing.price_details.price), line.quantity_decimal, line.amount)
        for line in invoice.lines.auto_paging_iter()
        if line.pricing and line.pricing.price_details and line.amount != 2900
    ]


def test_an_exchanged_price_bills_what_was_reported_by_then(
    client: stripe.StripeClient, shop: Shop, clock: Clock, dearer: str
) -> None:
    """In flexible mode an exchanged price bills its usage as invoice items on the next invoice."""
    subscription = shop.subscribe()
    shop.use("15", timestamp=NOON)
    clock.advance(DAY)
    _exchange(client, subscription, dearer)
    shop.use("3", timestamp=NOON + DAY)
    items = client.v1.invoice_items.list({"customer": shop.customer, "pending": True}).data
    assert [50, 0] == [item.amount for item in items]
    assert items[0].pricing is not None
    assert items[0].pricing.price_details is not None
    assert shop.metered_price == items[0].pricing.price_details.price
    assert (NOON, NOON + DAY) == (items[0].period.start, items[0].period.end)

    clock.set(PERIOD_END + HOUR)
    [invoice, _] = client.v1.invoices.list().data
    assert 2900 + 50 + 300 == invoice.total
    assert [
        (shop.metered_price, Decimal(5), 50),
        (shop.metered_price, Decimal(10), 0),
        (dearer, Decimal(3), 300),
    ] == _metered(invoice)
    parent = invoice.lines.data[0].parent
    assert parent is not None
    assert "invoice_item_details" == parent.type


@pytest.mark.parametrize(
    ("mode", "behavior"), [("flexible", "none"), ("classic", "create_prorations"), ("classic", "none")]
)
def test_an_exchanged_price_may_lose_its_usage(
    client: stripe.StripeClient, shop: Shop, clock: Clock, dearer: str, mode: str, behavior: str
) -> None:
    """Without proration, and in classic mode, what was used before an exchange is on no invoice."""
    subscription = shop.subscribe(billing_mode={"type": mode})
    shop.use("15", timestamp=NOON)
    clock.advance(DAY)
    _exchange(client, subscription, dearer, proration_behavior=behavior)
    clock.set(PERIOD_END + HOUR)

    assert 2900 == client.v1.invoices.list().data[0].total


def test_an_exchange_can_be_invoiced_at_once(
    client: stripe.StripeClient, shop: Shop, clock: Clock, dearer: str
) -> None:
    """With always_invoice the usage of the exchanged price is on an invoice in the middle of the period."""
    subscription = shop.subscribe()
    shop.use("15", timestamp=NOON)
    clock.advance(DAY)
    _exchange(client, subscription, dearer, proration_behavior="always_invoice")

    invoice = client.v1.invoices.list().data[0]
    assert ("subscription_update", "open", 50) == (invoice.billing_reason, invoice.status, invoice.total)


def test_a_removed_metered_price_bills_its_usage(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Taking a metered price out bills what was reported, like an exchange."""
    subscription = shop.subscribe()
    shop.use("15", timestamp=NOON)
    clock.advance(DAY)
    metered = subscription["items"].data[1].id
    client.v1.subscriptions.update(subscription.id, {"items": [{"id": metered, "deleted": True}]})
    clock.set(PERIOD_END + HOUR)

    assert 2950 == client.v1.invoices.list().data[0].total


@pytest.mark.parametrize(
    ("reading", "total"), [("unbilled", 2900 + 20), ("old_price", 2900 + 50), ("new_price", 2900 + 320)]
)
def test_late_reports_after_a_price_change_are_read_in_three_ways(
    client: stripe.StripeClient,
    shop: Shop,
    clock: Clock,
    control: httpx.Client,
    dearer: str,
    reading: str,
    total: int,
) -> None:
    """Usage of the ended period that comes after its prices changed is billed by setting: old, new or not."""
    control.post("/settings", json={"late_after_price_change": reading})
    subscription = shop.subscribe()
    schedule = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    phases = [
        {
            "items": [{"price": shop.fee_price}, {"price": shop.metered_price}],
            "start_date": NOON,
            "end_date": PERIOD_END,
        },
        {
            "items": [{"price": shop.fee_price}, {"price": dearer}],
            "duration": {"interval": "month"},
            "proration_behavior": "none",
        },
    ]
    client.v1.subscription_schedules.update(schedule.id, loose({"phases": phases}))
    shop.use("12", timestamp=NOON)
    clock.set(PERIOD_END + 60)
    shop.use("3", timestamp=PERIOD_END - HOUR)
    clock.set(PERIOD_END + HOUR)

    assert total == client.v1.invoices.list().data[0].total


def test_a_threshold_bills_in_the_middle_of_a_period(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Enough unbilled usage makes an invoice; tiers and period go on, and the rest is on the next one."""
    subscription = shop.subscribe(billing_thresholds={"amount_gte": 1000})
    assert subscription.billing_thresholds is not None
    shop.use("30", timestamp=NOON)
    clock.advance(2 * HOUR)
    shop.use("80", timestamp=NOON + HOUR)
    middle = client.v1.invoices.list().data[0]
    assert ("subscription_threshold", "draft", 1000) == (middle.billing_reason, middle.status, middle.total)
    assert middle.threshold_reason is not None
    assert 1000 == middle.threshold_reason.amount_gte
    clock.advance(DAY)
    shop.use("7", timestamp=NOON + 3 * HOUR)

    clock.set(PERIOD_END + HOUR)
    last, middle, _ = client.v1.invoices.list().data
    assert [(shop.metered_price, 10, 0), (shop.metered_price, 100, 1000)] == _metered(middle)
    assert [(shop.metered_price, 7, 70)] == _metered(last)
    assert (NOON + 2 * HOUR, PERIOD_END) == (last.lines.data[1].period.start, last.lines.data[1].period.end)


def test_a_threshold_may_start_the_cycle_anew(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """With reset_billing_cycle_anchor the period ends when the threshold is reached."""
    thresholds = {"amount_gte": 1000, "reset_billing_cycle_anchor": True}
    subscription = shop.subscribe(billing_thresholds=thresholds)
    clock.advance(2 * HOUR)
    shop.use("110", timestamp=NOON + HOUR)

    anew = client.v1.subscriptions.retrieve(subscription.id)
    assert NOON + 2 * HOUR == anew.billing_cycle_anchor
    assert 1000 + 2900 == client.v1.invoices.list().data[0].total


def test_a_threshold_waits_for_nothing_in_a_periods_last_day(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """In the last 24 hours of a period its end bills what a threshold would have."""
    shop.subscribe(billing_thresholds={"amount_gte": 1000})
    clock.set(PERIOD_END - DAY)
    shop.use("500", timestamp=NOON)

    assert 1 == len(client.v1.invoices.list().data)


def test_a_longer_item_has_a_period_of_its_own(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """A yearly add-on keeps its period while the monthly items' periods follow each other."""
    yearly = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "Archive"},
            "unit_amount": 12000,
            "recurring": {"interval": "year"},
        }
    )
    prices = [shop.fee_price, shop.metered_price, yearly.id]
    subscription = shop.subscribe(items=[{"price": price} for price in prices])
    year_end = instant("2027-03-10T12:00")

    def periods() -> list[tuple[int, int]]:
        items = client.v1.subscriptions.retrieve(subscription.id)["items"].data
        return [(item.current_period_start, item.current_period_end) for item in items]

    assert [(NOON, PERIOD_END), (NOON, PERIOD_END), (NOON, year_end)] == periods()
    assert 14900 == client.v1.invoices.list().data[0].total
    shop.use("12", timestamp=NOON)
    clock.set(PERIOD_END + HOUR)
    may = instant("2026-05-10T12:00")
    assert [(PERIOD_END, may), (PERIOD_END, may), (NOON, year_end)] == periods()
    assert 2920 == client.v1.invoices.list().data[0].total

    clock.set(year_end + HOUR)
    assert 14900 == client.v1.invoices.list().data[0].total


def test_a_longer_item_needs_flexible_mode(client: stripe.StripeClient, shop: Shop) -> None:
    """In classic mode all prices of a subscription have one interval."""
    yearly = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "Archive"},
            "unit_amount": 1,
            "recurring": {"interval": "year"},
        }
    )
    items = [{"price": shop.fee_price}, {"price": yearly.id}]
    with pytest.raises(stripe.InvalidRequestError, match="same interval"):
        shop.subscribe(items=items, billing_mode={"type": "classic"})


@pytest.mark.parametrize(
    ("currency", "amount", "shown"), [("jpy", 2900, "¥2900"), ("kwd", 2900, "KWD 2.900"), ("usd", 5, "$0.05")]
)
def test_a_currencys_smallest_unit_is_its_own(
    client: stripe.StripeClient, shop: Shop, currency: str, amount: int, shown: str
) -> None:
    """2900 are 2900 yen and 2.900 dinars: nothing is divided by a hundred but cents."""
    fee = client.v1.prices.create(
        {
            "currency": currency,
            "product_data": {"name": "Fee"},
            "unit_amount": amount,
            "recurring": {"interval": "month"},
        }
    )
    shop.subscribe(items=[{"price": fee.id}])

    [invoice] = client.v1.invoices.list().data
    assert (currency, amount) == (invoice.currency, invoice.total)
    assert f"(at {shown} / month)" in str(invoice.lines.data[0].description)


def test_a_backdated_subscriptions_first_invoice_has_its_usage(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """In flexible mode what was reported before the subscription was made is on its first invoice."""
    clock.set(NOON + HOUR)
    shop.use("15", timestamp=NOON)
    subscription = _backdated(shop)
    [first] = client.v1.invoices.list().data
    assert ("subscription_create", "draft", 2950) == (first.billing_reason, first.status, first.total)
    item = subscription["items"].data[1]
    assert NOON == item.current_period_start

    clock.set(NOON + 3 * HOUR)
    shop.use("99", timestamp=NOON)
    shop.use("12", timestamp=NOON + 2 * HOUR)
    clock.set(PERIOD_END + HOUR)
    [last, first] = client.v1.invoices.list().data
    assert [2920, 2950] == [last.total, first.total]


def test_backdated_usage_may_be_on_the_cycles_invoice(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """The other reading: the first invoice has the fee alone, and the cycle's has all usage."""
    control.post("/settings", json={"backdated_usage": "cycle_invoice"})
    clock.set(NOON + HOUR)
    shop.use("15", timestamp=NOON)
    _backdated(shop)
    clock.set(PERIOD_END + HOUR)

    assert [2950, 2900] == [one.total for one in client.v1.invoices.list().data]


def test_a_charged_backdated_subscription_has_no_grace(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Where invoices are charged, the first invoice with its backdated usage is final at once."""
    clock.set(NOON + HOUR)
    shop.use("15", timestamp=NOON)
    _backdated(shop, collection_method="charge_automatically", default_payment_method="pm_card_visa")

    [first] = client.v1.invoices.list().data
    assert ("paid", 2950) == (first.status, first.total)


def test_backdated_usage_in_classic_mode_is_on_the_cycles_invoice(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Only flexible mode has the backdated usage on the first invoice."""
    clock.set(NOON + HOUR)
    shop.use("15", timestamp=NOON)
    _backdated(shop, billing_mode={"type": "classic"})
    clock.set(PERIOD_END + HOUR)

    assert [2950, 2900] == [one.total for one in client.v1.invoices.list().data]


def _backdated(shop: Shop, **more: Any) -> stripe.Subscription:
    anchor = {"day_of_month": 10, "hour": 12, "minute": 0, "second": 0}
    return shop.subscribe(backdate_start_date=NOON, billing_cycle_anchor_config=anchor, **more)


@pytest.mark.parametrize(
    ("reading", "seen"), [("at_finalisation", [2920, 2950]), ("at_each_read", [2950, 2950])]
)
def test_a_draft_follows_its_usage_when_it_is_finalised(
    client: stripe.StripeClient,
    shop: Shop,
    clock: Clock,
    control: httpx.Client,
    reading: str,
    seen: list[int],
) -> None:
    """A draft may show the usage of when it was made; what came in its grace time is on the final invoice."""
    control.post("/settings", json={"draft_usage": reading})
    shop.subscribe()
    shop.use("12", timestamp=NOON)
    clock.set(PERIOD_END + 60)
    shop.use("3", timestamp=PERIOD_END - HOUR)
    draft = client.v1.invoices.list().data[0].total
    clock.set(PERIOD_END + HOUR)

    assert seen == [draft, client.v1.invoices.list().data[0].total]
