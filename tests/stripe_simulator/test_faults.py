"""Faults on demand: what the caller sees, and what Stripe did meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import stripe

from stripe_simulator.serving.server import RunningSimulator
from testing.waiting import wait_for
from tests.stripe_simulator.shop import HOUR, NOON, Shop

_DEADLINE_S = 20


def _waiting(control: httpx.Client) -> int:
    number: int = control.get("/faults").json()["waiting"]
    return number


def _code(error: stripe.StripeError) -> object:
    """The code in the body: the SDK leaves it out of a RateLimitError's own ``code``."""
    assert isinstance(error.json_body, dict)
    return error.json_body["error"]["code"]


def test_a_500_changes_nothing(shop: Shop, control: httpx.Client) -> None:
    """The call fails and the event is not there: the same identifier is free."""
    control.post("/faults", json={"kind": "500", "match": {"path_prefix": "/v1/billing/meter_events"}})
    with pytest.raises(stripe.APIError) as failed:
        shop.use("5", identifier="a")
    assert (failed.value.http_status, shop.total(NOON, NOON + HOUR)) == (500, 0.0)

    shop.use("5", identifier="a")
    assert shop.total(NOON, NOON + HOUR) == 5.0


def test_a_500_may_come_after_the_change(shop: Shop, control: httpx.Client) -> None:
    """The call fails and the event is there: a fresh key meets the duplicate."""
    control.post("/faults", json={"kind": "500_after"})
    with pytest.raises(stripe.APIError):
        shop.use("5", identifier="a")
    assert shop.total(NOON, NOON + HOUR) == 5.0

    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        shop.use("5", identifier="a")


def test_the_sdk_does_not_retry_a_500_that_says_not_to(
    simulator: RunningSimulator, control: httpx.Client
) -> None:
    """Stripe marks a kept 500 as not worth a retry, so even a retrying SDK sends it once."""
    retrying = stripe.StripeClient("sk_test_1", base_addresses={"api": simulator.url}, max_network_retries=2)
    control.post("/faults", json={"kind": "500"})
    with pytest.raises(stripe.APIError):
        retrying.v1.customers.create({"name": "Acme"})

    assert control.get("/calls").json()["by_path"] == {"POST /v1/customers": 1}


def test_a_429_is_a_rate_limit_error(shop: Shop, control: httpx.Client) -> None:
    """Too many calls: nothing changed, and the key is free for the next try."""
    control.post("/faults", json={"kind": "429"})
    with pytest.raises(stripe.RateLimitError) as refused:
        shop.use("5", key="k1")
    assert (refused.value.http_status, _code(refused.value)) == (429, "rate_limit")

    shop.use("5", key="k1")
    assert shop.total(NOON, NOON + HOUR) == 5.0


@pytest.mark.parametrize(("kind", "counted"), [("drop_before", 0.0), ("drop_after", 5.0)])
def test_a_connection_drops_before_or_after_the_change(
    shop: Shop, control: httpx.Client, kind: str, counted: float
) -> None:
    """The caller sees a lost connection either way; only Stripe knows whether it counted."""
    control.post("/faults", json={"kind": kind})
    with pytest.raises(stripe.APIConnectionError) as lost:
        shop.use("5")

    assert lost.value.http_status is None
    assert shop.total(NOON, NOON + HOUR) == counted


def test_after_a_drop_the_same_key_gets_the_first_answer(shop: Shop, control: httpx.Client) -> None:
    """What was committed before the connection dropped is answered again under its key."""
    control.post("/faults", json={"kind": "drop_after"})
    with pytest.raises(stripe.APIConnectionError):
        shop.use("5", identifier="a", key="k1")
    again = shop.use("5", identifier="a", key="k1")

    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(("kind", "counted"), [("hang", 0.0), ("hang_after", 5.0)])
