"""What each answer of Stripe means for an event: the real SDK over HTTP, the simulator, its faults."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import stripe

from metering.tables.ledger import PENDING, SENT, EntryState, refused
from stripe_report.gateway import RETRIES, UNANSWERED_LIMIT, Gateway, MeterEvent, fate, stripe_client
from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.server import RunningSimulator, running_simulator

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVENTS = "POST /v1/billing/meter_events"
METERS = ("mqtt_traffic", "api_calls")


class _NoWait(stripe.RequestsClient):
    """The SDK's own transport, with a short timeout and no pause before a retry."""

    def _sleep_time_seconds(self, num_retries: int) -> float:
        return 0


@pytest.fixture(scope="module")
def _server() -> Iterator[RunningSimulator]:
    with running_simulator(Clock(int(NOON.timestamp()))) as running:
        yield running


@pytest.fixture
def simulator(_server: RunningSimulator) -> RunningSimulator:
    httpx.post(f"{_server.url}/_sim/reset", trust_env=False).raise_for_status()
    _server.clock.set(int(NOON.timestamp()))
    return _server


@pytest.fixture
def client(simulator: RunningSimulator) -> stripe.StripeClient:
    return _client(simulator, retries=0)


def _client(simulator: RunningSimulator, retries: int) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_simulated",
        base_addresses={"api": simulator.url},
        http_client=_NoWait(timeout=2),
        max_network_retries=retries,
    )


@pytest.fixture
def customer(client: stripe.StripeClient) -> str:
    for meter in METERS:
        client.v1.billing.meters.create(
            {
                "display_name": meter,
                "event_name": f"zemfyre_{meter}",
                "default_aggregation": {"formula": "sum"},
                "event_time_window": "hour",
            }
        )
    return client.v1.customers.create({"name": "Acme", "metadata": {"customer_id": "acme"}}).id


def _event(
    customer: str, number: int = 1, hour: int = 0, meter: str = METERS[0], **changes: Any
) -> MeterEvent:
    at = NOON - HOUR * (hour + 1)
    values: dict[str, Any] = {
        "event_name": f"zemfyre_{meter}",
        "stripe_customer_id": customer,
        "value": Decimal("1.5"),
        "timestamp": at,
        "identifier": f"acme.{meter}.{at:%Y%m%dT%H}.{number}",
    }
    return MeterEvent(**values | changes)


def _fault(simulator: RunningSimulator, kind: str, **more: Any) -> None:
    words = {"kind": kind, "match": {"path_prefix": "/v1/billing/meter_events"}, **more}
    httpx.post(f"{simulator.url}/_sim/faults", json=words, trust_env=False).raise_for_status()


def _state(gateway: Gateway, event: MeterEvent) -> EntryState:
    return gateway.send([event])[event.identifier]


def _total(gateway: Gateway, customer: str, meter: str = METERS[0]) -> Decimal:
    hours = gateway.reader.hourly(meter, customer, NOON - 48 * HOUR, NOON + HOUR)
    return sum(hours.values(), Decimal(0))


def test_an_event_taken_is_sent(client: stripe.StripeClient, customer: str) -> None:
    """An event that Stripe takes is sent, and counts with its value."""
    gateway = Gateway(client)
    assert SENT == _state(gateway, _event(customer))
    assert Decimal("1.5") == _total(gateway, customer)


def test_a_number_that_exists_already_has_arrived(client: stripe.StripeClient, customer: str) -> None:
    """Stripe answers 400 without a code; the message alone tells it."""
    gateway = Gateway(client)
    assert [SENT, SENT] == [_state(gateway, _event(customer)) for _ in range(2)]
    assert Decimal("1.5") == _total(gateway, customer)


@pytest.mark.parametrize(
    "kind", ["500", "500_after", "429", "hang", "hang_after", "drop_before", "drop_after"]
)
def test_an_event_without_an_answer_of_its_own_stays_pending_and_is_counted_once_when_sent_again(
    client: stripe.StripeClient, customer: str, simulator: RunningSimulator, kind: str
) -> None:
    """After 500, 429, a hang or a cut a number is pending; sent again it is sent, and counted once."""
    gateway = Gateway(client)
    _fault(simulator, kind)
    assert PENDING == _state(gateway, _event(customer))

    assert SENT == _state(gateway, _event(customer))
    assert Decimal("1.5") == _total(gateway, customer)


def test_the_sdk_retries_a_dropped_connection_itself(simulator: RunningSimulator, customer: str) -> None:
    """Under the same Idempotency-Key, so that a number whose answer was lost is answered again."""
    gateway = Gateway(_client(simulator, RETRIES))
    _fault(simulator, "drop_after")
    assert SENT == _state(gateway, _event(customer))
    assert 2 == simulator.simulator.calls[EVENTS]


def test_a_stored_500_is_not_replayed_since_each_run_has_an_idempotency_key_of_its_own(
    client: stripe.StripeClient, customer: str, simulator: RunningSimulator
) -> None:
    """Sent again after a stored 500, a number is sent: the replay of a former key would say 500."""
    gateway = Gateway(client)
    _fault(simulator, "500")
    states = [_state(gateway, _event(customer)) for _ in range(2)]
    assert [PENDING, SENT] == states


