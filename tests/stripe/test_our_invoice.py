"""Whose invoice bills a period: that of its own subscription, whatever else the Stripe customer has."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from metering.aws.observability import metrics
from metering.core.accounts import PeriodState
from metering.core.billed import InvoiceStatus
from metering.core.instants import HOUR
from ops.late_usage import Billing
from stripe_report.invoices import Invoice, MeteredLine
from tests.stripe.world import CUSTOMER, DAY, GIB, START, World

METER = "mqtt_traffic"


def support_contract(world: World) -> Any:
    """Give the Stripe customer a second subscription: $50.00 a month with the same anchor, not made here."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    product = world.stripe.v1.products.create({"name": "Support"})
    params: Any = {
        "product": product.id,
        "currency": "usd",
        "unit_amount": 5000,
        "recurring": {"interval": "month"},
    }
    price = world.stripe.v1.prices.create(params)
    wanted: Any = {
        "customer": str(profile.stripe_customer_id),
        "items": [{"price": price.id}],
        "backdate_start_date": int(START.timestamp()),
        "billing_cycle_anchor_config": {
            "day_of_month": START.day,
            "hour": START.hour,
            "minute": 0,
            "second": 0,
        },
        "billing_mode": {"type": "flexible"},
        "collection_method": "send_invoice",
        "days_until_due": 30,
    }
    return world.stripe.v1.subscriptions.create(wanted)


@pytest.mark.parametrize("gigabytes", [0, 30])
@pytest.mark.parametrize("turned", [False, True])
def test_a_second_subscription_s_invoice_is_not_ours(world: World, gigabytes: int, *, turned: bool) -> None:
    """A support contract with the same anchor changes nothing: 30 GB are $31.00, and nothing is late."""
    support_contract(world)
    if turned:
        # Whatever the order of the list is.
        read = world.gateway.reader.invoices
        world.gateway.reader.invoices = lambda *given, **named: read(*given, **named)[::-1]  # type: ignore[method-assign]
    world.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": gigabytes * GIB})
    world.dispatch()
    world.settle()
    period = world.period()
    assert PeriodState.FINALISED is period.state
    total = Decimal("29.00") + max(Decimal(gigabytes - 10), Decimal(0)) * Decimal("0.10")
    assert total == period.invoice_total
    assert Decimal(gigabytes) == period.invoiced[METER]
    assert [] == world.late(period)


def test_a_plan_without_a_metered_line_finds_its_invoice(unlimited: World) -> None:
    """Where no meter has a price the invoice is known by its subscription and its dates."""
    support_contract(unlimited)
    unlimited.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": 30 * GIB})
    unlimited.settle()
    assert Decimal("500.00") == unlimited.period().invoice_total
    assert [] == unlimited.late(unlimited.period())


def test_a_line_that_reaches_beyond_the_period_is_billed_by_it(world: World) -> None:
    """Paused, and cancelled with an invoice two days after the period's end: 30 GB are billed, not again."""
    world.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": 30 * GIB})
    world.dispatch()
    subscription_id = str(world.period().subscription_id)
    world.stripe.v1.subscriptions.pause(subscription_id)
    world.at(world.period().end + 2 * DAY)
    world.stripe.v1.subscriptions.cancel(subscription_id, {"invoice_now": True})
    world.settle()
    assert Decimal(30) == world.billed(world.period()).quantity(METER)
    assert [] == world.late(world.period())


# ------------------------------------------------------------------ what becomes of it


@pytest.fixture(autouse=True)
def _fresh_metrics() -> None:
    metrics.clear_metrics()


def _counted(name: str) -> int:
    found: Any = metrics.metric_set.get(name, {"Value": []})
    return int(sum(found["Value"]))


def _used(world: World, gigabytes: int = 12) -> World:
    """Let the customer use traffic in its first hour, sent."""
    world.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": gigabytes * GIB})
    world.dispatch()
    return world


