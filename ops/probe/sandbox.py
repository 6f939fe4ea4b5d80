"""Objects of the probe's own in a test-mode account."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from time import monotonic, sleep
from typing import Any, Self

import stripe

from metering.core.stripe_names import LARGEST_PAGE
from ops.stripe_account import DAYS_UNTIL_DUE

PREFIX = "zemfyre_probe_"
HOUR_SECONDS = 3_600
DAY_SECONDS = 24 * HOUR_SECONDS
_POLL_SECONDS = 2
_NEXT_SECOND = 1.1
FREE_UNITS = 2
"""Units in the metered price's free first tier."""


@dataclass(frozen=True)
class Sandbox:
    """A customer, a meter and prices; ``now`` is Stripe's time when it was made, in epoch seconds.

    ``others`` are the customers of `other`, which are deleted in the end.
    """

    client: stripe.StripeClient
    wait_s: int
    name: str
    now: int
    product: str
    customer: str
    meter: str
    metered_price: str
    fee_price: str
    others: list[str] = field(default_factory=list)

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

    def other(self) -> Self:
        """The same with a fresh customer, for a question that would change what others see."""
        made = self.client.v1.customers.create({"name": self.name, "metadata": {"probe": self.name}})
        self.others.append(made.id)
        return replace(self, customer=made.id, now=made.created)

    def subscribe(self, *prices: str, **more: Any) -> Any:
        """Subscribe the customer to prices, the fee and the metered one unless given, with invoices sent."""
        charged = more.get("collection_method") == "charge_automatically"
        params: Any = {
            "customer": self.customer,
            "items": [{"price": price} for price in prices or (self.fee_price, self.metered_price)],
            "billing_mode": {"type": "flexible"},
            **({} if charged else {"collection_method": "send_invoice", "days_until_due": DAYS_UNTIL_DUE}),
            **more,
        }
        return self.client.v1.subscriptions.create(params)

    def pass_second(self) -> None:
        """Wait for a later second than the last answer's: what happens in a span's last one is not in it."""
        sleep(_NEXT_SECOND)

    def counted(self, value: str, timestamp: int) -> bool:
        """Use in an hour that has no usage yet, and tell whether Stripe's summary has it in time."""
        self.use(value, timestamp)
        hour = timestamp - timestamp % HOUR_SECONDS
        query: Any = {
            "customer": self.customer,
            "start_time": hour,
            "end_time": hour + HOUR_SECONDS,
            "value_grouping_window": "hour",
        }
        summaries = self.client.v1.billing.meters.event_summaries
        known, _ = self.until(
            lambda: [row.aggregated_value for row in summaries.list(self.meter, query).data],
            lambda values: values == [float(value)],
        )
        return known

    def quantity(self, lines: Iterable[Any]) -> Decimal:
        """What of the probe's meter is on an invoice's lines, or on invoice items."""
        metered = (line for line in lines if self.is_metered(line))
        return sum((Decimal(str(line.quantity_decimal or 0)) for line in metered), Decimal(0))

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

    def is_metered(self, line: Any) -> bool:
        """Whether a line, or an invoice item, is of the metered price."""
        details = line.pricing.price_details if line.pricing else None
        return details is not None and str(details.price) == self.metered_price

    def until[T](self, look: Callable[[], T], good: Callable[[T], bool]) -> tuple[bool, T]:
        """Look until what is seen is good, or the time is over; return whether it was, and what was seen."""
        deadline = monotonic() + self.wait_s
        while True:
            seen = look()
            if good(seen) or monotonic() >= deadline:
                return good(seen), seen
            sleep(_POLL_SECONDS)

    def archive(self) -> None:
        """Cancel, delete and archive; the first customer stays, in test mode."""
        for subscription in self.client.v1.subscriptions.list({"customer": self.customer}).data:
            self.client.v1.subscriptions.cancel(subscription.id)
        for customer in self.others:
            with suppress(stripe.InvalidRequestError):
                self.client.v1.customers.delete(customer)
        prices = self.client.v1.prices.list({"product": self.product, "active": True, "limit": LARGEST_PAGE})
        for price in prices.data:
            self.client.v1.prices.update(price.id, {"active": False})
        self.client.v1.billing.meters.deactivate(self.meter)
        self.client.v1.products.update(self.product, {"active": False})