def test_an_idempotency_key_begins_with_the_number_by_which_an_error_report_may_name_it(
    client: stripe.StripeClient, customer: str, simulator: RunningSimulator
) -> None:
    """An event's Idempotency-Key is its identifier, a slash and what is new in each run."""
    event = _event(customer)
    _state(Gateway(client), event)
    [accepted] = simulator.stripe.state.accepted
    assert accepted.idempotency_key is not None
    assert event.identifier == accepted.idempotency_key.partition("/")[0]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"timestamp": NOON - 36 * 24 * HOUR}, refused("timestamp_too_far_in_past")),
        ({"timestamp": NOON + HOUR}, refused("timestamp_in_future")),
        ({"value": Decimal("1.234567890123456")}, refused("meter_event_value_too_many_digits")),
        ({"identifier": "i" * 101}, refused("400")),
    ],
)
def test_any_other_400_is_refused_and_says_why(
    client: stripe.StripeClient, customer: str, changes: dict[str, Any], state: EntryState
) -> None:
    """A 400 other than `already exists` is refused with Stripe's code, or with 400 where it gives none."""
    assert state == _state(Gateway(client), _event(customer, **changes))


def test_the_rest_of_a_meter_goes_on_after_a_refused_event(
    client: stripe.StripeClient, customer: str
) -> None:
    """An event of the same meter after a refused one is sent."""
    gateway = Gateway(client)
    early = _event(customer, timestamp=NOON - 36 * 24 * HOUR, identifier="acme.mqtt_traffic.20260101T00.1")
    states = gateway.send([early, _event(customer)])
    assert [SENT, refused("timestamp_too_far_in_past")] == sorted(states.values(), key=str, reverse=True)


def test_an_unknown_key_leaves_everything_pending(simulator: RunningSimulator, customer: str) -> None:
    """Under a key that Stripe does not know a number stays pending."""
    client = stripe.StripeClient(
        "unknown", base_addresses={"api": simulator.url}, http_client=_NoWait(timeout=2)
    )
    assert PENDING == _state(Gateway(client), _event(customer))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (None, PENDING),
        (200, PENDING),
        (302, PENDING),
        (401, PENDING),
        (403, PENDING),
        (408, PENDING),
        (409, PENDING),
        (429, PENDING),
        (500, PENDING),
        (503, PENDING),
        (400, refused("400")),
        (402, refused("402")),
        (404, refused("404")),
    ],
)
def test_what_may_pass_with_time_is_pending_and_any_other_4xx_is_refused(
    status: int | None, state: EntryState
) -> None:
    """An answer that is none of Stripe's, a proxy's page say, is no refusal either."""
    assert state == fate(stripe.APIError("No.", http_status=status))


def test_only_stripes_own_400_says_that_an_event_exists() -> None:
    """`already exists` means sent in Stripe's own 400 alone: in a 502 the number stays pending."""
    message = "An event already exists with identifier x."
    refused = stripe.InvalidRequestError(message, None, http_status=400)  # type: ignore[no-untyped-call]  # SDK
    assert SENT == fate(refused)
    assert PENDING == fate(stripe.APIError(message, http_status=502))


def test_events_of_one_meter_go_one_after_the_other_and_meters_in_parallel(
    client: stripe.StripeClient, customer: str, simulator: RunningSimulator
) -> None:
    """The simulator answers 429 to a second call of one customer and meter while one is on its way."""
    events = [_event(customer, hour=hour, meter=meter) for hour in range(6) for meter in METERS]
    states = Gateway(client).send(events)
    assert {SENT} == set(states.values())
    received = [event for event in simulator.stripe.state.accepted if event.event_name == "zemfyre_api_calls"]
    assert sorted(event.timestamp for event in received) == [event.timestamp for event in received]


def test_after_three_events_without_an_answer_the_rest_of_a_meter_waits_for_the_next_run(
    client: stripe.StripeClient, customer: str, simulator: RunningSimulator
) -> None:
    """Stripe being away must not hold a run until it is killed."""
    _fault(simulator, "500", times=100)
    states = Gateway(client).send([_event(customer, hour=hour) for hour in range(24)])
    assert 24 == list(states.values()).count(PENDING)
    assert UNANSWERED_LIMIT == simulator.simulator.calls[EVENTS]


def test_nothing_to_send_is_not_one_call(client: stripe.StripeClient, simulator: RunningSimulator) -> None:
    """An empty list of events makes no call."""
    assert {} == Gateway(client).send([])
    assert 0 == simulator.simulator.calls.total()


def test_the_client_of_the_function_retries_twice_and_waits_ten_seconds(simulator: RunningSimulator) -> None:
    """The function's own client retries twice and waits 10 seconds for an answer."""
    requestor: Any = stripe_client("sk_test_simulated", simulator.url)._requestor
    patient = requestor._client
    assert (2, 10) == (requestor._options.max_network_retries, patient._transport._timeout)


def test_a_value_of_fifteen_digits_travels_without_the_zeros_behind_it(
    client: stripe.StripeClient, customer: str
) -> None:
    """Nine decimals of 1,234,566.87654321 units would be sixteen digits, which Stripe refuses."""
    large = _event(customer, value=Decimal("1234566.876543210"))
    assert SENT == _state(Gateway(client), large)


def test_a_run_that_fails_ends_after_its_last_event(
    client: stripe.StripeClient, customer: str, simulator: RunningSimulator
) -> None:
    """What is sent after its run has ended could overtake the next run's newer value."""
    gateway = Gateway(client)
    wrong = _event(customer, meter="mqtt_traffic", value="not a decimal")
    with pytest.raises(ValueError, match="format"):
        gateway.send([wrong, *(_event(customer, hour=hour, meter="api_calls") for hour in range(6))])
    assert 6 == simulator.simulator.calls[EVENTS]
