"""What Stripe says: subscriptions, invoices, hourly summaries, reports of refused events.

The one place where Stripe's numbers become ours: a float turns into a `Decimal` through its shortest text,
cents into dollars, epoch seconds into instants. Source: docs/stripe-protocol.md#what-stripe-does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import stripe

from metering.core.billed import InvoiceStatus
from metering.core.stripe_names import LARGEST_PAGE, meter_of_event_name, our_id
from stripe_report.invoices import Invoice, MeteredLine

_CENTS = -2
"""The exponent of a cent in dollars."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription: its present period, its prices' lookup keys, and when it ended, if it did."""

    subscription_id: str
    customer_id: str | None
    start: datetime
    end: datetime
    ended_at: datetime | None
    lookup_keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """A sample of an error report: what the refused call was named, and Stripe's code."""

    identifier: str
    code: str


class Reader:
    """Reads over one Stripe client; the names of meters and prices never change, so they are kept."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._stripe = client
        self._meters: dict[str, str] = {}
        self._price_meters: dict[str, str | None] = {}

    def subscription(self, subscription_id: str) -> Subscription:
        """Retrieve a subscription; the period's bounds are on its items."""
        found = self._stripe.v1.subscriptions.retrieve(subscription_id)
        items = found["items"]["data"]
        return Subscription(
            subscription_id=found.id,
            customer_id=our_id(found.metadata) or self.customer_id(_id_of(found.customer)),
            start=min(_instant(item["current_period_start"]) for item in items),
            end=min(_instant(item["current_period_end"]) for item in items),
            ended_at=None if found.ended_at is None else _instant(found.ended_at),
            lookup_keys=frozenset(str(item["price"]["lookup_key"]) for item in items),
        )

    def customer_id(self, stripe_customer_id: str) -> str | None:
        """Return our id of a Stripe customer, None when it is none of ours."""
        return our_id(self._stripe.v1.customers.retrieve(stripe_customer_id).metadata)

    def customer_of_invoice(self, invoice_id: str) -> str | None:
        """Return our id of the customer that an invoice goes to, None when it is none of ours."""
        return self.customer_id(_id_of(self._stripe.v1.invoices.retrieve(invoice_id).customer))

    def invoices(
        self, since: datetime, *, subscription_id: str | None, stripe_customer_id: str
    ) -> list[Invoice]:
        """Return the invoices of a subscription that were made since an instant, newest first.

        Where the subscription is not known, those of the Stripe customer.
        """
        whose = {"subscription": subscription_id} if subscription_id else {"customer": stripe_customer_id}
        query: Any = whose | {"created": {"gte": int(since.timestamp())}, "limit": LARGEST_PAGE}
        return [self._invoice(found) for found in self._stripe.v1.invoices.list(query).auto_paging_iter()]

    def hourly(
        self, meter: str, stripe_customer_id: str, start: datetime, end: datetime
    ) -> dict[datetime, Decimal]:
        """Return what Stripe has for a meter's hours in ``[start, end)``; hours without events are absent.

        A meter that Stripe does not have at all has no hours either.
        """
        meter_id = self._meter_id(meter)
        if meter_id is None:
            return {}
        listed = self._stripe.v1.billing.meters.event_summaries.list(
            meter_id,
            {
                "customer": stripe_customer_id,
                "start_time": int(start.timestamp()),
                "end_time": int(end.timestamp()),
                "value_grouping_window": "hour",
                "limit": LARGEST_PAGE,
            },
        )
        return {
            _instant(summary.start_time): Decimal(repr(summary.aggregated_value))
            for summary in listed.auto_paging_iter()
        }

    def refused_events(self, event_id: str) -> tuple[list[RefusedEvent], int]:
        """Fetch a report of refused meter events: its samples, and how many were refused in all."""
        event: Any = self._stripe.v2.core.events.retrieve(event_id)
        reason = event.data.reason
        samples = [
            RefusedEvent(sample.request.identifier, kind.code)
            for kind in reason.error_types
            for sample in kind.sample_errors
        ]
        return samples, reason.error_count

    def _invoice(self, found: stripe.Invoice) -> Invoice:
        details = found.parent.subscription_details if found.parent else None
        return Invoice(
            invoice_id=found.id,
            status=InvoiceStatus(str(found.status)),
            subscription_id=_id_of(details.subscription) if details else None,
            our_customer_id=our_id(details.metadata) if details else None,
            reason=str(found.billing_reason),
            period_start=_instant(found.period_start),
            finalizes_at=None
            if found.automatically_finalizes_at is None
            else _instant(found.automatically_finalizes_at),
            url=found.hosted_invoice_url,
            total=Decimal(found.total).scaleb(_CENTS),
            lines=tuple(self._metered_lines(found)),
        )

    def _metered_lines(self, found: stripe.Invoice) -> Iterator[MeteredLine]:
        for line in found.lines.auto_paging_iter():
            details = line.pricing.price_details if line.pricing else None
            meter = self._meter_of_price(_id_of(details.price)) if details else None
            if meter is not None:
                yield MeteredLine(
                    meter,
                    Decimal(str(line.quantity_decimal)),
                    Decimal(line.amount).scaleb(_CENTS),
                    _instant(line.period.start),
                    _instant(line.period.end),
                )

    def _meter_of_price(self, price_id: str) -> str | None:
        if price_id not in self._price_meters:
            recurring = self._stripe.v1.prices.retrieve(price_id).recurring
            meter_id = recurring.meter if recurring else None
            self._price_meters[price_id] = self._meter_name(meter_id) if meter_id else None
        return self._price_meters[price_id]

    def _meter_name(self, meter_id: str) -> str | None:
        return meter_of_event_name(self._stripe.v1.billing.meters.retrieve(meter_id).event_name)

    def _meter_id(self, meter: str) -> str | None:
        """Return the active meter of that name, which is kept, or one that was active once."""
        if meter in self._meters:
            return self._meters[meter]
        archived: dict[str, str] = {}
        for found in self._stripe.v1.billing.meters.list({"limit": LARGEST_PAGE}).auto_paging_iter():
            if name := meter_of_event_name(found.event_name):
                (self._meters if found.status == "active" else archived)[name] = found.id
        return self._meters.get(meter, archived.get(meter))


def _id_of(expandable: Any) -> str:
    return expandable if isinstance(expandable, str) else str(expandable.id)


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
