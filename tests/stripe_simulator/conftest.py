"""A simulator with a standing clock, the real SDK that talks to it, and a shop with one metered price."""

from collections.abc import Iterator

import httpx
import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.server import RunningSimulator, running_simulator
from tests.stripe_simulator.shop import NOON, Shop


@pytest.fixture(scope="session")
def _server() -> Iterator[RunningSimulator]:
    with running_simulator(Clock(NOON)) as running:
        yield running


@pytest.fixture
def simulator(_server: RunningSimulator) -> RunningSimulator:
    """A running simulator, empty, at noon of 10 March 2026, UTC."""
    httpx.post(f"{_server.url}/_sim/reset", trust_env=False).raise_for_status()
    _server.clock.set(NOON)
    return _server


@pytest.fixture
def clock(simulator: RunningSimulator) -> Clock:
    """The simulator's clock; it stands until it is moved."""
    return simulator.clock


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[stripe.StripeClient]:
    """The real SDK, pointed at the simulator, without retries."""
    transport = stripe.RequestsClient(timeout=20)
    yield stripe.StripeClient(
        "sk_test_simulated", base_addresses={"api": simulator.url}, http_client=transport
    )
    transport.close()  # type: ignore[no-untyped-call]  # the SDK has no types there


@pytest.fixture
def control(simulator: RunningSimulator) -> Iterator[httpx.Client]:
    """The simulator's control endpoints."""
    with httpx.Client(base_url=f"{simulator.url}/_sim", trust_env=False, timeout=20) as http:
        yield http


@pytest.fixture
def shop(client: stripe.StripeClient) -> Shop:
    """One customer, meter and price."""
    customer = client.v1.customers.create({"name": "Acme", "email": "billing@acme.example"})
    meter = client.v1.billing.meters.create(
        {
            "display_name": "MQTT traffic",
            "event_name": "mqtt_traffic",
            "default_aggregation": {"formula": "sum"},
            "event_time_window": "hour",
        }
    )
    metered = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "MQTT traffic"},
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [{"up_to": 10, "unit_amount": 0}, {"up_to": "inf", "unit_amount": 10}],
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
            "lookup_key": "starter_mqtt_traffic",
        }
    )
    fee = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "Starter"},
            "unit_amount": 2900,
            "recurring": {"interval": "month"},
        }
    )
    return Shop(client, customer.id, meter.id, meter.event_name, metered.id, fee.id)
