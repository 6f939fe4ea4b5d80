"""Customers and products: made, changed, found again, page by page."""

import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import NOON


def test_a_customer_comes_back(client: stripe.StripeClient) -> None:
    """What was given comes back, what was not is null."""
    made = client.v1.customers.create(
        {"name": "Acme", "email": "a@b.example", "metadata": {"customer": "acme"}}
    )
    found = client.v1.customers.retrieve(made.id)

    assert found.metadata is not None
    assert (found.name, found.email, found.phone, found.created) == ("Acme", "a@b.example", None, NOON)
    assert found.metadata["customer"] == "acme"


def test_metadata_merges_and_unsets(client: stripe.StripeClient) -> None:
    """Updates merge metadata; an empty value unsets its key, an empty string all."""
    made = client.v1.customers.create({"metadata": {"a": "1", "b": "2"}})

    changed = client.v1.customers.update(made.id, {"metadata": {"a": "", "c": "3"}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    cleared = client.v1.customers.update(made.id, {"metadata": ""})
    assert cleared.metadata is not None
    assert cleared.metadata.to_dict() == {}


def test_a_text_is_unset_by_an_empty_one(client: stripe.StripeClient) -> None:
    """An empty string unsets a customer's text."""
    made = client.v1.customers.create({"name": "Acme"})

    assert client.v1.customers.update(made.id, {"name": ""}).name is None


def test_lists_are_newest_first_and_paged(client: stripe.StripeClient) -> None:
    """A page has ten entries unless told; the SDK follows the pages to the end."""
    made = [client.v1.customers.create({"name": str(number)}).id for number in range(12)]
    page = client.v1.customers.list()

    assert (len(page.data), page.has_more) == (10, True)
    assert [customer.id for customer in page.auto_paging_iter()] == made[::-1]


def test_pages_go_backwards_too(client: stripe.StripeClient) -> None:
    """ending_before gives the entries just before a cursor, in the list's order."""
    made = [client.v1.customers.create({"name": str(number)}).id for number in range(4)]
    page = client.v1.customers.list({"ending_before": made[0], "limit": 2})

    assert [customer.id for customer in page.data] == [made[2], made[1]]
    assert page.has_more


def test_two_cursors_are_refused(client: stripe.StripeClient) -> None:
    """Only one cursor may be given."""
    made = client.v1.customers.create({"name": "Acme"}).id
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.list({"ending_before": made, "starting_after": made})

    assert refused.value.code == "parameters_exclusive"


def test_a_cursor_that_is_none_of_the_entries_is_refused(client: stripe.StripeClient) -> None:
    """A cursor names an entry of the list."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.list({"starting_after": "cus_nobody"})

    assert refused.value.param == "starting_after"


def test_customers_are_found_by_email_and_time(client: stripe.StripeClient, clock: Clock) -> None:
    """Lists filter by e-mail address and by when the customer was made."""
    first = client.v1.customers.create({"email": "a@b.example"})
    clock.advance(60)
    second = client.v1.customers.create({"email": "c@d.example"})

    assert [one.id for one in client.v1.customers.list({"email": "a@b.example"}).data] == [first.id]
    assert [one.id for one in client.v1.customers.list({"created": {"gt": NOON}}).data] == [second.id]


def test_a_product_may_have_an_id_of_the_callers(client: stripe.StripeClient) -> None:
    """A product's id can be chosen, once."""
    assert client.v1.products.create({"id": "mqtt_traffic", "name": "MQTT"}).id == "mqtt_traffic"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.products.create({"id": "mqtt_traffic", "name": "MQTT"})

    assert refused.value.code == "resource_already_exists"


def test_a_product_changes(client: stripe.StripeClient, clock: Clock) -> None:
    """A product's texts and activity change, and it says when."""
    made = client.v1.products.create({"name": "MQTT", "unit_label": "GB"})
    clock.advance(60)
    changed = client.v1.products.update(made.id, {"name": "MQTT traffic", "active": False})

    assert (changed.name, changed.active, changed.unit_label, changed.updated) == (
        "MQTT traffic",
        False,
        "GB",
        NOON + 60,
    )
    assert [one.id for one in client.v1.products.list({"active": True}).data] == []
    assert [one.id for one in client.v1.products.list({"ids": [made.id]}).data] == [made.id]
    assert client.v1.products.retrieve(made.id).name == "MQTT traffic"


def test_ids_are_expanded_on_request(client: stripe.StripeClient) -> None:
    """An expanded id is the object."""
    price = client.v1.prices.create(
        {"currency": "usd", "product_data": {"name": "Fee"}, "unit_amount": 1, "expand": ["product"]}
    )

    assert isinstance(price.product, stripe.Product)
    assert price.product.name == "Fee"


def test_a_path_too_deep_is_refused_before_anything_is_made(client: stripe.StripeClient) -> None:
    """A call that is refused for its expand parameter has made nothing."""
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.create({"name": "Acme", "expand": ["a.b.c.d.e"]})

    assert client.v1.customers.list().data == []


@pytest.mark.parametrize("path", ["data.nothing", "data.id.id.id.id", "data.id"])
def test_what_cannot_be_expanded_is_refused(client: stripe.StripeClient, path: str) -> None:
    """A path that is not there, too deep, or no reference is refused."""
    client.v1.customers.create({"name": "Acme"})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.list({"expand": [path]})

    assert refused.value.param == "expand"
