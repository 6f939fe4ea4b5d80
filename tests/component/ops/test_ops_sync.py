"""``ops stripe sync``: the catalogue in Stripe, made once, never changed."""

from typing import Any

import pytest

from metering.core.catalog import builtin_catalog
from ops.stripe_objects import catalog_prices
from tests.component.ops.desk import Desk


def _prices(desk: Desk) -> dict[str, str]:
    listed = desk.stripe.v1.prices.list({"limit": 100}).auto_paging_iter()
    return {str(price.lookup_key): price.id for price in listed}


def test_sync_makes_the_catalogue_once(desk: Desk) -> None:
    """The first sync makes a product, meter and price of everything; the second makes nothing."""
    first = desk.good("stripe", "sync", "--json").json
    prices, changes = _prices(desk), desk.changes()
    second = desk.good("stripe", "sync", "--json").json

    assert {price.lookup_key for price in catalog_prices(builtin_catalog())} == prices.keys()
    assert {"product": 8, "meter": 5, "price": 12} == {
        kind: sum(row["kind"] == kind for row in first["made"]) for kind in ("product", "meter", "price")
    }
    assert [] == second["made"]
    assert (changes, prices) == (desk.changes(), _prices(desk))


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    """A dry run prints the plan and makes no call that could change something."""
    assert "starter@1.base_fee" in desk.good("stripe", "sync", "--dry-run").out
    assert 0 == desk.changes()


def test_a_sync_that_died_is_finished_by_the_next(desk: Desk) -> None:
    """Objects made before a failure are found again, and the rest is made."""
    desk.fault("500", "/v1/prices", skip=4)
    desk.wrong(1, "stripe", "sync")
    desk.good("stripe", "sync")

    assert 12 == len(_prices(desk))
    assert 5 == len(desk.stripe.v1.billing.meters.list().data)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"unit_amount": 3000}, "differs from the catalogue"),
        ({"recurring": {"interval": "year"}}, "differs from the catalogue"),
        ({"currency": "eur"}, "differs from the catalogue"),
        ({"active": False}, "is archived"),
    ],
)
def test_a_price_in_use_is_never_changed(desk: Desk, changed: dict[str, Any], said: str) -> None:
    """A price that differs from the catalogue, or is archived, ends the sync; nothing is made."""
    product = desk.stripe.v1.products.create({"name": "Starter"})
    price: Any = {
        "currency": "usd",
        "product": product.id,
        "unit_amount": 2900,
        "recurring": {"interval": "month"},
        "lookup_key": "starter@1.base_fee",
    }
    desk.stripe.v1.prices.create(price | changed)
    before = desk.changes()

    assert said in desk.wrong(1, "stripe", "sync")
    assert before == desk.changes()


def test_an_archived_meter_is_to_be_reactivated(synced: Desk) -> None:
    """A meter that somebody deactivated is named, to be reactivated: its prices count on no other."""
    [meter] = [
        one for one in synced.stripe.v1.billing.meters.list().data if one.event_name == "zemfyre_mqtt_traffic"
    ]
    synced.stripe.v1.billing.meters.deactivate(meter.id)
    before = synced.changes()
    said = synced.wrong(1, "stripe", "sync")

    assert "the meter zemfyre_mqtt_traffic is deactivated in Stripe" in said
    assert "reactivate it" in said
    assert "version" not in said
    assert before == synced.changes()
    synced.stripe.v1.billing.meters.reactivate(meter.id)
    assert [] == synced.good("stripe", "sync", "--json").json["made"]


def test_an_archived_product_is_to_be_set_active(synced: Desk) -> None:
    """A product that somebody archived is named, to be set active: no price can be sold of it."""
    synced.stripe.v1.products.update("zemfyre_meter_storage", {"active": False})
    before = synced.changes()
    said = synced.wrong(1, "stripe", "sync")

    assert "the product zemfyre_meter_storage is archived in Stripe; set it active there" in said
    assert before == synced.changes()


def test_a_meter_that_was_given_up_is_replaced(desk: Desk) -> None:
    """A deactivated meter that counts otherwise than ours is none of ours: a new one is made beside it."""
    wrong: Any = {
        "display_name": "MQTT traffic",
        "event_name": "zemfyre_mqtt_traffic",
        "default_aggregation": {"formula": "last"},
    }
    meter = desk.stripe.v1.billing.meters.create(wrong)
    desk.stripe.v1.billing.meters.deactivate(meter.id)
    made = desk.good("stripe", "sync", "--json").json["made"]

    assert {"kind": "meter", "name": "zemfyre_mqtt_traffic"} in made


