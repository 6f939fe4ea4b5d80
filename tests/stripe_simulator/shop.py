"""A customer, a meter and prices, and what one does with them through the real SDK."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import stripe

NOON = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp())


HOUR = 3_600
DAY = 86_400


def instant(text: str) -> int:
    """Epoch seconds of an ISO date and time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def loose(parameters: dict[str, Any]) -> Any:
    """Parameters as a caller without type checks may send them to the SDK."""
    return parameters


@dataclass(frozen=True)
class Shop:
    """A customer, an hourly sum meter and its price: 10 units free, then 10 cents each."""

    client: stripe.StripeClient
    customer: str
    meter: str
    event_name: str
    metered_price: str
    fee_price: str

    def use(self, value: str, *, key: str | None = None, **more: Any) -> stripe.billing.MeterEvent:
        """Send a meter event, under an Idempotency-Key if one is given."""
        options: stripe.RequestOptions = {"idempotency_key": key} if key else {}
        payload = {"stripe_customer_id": self.customer, "value": value}
        return self.client.v1.billing.meter_events.create(
            loose({"event_name": self.event_name, "payload": payload, **more}),
            options,
        )

    def subscribe(self, **more: Any) -> stripe.Subscription:
        """Subscribe to the base fee and the metered price; invoices are sent unless said otherwise."""
        sent = {"collection_method": "send_invoice", "days_until_due": 90}
        return self.client.v1.subscriptions.create(
            loose(
                {
                    "customer": self.customer,
                    "items": [{"price": self.fee_price}, {"price": self.metered_price}],
                    **({} if "collection_method" in more else sent),
                    **more,
                }
            )
        )

    def used(self, start: int, end: int, **more: Any) -> list[tuple[int, int, float]]:
        """The first page of the meter's summaries as (start, end, value)."""
        page = self.client.v1.billing.meters.event_summaries.list(
            self.meter,
            loose({"customer": self.customer, "start_time": start, "end_time": end, **more}),
        )
        return [(one.start_time, one.end_time, one.aggregated_value) for one in page.data]

    def total(self, start: int, end: int) -> float:
        """What one summary over the whole span says."""
        [(_, _, value)] = self.used(start, end)
        return value
