"""Under one Idempotency-Key the first answer is given again."""

import httpx
import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, Shop, loose


def test_the_first_answer_is_given_again(client: stripe.StripeClient) -> None:
    """A second call under the key changes nothing and is marked as replayed."""
    first = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k1"})
    again = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k1"})

    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(client.v1.customers.list().data) == 1


def test_a_first_answer_is_not_marked_as_replayed(client: stripe.StripeClient) -> None:
    """Only a replay carries the header."""
    first = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k1"})

    assert first.last_response is not None
    assert "Idempotent-Replayed" not in first.last_response.headers


def test_a_key_with_other_parameters_is_refused(client: stripe.StripeClient) -> None:
    """The key stands for its first parameters."""
    client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k1"})

    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.customers.create({"name": "Other"}, {"idempotency_key": "k1"})

    assert refused.value.http_status == 400
    assert len(client.v1.customers.list().data) == 1


def test_a_key_with_another_endpoint_is_refused(client: stripe.StripeClient) -> None:
    """The key stands for its first endpoint."""
    client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k1"})

    with pytest.raises(stripe.IdempotencyError):
        client.v1.products.create({"name": "Acme"}, {"idempotency_key": "k1"})


def test_a_key_is_forgotten_after_a_day(client: stripe.StripeClient, clock: Clock) -> None:
    """After 24 hours the key is new."""
    first = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k1"})
    clock.advance(DAY)
    again = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k1"})

    assert again.id != first.id


def test_a_refusal_of_the_endpoint_is_replayed(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """The endpoint's refusals are kept too: the identifier is free again, the key still says no."""
    shop.use("1", identifier="a")
    clock.advance(1)
    with pytest.raises(stripe.InvalidRequestError):
        shop.use("2", identifier="a", key="k2")
    clock.advance(DAY - 1)

    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        shop.use("2", identifier="a", key="k2")
    assert shop.use("2", identifier="a", key="k3").identifier == "a"


def test_a_refusal_before_the_endpoint_is_not_kept(client: stripe.StripeClient) -> None:
    """What parameters' checks refuse may be sent properly under the same key."""
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.products.create(loose({"nmae": "A"}), {"idempotency_key": "k1"})

    assert client.v1.products.create({"name": "A"}, {"idempotency_key": "k1"}).name == "A"


def test_a_500_is_replayed_though_the_fault_is_over(
    client: stripe.StripeClient, control: httpx.Client
) -> None:
    """A stored 500 comes again under its key and goes away under a fresh one."""
    control.post("/faults", json={"kind": "500"})
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k1"})
        assert failed.value.http_status == 500

    assert failed.value.headers is not None
    assert failed.value.headers["Idempotent-Replayed"] == "true"
    assert client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k2"}).name == "Acme"


def test_a_key_that_is_too_long_is_refused(client: stripe.StripeClient) -> None:
    """Keys have at most 255 characters."""
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k" * 256})
