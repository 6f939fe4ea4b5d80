"""Objects of the probe's own in a test-mode account."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import stripe

PREFIX = "zemfyre_probe_"
HOUR_SECONDS = 3_600
DAY_SECONDS = 24 * HOUR_SECONDS
_POLL_SECONDS = 2
FREE_UNITS = 2
"""Units in the metered price's free first tier."""


@dataclass(frozen=True)
class Sandbox:
    """A customer, a meter and prices; ``now`` is Stripe's time when it was made, in epoch seconds."""

    client: stripe.StripeClient
    wait_s: int
    name: str
    now: int
    product: str
    customer: str
    meter: str
    metered_price: str
    fee_price: str

    @classmethod
    @contextmanager
    def made(cls, client: stripe.StripeClient, wait_s: int) -> Iterator[Self]:
        """Make the objects; what can be archived is archived in the end, whatever happened."""
        name = f"{PREFIX}{uuid.uuid4().hex[:12]}"
        metadata = {"probe": name}
        product = client.v1.products.create({"name": name, "metadata": metadata}).id
        customer = client.v1.customers.create({"name": name, "metadata": metadata})
        meter = client.v1.billing.meters.create(
            {
                "display_name": name,
                "event_name": name,
                "default_aggregation": {"formula": "sum"},
                "event_time_window": "hour",
            }
        ).id
        sandbox = cls(client, wait_s, name, customer.created, product, customer.id, meter, "", "")
        try:
            yield cls(
                **{
                    **vars(sandbox),
                    "metered_price": client.v1.prices.create(sandbox.metered()).id,
                    "fee_price": client.v1.prices.create(sandbox.fee()).id,
                }
            )
        finally:
            sandbox.archive()

    def metered(self, **changes: Any) -> Any:
        """The parameters of a graduated metered price: two units free, then ten cents."""
        return {
            "currency": "usd",
            "product": self.product,
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [{"up_to": FREE_UNITS, "unit_amount": 0}, {"up_to": "inf", "unit_amount": 10}],
            "recurring": {"interval": "month", "usage_type": "metered", "meter": self.meter},
            **changes,
        }

    def fee(self, **changes: Any) -> Any:
        """The parameters of a monthly fee of one dollar."""
        return {
            "currency": "usd",
            "product": self.product,
            "unit_amount": 100,
            "recurring": {"interval": "month"},
            **changes,
        }

    def use(self, value: str, timestamp: int | None = None, **changes: Any) -> Any:
        """Send a meter event; of now unless an instant is given."""
        params: Any = {
            "event_name": self.name,
            "payload": {"stripe_customer_id": self.customer, "value": value},
            "timestamp": self.now if timestamp is None else timestamp,
            "identifier": uuid.uuid4().hex,
        }
        return self.client.v1.billing.meter_events.create(params | changes)

    def until[T](self, look: Callable[[], T], good: Callable[[T], bool]) -> tuple[bool, T]:
        """Look until what is seen is good, or the time is over; return whether it was, and what was seen."""
        deadline = time.monotonic() + self.wait_s
        while True:
            seen = look()
            if good(seen) or time.monotonic() >= deadline:
                return good(seen), seen
            time.sleep(_POLL_SECONDS)

    def archive(self) -> None:
        """Cancel and archive; the customer stays, in test mode."""
        for subscription in self.client.v1.subscriptions.list({"customer": self.customer}).data:
            self.client.v1.subscriptions.cancel(subscription.id)
        for price in self.client.v1.prices.list({"product": self.product, "active": True}).data:
            self.client.v1.prices.update(price.id, {"active": False})
        self.client.v1.billing.meters.deactivate(self.meter)
        self.client.v1.products.update(self.product, {"active": False})