@pytest.mark.parametrize(
    "amounts",
    [
        {
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [{"up_to": 11, "unit_amount": 0}, {"up_to": "inf", "unit_amount": 200}],
        },
        {"unit_amount": 200},
    ],
)
def test_tiers_that_differ_are_refused(synced: Desk, amounts: dict[str, Any]) -> None:
    """A metered price with other tiers than the catalogue's, or with none, ends the sync."""
    key = "starter@1.devices"
    old: Any = synced.stripe.v1.prices.retrieve(_prices(synced)[key])
    price: Any = {
        "currency": "usd",
        "product": old.product,
        **amounts,
        "recurring": {"interval": "month", "usage_type": "metered", "meter": old.recurring.meter},
        "lookup_key": key,
        "transfer_lookup_key": True,
    }
    synced.stripe.v1.prices.create(price)

    assert key in synced.wrong(1, "stripe", "sync")


def test_more_than_a_page_of_products_and_customers_hides_nothing(synced: Desk) -> None:
    """What lies beyond the first page of a list is found, so that it is not made twice."""
    for number in range(101):
        synced.stripe.v1.products.create({"name": f"other {number}"})
    made = synced.good("stripe", "sync", "--json").json["made"]

    assert [] == made


def test_overrides_get_prices_of_their_own(synced: Desk) -> None:
    """A sync makes the prices of the overrides of the stack's customers, once."""
    override = '{"meters": {"devices": {"included": "0", "overage": "1.50"}}}'
    synced.good("customers", "add", "acme", "--name", "Acme", "--no-stripe", "--override", override)
    made = synced.good("stripe", "sync", "--json").json["made"]

    assert ["price"] == [row["kind"] for row in made]
    assert made[0]["name"].startswith("acme.devices.")
    assert [] == synced.good("stripe", "sync", "--json").json["made"]


def test_live_mode_is_asked_for(desk: Desk) -> None:
    """With a live key nothing is made unless somebody says yes; a dry run asks nobody."""
    desk.monkeypatch.setenv("STRIPE_API_KEY", "sk_live_simulated")
    desk.good("stripe", "sync", "--dry-run")
    desk.wrong(1, "stripe", "sync")
    assert 0 == desk.changes()

    assert "live" == desk.good("stripe", "sync", "--yes", "--json").json["mode"]
    assert 12 == len(_prices(desk))


@pytest.mark.parametrize("key", ["", "pk_test_x", "nonsense"])
def test_a_key_that_is_none_is_named(desk: Desk, key: str) -> None:
    """Without a secret key the command names the variable."""
    desk.monkeypatch.setenv("STRIPE_API_KEY", key)
    assert "STRIPE_API_KEY" in desk.wrong(1, "stripe", "sync")


def test_a_short_grace_is_warned_of(synced: Desk) -> None:
    """Once a period's invoice shows that drafts are final after an hour, a sync says what to set."""
    synced.good("customers", "add", "acme", "--name", "Acme")
    assert "drafts" not in synced.good("stripe", "sync").err
    synced.simulator.clock.advance(86_400)
    [first] = synced.stripe.v1.invoices.list().data
    synced.stripe.v1.invoices.pay(first.id, {"paid_out_of_band": True})
    synced.simulator.clock.advance(31 * 86_400)

    assert "24 to 72 h" in synced.good("stripe", "sync").err
    assert "drafts for 1 h" in synced.good("stripe", "sync", "--json").json["warnings"][0]


def test_a_long_grace_is_no_warning(synced: Desk) -> None:
    """Drafts that stay for three days are as they should be."""
    synced.settings(grace_s=3 * 86_400)
    synced.good("customers", "add", "acme", "--name", "Acme")
    synced.simulator.clock.advance(32 * 86_400)

    assert [] == synced.good("stripe", "sync", "--json").json["warnings"]


def test_a_yearly_subscription_is_warned_of(synced: Desk) -> None:
    """A subscription of a customer of ours that is not monthly is named."""
    product = synced.stripe.v1.products.create({"name": "Yearly"})
    yearly: Any = {
        "currency": "usd",
        "product": product.id,
        "unit_amount": 1,
        "recurring": {"interval": "year"},
    }
    price = synced.stripe.v1.prices.create(yearly)
    customer = synced.stripe.v1.customers.create({"name": "Acme"})
    synced.stripe.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "metadata": {"customer_id": "acme"},
            "collection_method": "send_invoice",
            "days_until_due": 30,
        }
    )

    [warning] = synced.good("stripe", "sync", "--json").json["warnings"]
    assert "acme" in warning
    assert "not every month" in warning
