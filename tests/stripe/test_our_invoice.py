"""Whose invoice bills a period: that of its own subscription, whatever else the Stripe customer has."""

from decimal import Decimal
from typing import Any

import pytest

from metering.core.accounts import PeriodState
from metering.core.instants import HOUR
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
def test_a_second_subscription_s_invoice_is_not_ours(world: World, gigabytes: int) -> None:
    """A support contract with the same anchor changes nothing: 30 GB are $31.00, and nothing is late."""
    support_contract(world)
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
