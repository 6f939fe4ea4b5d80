"""A changed meter reaches a customer by a new plan version, at a period's start, as another meter."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from metering.core.catalog import Catalog, builtin_catalog
from metering.core.instants import HOUR
from ops.set_plan import planned, set_plan
from tests.stripe.world import CUSTOMER, START, World

OLD, NEW = "api_calls", "api_calls@2"


def changed_catalog() -> Catalog:
    """Return the catalogue with calls counted by tens from starter@2 on, and a meter that no plan sells."""
    builtin = builtin_catalog()
    calls = builtin.meters[OLD].model_copy(update={"unit_size": 10})
    points = builtin.meters[OLD].model_copy(update={"metrics": ("influxdb_points",)})
    starter = builtin.plans["starter@1"]
    prices = {name: price for name, price in starter.meters.items() if name != OLD}
    second = starter.model_copy(update={"meters": prices | {NEW: starter.meters[OLD]}})
    return builtin.model_copy(
        update={
            "meters": builtin.meters | {NEW: calls, "points": points},
            "plans": builtin.plans | {"starter@2": second},
        }
    )


@pytest.fixture
def world() -> World:
    """A customer on starter@1."""
    return World(changed_catalog())


def test_a_changed_meter_begins_with_a_period(world: World) -> None:
    """The old period's hours go out under the old meter, the new one's under the new; none under both."""
    account = world.customers.account(CUSTOMER)
    assert account is not None
    wanted = planned(account, "starter", None, world.catalog, world.now)
    assert "starter@2" == wanted.plan
    set_plan(world.stripe, account, wanted, world.tables, world.catalog, world.now)
    end = world.period().end

    world.at(START + 2 * HOUR).use(START, {"http_requests": 130_000, "influxdb_points": 5_000})
    world.dispatch()
    world.at(end + HOUR).hear(*world.events())
    world.use(end + HOUR, {"http_requests": 2_000, "influxdb_points": 5_000})
    world.at(end + 4 * HOUR).dispatch()

    first, second = world.customers.periods(CUSTOMER)
    assert ("starter@1", "starter@2") == (first.plan, second.plan)
    assert [True, False] == [OLD in period.terms(world.catalog).meters for period in (first, second)]
    assert [[START], [end + HOUR], []] == [sent(world, meter) for meter in (OLD, NEW, "points")]
    assert Decimal(130) == world.stripe_total(OLD)

    world.settle()
    assert {OLD: Decimal(130)} == {name: used for name, used in world.period().invoiced.items() if used}


def test_a_meter_that_no_plan_sells_is_not_made_at_stripe(world: World) -> None:
    """A meter that is only shown has no meter and no product at Stripe."""
    names = {meter.event_name for meter in world.stripe.v1.billing.meters.list({"limit": 100}).data}
    products = {product.id for product in world.stripe.v1.products.list({"limit": 100}).data}
    assert {"zemfyre_api_calls", "zemfyre_api_calls_v2"} <= names
    assert "zemfyre_meter_api_calls_v2" in products
    assert not {"zemfyre_points", "zemfyre_meter_points"} & (names | products)


def sent(world: World, meter: str) -> list[datetime]:
    """Return the hours of both periods that the ledger has of a meter."""
    days = world.ledger.between(CUSTOMER, START.date(), (START + timedelta(days=40)).date())
    return [hour for day in days for (name, hour) in day.entries if name == meter]