def _subscription(world: World, **changes: Any) -> None:
    """Change the subscription at Stripe, as one does in the dashboard."""
    wanted: Any = changes
    world.stripe.v1.subscriptions.update(str(world.period().subscription_id), wanted)


def _newest(world: World) -> str:
    return world.stripe.v1.invoices.list().data[0].id


def _looks_until(world: World, days: int) -> None:
    """Take the calendar's looks of so many days."""
    end = world.now + days * DAY
    while (looks := world.looks()) and min(looks) <= end:
        world.at(max(min(looks), world.now + HOUR / 60)).close()
    world.at(max(end, world.now))


@pytest.mark.parametrize("how", ["before our look", "after it", "paused collection"])
def test_a_void_invoice_bills_nothing_and_says_so(world: World, how: str) -> None:
    """12 GB, $29.20: the period has billed nothing, an alarm says so, and the fee is named with it."""
    _used(world)
    if how == "paused collection":
        _subscription(world, pause_collection={"behavior": "void"})
        world.at(world.period().end)
    elif how == "before our look":
        world.at(world.period().end + 4 * DAY)
        world.stripe.v1.invoices.void_invoice(_newest(world))
    else:
        world.settle()
        assert Decimal("29.20") == world.period().invoice_total
        world.later(HOUR)
        world.stripe.v1.invoices.void_invoice(_newest(world))
    _looks_until(world, 5)

    period = world.period()
    billed = world.billed(period)
    assert PeriodState.FINALISED is period.state
    assert (False, True, Decimal(0)) == (billed.counted, billed.void, billed.quantity(METER))
    assert 1 == _counted("invoices_void")
    assert [] == world.late(period)
    [unbilled] = _unbilled(world)
    assert [(Decimal(12), Decimal("0.20"))] == [(one.quantity, one.amount) for one in unbilled.usage]
    assert unbilled.void


def _unbilled(world: World) -> Any:
    account = world.customers.account(CUSTOMER)
    assert account is not None
    return Billing(world.tables, world.catalog, world.now, world.stripe).unbilled(account)


def test_what_becomes_of_an_invoice_is_appended(world: World) -> None:
    """Uncollectible counts as billed, a credit note changes no quantity, and paid is the last look."""
    _used(world, 30).settle()
    invoice = str(world.period().invoice_id)
    world.later(HOUR)
    world.stripe.v1.invoices.mark_uncollectible(invoice)
    _looks_until(world, 2)
    credit: Any = {"invoice": invoice, "amount": 100}
    world.stripe.v1.credit_notes.create(credit)
    _looks_until(world, 2)
    paid: Any = {"paid_out_of_band": True}
    world.stripe.v1.invoices.pay(invoice, paid)
    _looks_until(world, 2)

    records = world.tables.invoices.of_period(CUSTOMER, START)
    statuses = [record.status for record in records]
    assert [InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.PAID] == statuses
    assert {Decimal(30)} == {record.quantities[METER] for record in records}
    assert [] == world.late(world.period())
    assert [] == world.looks()


# ------------------------------------------------------------------ several invoices of one period


def test_a_threshold_s_invoice_and_the_last_one_bill_the_period_together(world: World) -> None:
    """60 GB in the middle, 20 more until the end: neither is billed again as late."""
    _subscription(world, billing_thresholds={"amount_gte": 500, "reset_billing_cycle_anchor": False})
    _used(world, 60)
    world.later(HOUR)
    world.close()
    assert PeriodState.OPEN is world.period().state
    world.at(START + 5 * DAY).use(START + 4 * DAY, {"mqtt_bytes_sent": 20 * GIB})
    world.dispatch()
    world.settle()

    period = world.period()
    records = world.tables.invoices.of_period(CUSTOMER, START)
    assert [False, True] == sorted(record.ends_period for record in records)
    assert Decimal(80) == world.billed(period).quantity(METER) == period.invoiced[METER]
    assert Decimal("7.00") == sum(record.amounts[METER] for record in records)
    assert [] == world.late(period)
    assert 0 == _counted("invoices_mispriced")


