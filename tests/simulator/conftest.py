"""A simulator with a standing clock, the real SDK that talks to it, and a shop with one metered price."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import stripe

from local.stripe_simulator import Clock, RunningSimulator, running_simulator

NOON = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class Shop:
    """A customer, an hourly sum meter and its price: 10 units free, then 10 cents each."""

    client: stripe.StripeClient
    customer: str
    meter: str
    event_name: str
    metered_price: str
    fee_price: str

    def use(self, value: str, **more: Any) -> stripe.billing.MeterEvent:
        """Send a meter event."""
        payload = {"stripe_customer_id": self.customer, "value": value}
        return self.client.v1.billing.meter_events.create(
            {"event_name": self.event_name, "payload": payload, **more}  # type: ignore[typeddict-item]
        )

    def subscribe(self, **more: Any) -> stripe.Subscription:
        """Subscribe to the base fee and the metered price."""
        return self.client.v1.subscriptions.create(
            {
                "customer": self.customer,
                "items": [{"price": self.fee_price}, {"price": self.metered_price}],
                **more,
            }  # type: ignore[typeddict-item]
        )

    def used(self, start: int, end: int, **more: Any) -> list[tuple[int, int, float]]:
        """The first page of the meter's summaries as (start, end, value)."""
        page = self.client.v1.billing.meters.event_summaries.list(
            self.meter,
            {"customer": self.customer, "start_time": start, "end_time": end, **more},  # type: ignore[typeddict-item]
        )
        return [(one.start_time, one.end_time, one.aggregated_value) for one in page.data]

    def total(self, start: int, end: int) -> float:
        """What one summary over the whole span says."""
        [(_, _, value)] = self.used(start, end)
        return value


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at noon of 10 March 2026, UTC."""
    return Clock(NOON)


@pytest.fixture
def simulator(clock: Clock) -> Iterator[RunningSimulator]:
    """A running simulator that lives by the clock."""
    with running_simulator(clock) as running:
        yield running


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[stripe.StripeClient]:
    """The real SDK, pointed at the simulator, without retries."""
    transport = stripe.RequestsClient(timeout=20)
    yield stripe.StripeClient(
        "sk_test_simulated", base_addresses={"api": simulator.url}, http_client=transport
    )
    transport.close()


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