def test_a_call_hangs_until_the_caller_gives_up(
    simulator: RunningSimulator, shop: Shop, control: httpx.Client, kind: str, counted: float
) -> None:
    """A timeout says nothing about whether the event counted."""
    control.post("/faults", json={"kind": kind})
    hasty = stripe.StripeClient(
        "sk_test_1", base_addresses={"api": simulator.url}, http_client=stripe.RequestsClient(timeout=0.2)
    )
    with pytest.raises(stripe.APIConnectionError, match="timed out"):
        hasty.v1.billing.meter_events.create(
            {"event_name": shop.event_name, "payload": {"stripe_customer_id": shop.customer, "value": "5"}}
        )

    wait_for(lambda: _waiting(control) == 0, "the call to end")
    assert shop.total(NOON, NOON + HOUR) == counted


def test_a_hanging_call_ends_when_released(shop: Shop, control: httpx.Client) -> None:
    """Released, a hanging call loses its connection."""
    control.post("/faults", json={"kind": "hang"})
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(shop.use, "5")
        wait_for(lambda: _waiting(control) == 1, "the call to hang")
        assert control.post("/release").json() == {"released": 1}
        assert isinstance(call.exception(_DEADLINE_S), stripe.APIConnectionError)


def test_one_call_at_a_time_for_a_customer_and_meter(shop: Shop, control: httpx.Client) -> None:
    """While an event is on its way a second one for the same customer and meter gets a 429."""
    control.post("/faults", json={"kind": "hold"})
    with ThreadPoolExecutor(1) as callers:
        first = callers.submit(shop.use, "5")
        wait_for(lambda: _waiting(control) == 1, "the call to hang")
        with pytest.raises(stripe.RateLimitError) as refused:
            shop.use("3")
        control.post("/release")
        assert first.result(_DEADLINE_S).payload["value"] == "5"

    assert (refused.value.http_status, _code(refused.value)) == (429, "lock_timeout")
    assert shop.total(NOON, NOON + HOUR) == 5.0
    shop.use("3")
    assert shop.total(NOON, NOON + HOUR) == 3.0


def test_other_customers_and_meters_are_not_held_up(
    client: stripe.StripeClient, shop: Shop, control: httpx.Client
) -> None:
    """Only the same customer and meter wait for each other."""
    other = client.v1.customers.create({"name": "Other"})
    control.post("/faults", json={"kind": "hold"})
    with ThreadPoolExecutor(1) as callers:
        first = callers.submit(shop.use, "5")
        wait_for(lambda: _waiting(control) == 1, "the call to hang")
        for payload, name in (
            ({"stripe_customer_id": other.id, "value": "1"}, shop.event_name),
            ({"stripe_customer_id": shop.customer, "value": "1"}, "other"),
        ):
            event = client.v1.billing.meter_events.create({"event_name": name, "payload": payload})
            assert event.event_name == name
        control.post("/release")
        first.result(_DEADLINE_S)


def test_every_event_holds_its_meter_for_the_hold_time(shop: Shop, control: httpx.Client) -> None:
    """With a hold time, calls that overlap are refused without any fault being described."""
    control.post("/settings", json={"hold_s": 60})
    with ThreadPoolExecutor(1) as callers:
        first = callers.submit(shop.use, "5")
        wait_for(lambda: _waiting(control) == 1, "the call to hang")
        with pytest.raises(stripe.RateLimitError):
            shop.use("3")
        control.post("/release")
        assert first.result(_DEADLINE_S).payload["value"] == "5"


def test_a_fault_hits_the_calls_that_it_matches(shop: Shop, control: httpx.Client) -> None:
    """Method, path and identifier select; skip lets some through; times says how often."""
    control.post(
        "/faults",
        json=[
            {
                "kind": "429",
                "match": {
                    "method": "POST",
                    "path_prefix": "/v1/billing/meter_events",
                    "identifier_prefix": "acme.",
                },
                "skip": 1,
                "times": 2,
            }
        ],
    )
    outcomes = []
    for identifier in ("other.1", "acme.1", "acme.2", "other.2", "acme.3", "acme.4"):
        try:
            outcomes.append(shop.use("1", identifier=identifier).identifier)
        except stripe.RateLimitError:
            outcomes.append("refused")

    assert outcomes == ["other.1", "acme.1", "refused", "other.2", "refused", "acme.4"]
    assert control.get("/faults").json()["pending"] == []