def test_a_period_is_not_final_while_a_draft_bills_it(world: World) -> None:
    """A final invoice beside a draft of the same period: together, once the draft is final as well."""
    _used(world, 30)
    draft = _beside(world, InvoiceStatus.DRAFT)
    world.at(world.period().end + 4 * DAY)
    world.close()
    assert PeriodState.CLOSING is world.period().state

    draft["status"] = InvoiceStatus.OPEN
    _looks_until(world, 1)
    period = world.period()
    assert PeriodState.FINALISED is period.state
    assert Decimal(35) == world.billed(period).quantity(METER)


def _beside(world: World, status: InvoiceStatus) -> dict[str, InvoiceStatus]:
    """Let Stripe have one more invoice of the period, of 5 GB, whose status is in what is returned."""
    held = {"status": status}
    read = world.gateway.reader.invoices

    def with_another(*given: Any, **named: Any) -> list[Invoice]:
        found = read(*given, **named)
        line = MeteredLine(METER, Decimal(5), Decimal("0.50"), START, START + DAY)
        another = [
            replace(
                one,
                invoice_id="in_beside",
                status=held["status"],
                reason="subscription_threshold",
                lines=(line,),
            )
            for one in found[:1]
        ]
        return [*found, *another]

    world.gateway.reader.invoices = with_another  # type: ignore[method-assign]
    return held


def test_an_invoice_of_a_change_within_the_period_does_not_end_it(world: World) -> None:
    """A price exchanged and invoiced at once: until Stripe has made the draft of the end it is not final."""
    world.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": 15 * GIB})
    world.dispatch()
    _exchange_and_invoice(world, METER)
    world.at(START + 2 * DAY).use(START + DAY + HOUR, {"mqtt_bytes_sent": 40 * GIB})
    world.dispatch()
    reader = world.gateway.reader
    invoices = reader.invoices
    reader.invoices = lambda *a, **k: [one for one in invoices(*a, **k) if not one.draft]  # type: ignore[method-assign]
    world.at(world.period().end + timedelta(minutes=20)).close()
    assert PeriodState.CLOSING is world.period().state

    reader.invoices = invoices  # type: ignore[method-assign]
    world.settle()
    assert Decimal(55) == world.billed(world.period()).quantity(METER)


def _exchange_and_invoice(world: World, meter: str) -> None:
    """Exchange a metered price for professional's within the period, and have its usage invoiced at once."""
    client, subscription_id = world.stripe, str(world.period().subscription_id)
    items = client.v1.subscriptions.retrieve(subscription_id)["items"]["data"]
    [item_id] = [item["id"] for item in items if item["price"]["lookup_key"] == f"starter@1.{meter}"]
    [price] = client.v1.prices.list({"lookup_keys": [f"professional@1.{meter}"]}).data
    change: Any = {"items": [{"id": item_id, "price": price.id}], "proration_behavior": "always_invoice"}
    client.v1.subscriptions.update(subscription_id, change)


def test_an_invoice_made_within_the_period_does_not_end_it(world: World) -> None:
    """Paused at its start with an invoice of nothing, cancelled after its end: the last one bills 30 GB."""
    subscription_id = str(world.period().subscription_id)
    outstanding: Any = {"bill_for": {"outstanding_usage_through": {"type": "now"}}}
    world.at(START + HOUR).stripe.v1.subscriptions.pause(subscription_id, outstanding)
    world.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": 30 * GIB})
    world.dispatch()
    world.at(world.period().end + HOUR).close()
    assert PeriodState.FINALISED is not world.period().state
    world.at(world.period().end + 2 * DAY)
    world.stripe.v1.subscriptions.cancel(subscription_id, {"invoice_now": True})
    world.settle()
    assert Decimal(30) == world.billed(world.period()).quantity(METER)
    assert [] == world.late(world.period())
