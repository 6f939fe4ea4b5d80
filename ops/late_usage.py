"""Billing late usage: the intent first, then Stripe's invoice item, found again there after a crash.

Source: docs/billing.md#late-usage.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import stripe

from metering.core.accounts import Account, BillingPeriod, Customer, PeriodState
from metering.core.billed import billed_of
from metering.core.catalog import Catalog
from metering.core.late_usage import LateItem, LateUsage, late_usage
from metering.core.rating import CENT
from metering.core.stripe_names import CENTS, LARGEST_PAGE, LATE_ITEM, OUR_ID
from metering.core.usage import PeriodUsage
from metering.tables.ledger import SENT
from metering.tables.tables import Tables
from ops.stripe_account import DAYS_UNTIL_DUE

_NAMED_DAYS = 7


@dataclass(frozen=True)
class LatePeriod:
    """What a final period lacks, and what of it was billed before."""

    billing: BillingPeriod
    usage: list[LateUsage]
    billed: list[LateItem]


def find_late(account: Account, tables: Tables, catalog: Catalog) -> list[LatePeriod]:
    """Return each final period's late usage, as far as hours are kept; periods without any are left out."""
    periods = (_late(account.customer, billing, tables, catalog) for billing in account.periods)
    return [period for period in periods if period is not None and (period.usage or period.billed)]


def put_intents(account: Account, period: LatePeriod, tables: Tables, catalog: Catalog) -> list[LateItem]:
    """Store an item for each late usage of a period; return all of the period's items.

    A number that somebody else took meanwhile changes what is late, so that it is worked out anew.
    """
    while True:
        items = _items(account.customer, period)
        if all(tables.late.put(item) for item in items):
            return [*period.billed, *items]
        anew = _late(account.customer, period.billing, tables, catalog)
        assert anew is not None
        period = anew


def make_invoice_items(
    client: stripe.StripeClient, customer: Customer, items: Iterable[LateItem], catalog: Catalog
) -> Iterator[tuple[LateItem, str]]:
    """Make the invoice item of each late item that has none yet, yielding it with its id at Stripe.

    One that costs nothing needs none. A customer who has left gets an invoice of its own for what waits.
    """
    assert customer.stripe_customer_id is not None
    present = _present(client, customer.stripe_customer_id)
    waiting = {item_id for item_id, found in present.items() if found["invoice"] is None}
    for item in items:
        if not item.amount or item.item_id in present:
            continue
        made = _make(client, customer.stripe_customer_id, item, catalog)
        waiting.add(item.item_id)
        yield item, made
    if waiting and customer.stripe_subscription_id is None:
        _invoice(client, customer.stripe_customer_id, waiting)


def _late(customer: Customer, billing: BillingPeriod, tables: Tables, catalog: Catalog) -> LatePeriod | None:
    if billing.state is not PeriodState.FINALISED:
        return None
    customer_id, span = customer.customer_id, billing.span
    usage = PeriodUsage(billing, tables.hours.of_period(customer_id, span), catalog)
    days = list(span.days())
    sent = {
        key: entry.value
        for day in tables.ledger.between(customer_id, days[0], days[-1])
        for key, entry in day.entries.items()
        if entry.state == SENT
    }
    covered = tables.late.of_period(customer_id, billing.start)
    billed = billed_of(billing, tables.invoices.of_period(customer_id, billing.start))
    return LatePeriod(billing, late_usage(usage, billed, covered, sent), covered)


def _items(customer: Customer, period: LatePeriod) -> list[LateItem]:
    following = max((item.number for item in period.billed), default=0) + 1
    return [
        LateItem(
            customer_id=customer.customer_id,
            period_start=period.billing.start,
            number=number,
            meter=usage.meter,
            quantity=usage.quantity,
            amount=usage.amount,
            days=usage.days,
        )
        for number, usage in enumerate(period.usage, following)
    ]


def _present(client: stripe.StripeClient, stripe_customer_id: str) -> dict[str, Any]:
    """Return the customer's late invoice items by our items' ids."""
    listed = client.v1.invoice_items.list({"customer": stripe_customer_id, "limit": LARGEST_PAGE})
    found: dict[str, Any] = {}
    for item in listed.auto_paging_iter():
        metadata = item.metadata.to_dict() if item.metadata else {}
        if LATE_ITEM in metadata:
            found[str(metadata[LATE_ITEM])] = item
    return found


def _make(client: stripe.StripeClient, stripe_customer_id: str, item: LateItem, catalog: Catalog) -> str:
    start = int(item.period_start.timestamp())
    params: Any = {
        "customer": stripe_customer_id,
        "currency": catalog.currency,
        "amount": int(item.amount.quantize(CENT) * CENTS),
        "description": description(item, catalog),
        "period": {"start": start, "end": start},
        "metadata": {
            LATE_ITEM: item.item_id,
            OUR_ID: item.customer_id,
            "meter": item.meter,
            "quantity": f"{item.quantity:f}",
        },
    }
    # The same key and parameters from two operators at once: Stripe makes one item.
    options: Any = {"idempotency_key": f"late-{item.item_id}"}
    return client.v1.invoice_items.create(params, options).id


def description(item: LateItem, catalog: Catalog) -> str:
    """Return the invoice item's text: meter, period, days and quantity."""
    meter = catalog.meters[item.meter]
    what = "late usage" if item.amount > Decimal(0) else "credit for usage corrected late"
    return (
        f"{meter.label}: {what} of the period from {item.period_start:%Y-%m-%d} ({named_days(item.days)}): "
        f"{item.quantity.normalize():f} {meter.unit}"
    )


def named_days(days: tuple[date, ...]) -> str:
    """Return days as text: each, or where they are many how many from when to when."""
    if not days:
        return "no day in particular"
    if len(days) <= _NAMED_DAYS:
        return ", ".join(day.isoformat() for day in days)
    return f"{len(days)} days from {days[0]} to {days[-1]}"


def _invoice(client: stripe.StripeClient, stripe_customer_id: str, waiting: set[str]) -> None:
    """Invoice what waits for a customer without a subscription; it takes all items that wait, or none."""
    params: Any = {
        "customer": stripe_customer_id,
        "auto_advance": True,
        "collection_method": "send_invoice",
        "days_until_due": DAYS_UNTIL_DUE,
        "pending_invoice_items_behavior": "include",
    }
    options: Any = {"idempotency_key": f"late-invoice-{max(waiting)}-{len(waiting)}"}
    client.v1.invoices.create(params, options)
