"""Refusals look like Stripe's."""

import httpx
import pytest
import stripe

from stripe_simulator.serving.server import RunningSimulator


def test_an_answer_carries_a_request_id(client: stripe.StripeClient) -> None:
    """Each answer has an id of its own in Request-Id, also a refusal."""
    first = client.v1.customers.list().last_response
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.retrieve("cus_nobody")

    assert first is not None
    assert str(first.request_id).startswith("req_")
    assert str(refused.value.request_id).startswith("req_")
    assert first.request_id != refused.value.request_id


@pytest.mark.parametrize("key", ["pk_test_1", "whatever", "sktest"])
def test_a_key_that_is_no_secret_key_is_refused(simulator: RunningSimulator, key: str) -> None:
    """Keys that start with neither sk_ nor rk_ get a 401, and the answer does not repeat the key."""
    stranger = stripe.StripeClient(key, base_addresses={"api": simulator.url})

    with pytest.raises(stripe.AuthenticationError) as refused:
        stranger.v1.customers.list()

    assert refused.value.http_status == 401
    assert key not in str(refused.value)


def test_a_restricted_key_is_taken(simulator: RunningSimulator) -> None:
    """Keys that start with rk_ are good."""
    restricted = stripe.StripeClient("rk_test_1", base_addresses={"api": simulator.url})

    assert restricted.v1.customers.list().data == []


def test_a_live_key_makes_nothing_live(simulator: RunningSimulator) -> None:
    """Any secret key is good, and everything is of test mode."""
    live = stripe.StripeClient("sk_live_1", base_addresses={"api": simulator.url})

    assert live.v1.customers.create({"name": "Acme"}).livemode is False


def test_no_key_is_refused(simulator: RunningSimulator) -> None:
    """A call without a bearer token gets a 401 in Stripe's shape."""
    answer = httpx.get(f"{simulator.url}/v1/customers", trust_env=False)

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_object_that_is_not_there_is_a_404(client: stripe.StripeClient) -> None:
    """The object of the path itself is missed with a 404."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.prices.retrieve("price_none")

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (
        404,
        "resource_missing",
        "id",
    )
    assert refused.value.user_message == "No such price: 'price_none'"


def test_an_object_that_a_parameter_names_is_a_400(client: stripe.StripeClient) -> None:
    """An object that only a parameter names is missed with a 400 that names the parameter."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoice_items.create({"customer": "cus_nobody", "amount": 1, "currency": "usd"})

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (
        400,
        "resource_missing",
        "customer",
    )


def test_an_unknown_address_is_a_404(client: stripe.StripeClient) -> None:
    """A call that Stripe does not have is told so."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.raw_request("get", "/v1/usage_records")

    assert refused.value.http_status == 404
    assert refused.value.user_message == "Unrecognized request URL (GET: /v1/usage_records)."


def test_a_malformed_form_is_a_400(client: stripe.StripeClient, simulator: RunningSimulator) -> None:
    """A form whose names contradict each other is refused, not guessed at."""
    answer = httpx.post(
        f"{simulator.url}/v1/customers",
        content="name=a&name[b]=c",
        headers={"Authorization": "Bearer sk_test_1"},
        trust_env=False,
    )

    assert answer.status_code == 400
    assert client.v1.customers.list().data == []
