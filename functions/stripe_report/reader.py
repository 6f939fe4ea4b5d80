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
from stripe_report.subscribed import Subscription, SubscriptionItem, SubscriptionStatus

_CENTS = -2
"""The exponent of a cent in dollars."""


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """A sample of an error report: what the refused call was named, and Stripe's code.

    The name is the event's identifier, or the call's Idempotency-Key, which begins with it.
    """

    identifier: str
    code: str


class Reader:
    """Reads over one Stripe client; the names of meters and prices never change, so they are kept."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._stripe = client
        self._meters: dict[str, str] = {}
        self._price_meters: dict[str, str | None] = {}

    def subscription(self, subscription_id: str) -> Subscription:
        """Retrieve a subscription; the periods' bounds are on its items."""
        found = self._stripe.v1.subscriptions.retrieve(subscription_id)
        return self._subscription(found, our_id(found.metadata) or self.customer_id(_id_of(found.customer)))

    def others_on_our_meters(self, stripe_customer_id: str, subscription_id: str | None) -> list[str]:
        """Return the ids of a Stripe customer's other living subscriptions that are priced on our meters."""
        query: Any = {"customer": stripe_customer_id, "limit": LARGEST_PAGE}
        listed = self._stripe.v1.subscriptions.list(query).auto_paging_iter()
        others = (self._subscription(found, None) for found in listed if found.id != subscription_id)
        return [other.subscription_id for other in others if not other.has_ended and other.metered]

    def customer_id(self, stripe_customer_id: str) -> str | None:
        """Return our id of a Stripe customer, None when it is none of ours, or was deleted."""
        found = self._stripe.v1.customers.retrieve(stripe_customer_id)
        return None if _is_deleted(found) else our_id(found.metadata)

    def is_deleted(self, stripe_customer_id: str) -> bool:
        """Tell whether a Stripe customer was deleted: its subscriptions ended, its usage is on no invoice."""
        return _is_deleted(self._stripe.v1.customers.retrieve(stripe_customer_id))

    def customer_of_invoice(self, invoice_id: str) -> str | None:
        """Return our id of the customer that an invoice goes to, None when it is none of ours.

        Its subscription's metadata have the id also where the Stripe customer was deleted.
        """
        found = self._stripe.v1.invoices.retrieve(invoice_id)
        details = found.parent.subscription_details if found.parent else None
        return (our_id(details.metadata) if details else None) or self.customer_id(_id_of(found.customer))

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
            RefusedEvent(_name_of(sample.request), kind.code)
            for kind in reason.error_types
            for sample in kind.sample_errors
        ]
        return samples, reason.error_count

    def _subscription(self, found: stripe.Subscription, customer_id: str | None) -> Subscription:
        return Subscription(
            subscription_id=found.id,
            customer_id=customer_id,
            status=SubscriptionStatus(str(found.status)),
            items=tuple(self._item(item) for item in found["items"].auto_paging_iter()),
            began=_instant(found.start_date),
            anchor=_instant(found.billing_cycle_anchor),
            collects=found.pause_collection is None,
            cancel_at=_instant_or_none(found.cancel_at),
            ended_at=_instant_or_none(found.ended_at),
            trial_end=_instant_or_none(found.trial_end),
        )

    def _item(self, item: stripe.SubscriptionItem) -> SubscriptionItem:
        price = item.price
        recurring = price.recurring
        if price.id not in self._price_meters:
            meter_id = recurring.meter if recurring else None
            self._price_meters[price.id] = self._meter_name(meter_id) if meter_id else None
        return SubscriptionItem(
            item_id=item.id,
            price=price.lookup_key or price.id,
            meter=self._price_meters[price.id],
            interval=f"{recurring.interval_count} {recurring.interval}" if recurring else "",
            start=_instant(item.current_period_start),
            end=_instant(item.current_period_end),
        )

    def _invoice(self, found: stripe.Invoice) -> Invoice:
        details = found.parent.subscription_details if found.parent else None
        return Invoice(
            invoice_id=found.id,
            status=InvoiceStatus(str(found.status)),
            subscription_id=_id_of(details.subscription) if details else None,
            our_customer_id=our_id(details.metadata) if details else None,
            reason=str(found.billing_reason),
            period_start=_instant(found.period_start),
            created=_instant(found.created),
            finalizes_at=_instant_or_none(found.automatically_finalizes_at),
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


def _instant_or_none(seconds: int | None) -> datetime | None:
    return None if seconds is None else _instant(seconds)


def _is_deleted(customer: stripe.Customer) -> bool:
    return bool(getattr(customer, "deleted", False))


def _name_of(request: Any) -> str:
    """Return what a report names a refused call by: ``identifier``, or ``{id, idempotency_key}``."""
    named = request.to_dict()
    return str(named.get("identifier") or named.get("idempotency_key") or "")