def test_faults_can_be_forgotten(shop: Shop, control: httpx.Client) -> None:
    """DELETE takes back every fault that is still to come."""
    control.post("/faults", json=[{"kind": "429", "times": 5}, {"kind": "500"}])
    assert len(control.get("/faults").json()["pending"]) == 2
    control.delete("/faults")

    assert shop.use("5").payload["value"] == "5"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "explode"},
        {"kind": "500", "mach": {}},
        {"kind": "500", "match": {"verb": "POST"}},
        {"times": 1},
    ],
)
def test_a_fault_in_unknown_words_is_refused(control: httpx.Client, fault: dict[str, object]) -> None:
    """A misspelt fault is refused, or a test would test nothing."""
    assert control.post("/faults", json=fault).status_code == 400
    assert control.get("/faults").json()["pending"] == []


def test_two_calls_under_one_key_at_once_conflict(
    client: stripe.StripeClient, shop: Shop, control: httpx.Client
) -> None:
    """While a call is on its way, another one under its Idempotency-Key is a 409."""
    control.post("/faults", json={"kind": "hold", "match": {"path_prefix": "/v1/customers"}})
    with ThreadPoolExecutor() as pool:
        first = pool.submit(client.v1.customers.create, {"name": "Other"}, {"idempotency_key": "k1"})
        wait_for(lambda: _waiting(control) == 1)
        with pytest.raises(stripe.StripeError) as conflict:
            client.v1.customers.create({"name": "Other"}, {"idempotency_key": "k1"})
        control.post("/release")
        made = first.result(_DEADLINE_S).id

    assert (409, "idempotency_key_in_use") == (conflict.value.http_status, _code(conflict.value))
    assert made == client.v1.customers.create({"name": "Other"}, {"idempotency_key": "k1"}).id


def test_a_conflict_can_be_made(client: stripe.StripeClient, control: httpx.Client) -> None:
    """The fault 409 says that a key is in use."""
    control.post("/faults", json={"kind": "409"})
    with pytest.raises(stripe.StripeError) as conflict:
        client.v1.customers.create({"name": "Acme"})

    assert 409 == conflict.value.http_status


def test_a_limit_of_calls_a_second_is_refused(
    simulator: RunningSimulator, client: stripe.StripeClient, control: httpx.Client
) -> None:
    """One call more than the account's limit in a second is a 429 that says when to come back."""
    control.post("/settings", json={"calls_per_second": 2})
    client.v1.customers.list()
    client.v1.customers.list()
    with pytest.raises(stripe.RateLimitError) as limited:
        client.v1.customers.list()
    headers = limited.value.headers
    assert headers is not None
    assert ("1", "global-rate") == (headers["Retry-After"], headers["Stripe-Rate-Limited-Reason"])
    assert "Stripe-Should-Retry" not in headers

    simulator.clock.advance(1)
    assert [] == client.v1.customers.list().data


@pytest.mark.parametrize(("advice", "calls"), [("true", 2), ("false", 1), ("", 1)])
def test_a_429_may_carry_advice_to_retry(
    simulator: RunningSimulator, control: httpx.Client, advice: str, calls: int
) -> None:
    """The SDK repeats a 429 only where the answer says so."""
    control.post("/settings", json={"retry_advice": advice})
    control.post("/faults", json={"kind": "429", "times": 1})
    client = stripe.StripeClient(
        "sk_test_simulated", base_addresses={"api": simulator.url}, max_network_retries=1
    )
    try:
        client.v1.customers.list()
    except stripe.RateLimitError:
        assert 1 == calls

    assert calls == simulator.simulator.calls["GET /v1/customers"]
