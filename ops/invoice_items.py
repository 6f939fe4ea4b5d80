"""Stripe's invoice items of charges: each made once, found again after a crash, and what became of it.

Source: docs/billing.md#late-usage.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import stripe

from metering.core.accounts import Customer
from metering.core.catalog import Catalog
from metering.core.charges import Charge, ChargeState
from metering.core.rating import CENT
from metering.core.settlements import SettleItem, SettleKind
from metering.core.stripe_names import CENTS, LARGEST_PAGE, LATE_ITEM, OUR_ID, SETTLE_ITEM
from metering.tables.charges import Charges
from ops.stripe_account import DAYS_UNTIL_DUE

_NAMED_DAYS = 7
_MISSING = "resource_missing"


def make_invoice_items[C: Charge](
    client: stripe.StripeClient, customer: Customer, items: Iterable[C], kept: Charges[C], catalog: Catalog
) -> Iterator[tuple[C, str]]:
    """Make the invoice item of each charge that never had one, yielding it with its id at Stripe.

    One that is found at Stripe is only written down. Where the Stripe customer has no subscription of ours
    (any more) it gets an invoice of its own for what waits. For a Stripe customer that was deleted nothing is
    made, and the others' are made all the same.
    """
    of_customer: dict[str, list[C]] = defaultdict(list)
    for item in items:
        if item.needs_invoice_item:
            of_customer[_whose(item, customer)].append(item)
    for whose, of_one in of_customer.items():
        if is_deleted(client, whose):
            continue
        present = _present(client, whose)
        waiting = {item_id for item_id, found in present.items() if found["invoice"] is None}
        for item in of_one:
            if item.stripe_item_id is not None:
                continue
            if item.item_id in present:
                kept.keep_stripe_item(item, str(present[item.item_id].id))
                continue
            made = _make(client, whose, item, catalog)
            kept.keep_stripe_item(item, made)
            waiting.add(item.item_id)
            yield item, made
        subscribed = whose == customer.stripe_customer_id and customer.stripe_subscription_id is not None
        if waiting and not subscribed:
            _invoice(client, whose, waiting)


def is_deleted(client: stripe.StripeClient, stripe_customer_id: str) -> bool:
    """Tell whether a Stripe customer was deleted: nothing can be charged to it any more."""
    try:
        return bool(getattr(client.v1.customers.retrieve(stripe_customer_id), "deleted", False))
    except stripe.InvalidRequestError as error:
        if error.code != _MISSING:
            raise
        return True


def charge_states[C: Charge](
    client: stripe.StripeClient | None, customer: Customer, items: Iterable[C]
) -> list[tuple[C, ChargeState]]:
    """Tell what has become of each charge; without a client as far as it was written down."""
    present: dict[str, dict[str, Any]] = {}
    told = []
    for item in items:
        stripe_item_id = item.stripe_item_id
        if client is not None and item.needs_invoice_item and stripe_item_id is None:
            whose = _whose(item, customer)
            if whose not in present:
                present[whose] = {} if is_deleted(client, whose) else _present(client, whose)
            found = present[whose].get(item.item_id)
            stripe_item_id = None if found is None else str(found.id)
        told.append((item, _state(client, item, stripe_item_id)))
    return told


def description(item: Charge, catalog: Catalog) -> str:
    """Return the invoice item's text: meter, period, days and quantity."""
    if isinstance(item, SettleItem) and item.text is not None:
        return f"{item.text} (in place of a void invoice)"
    meter = catalog.meters[item.meter]
    if isinstance(item, SettleItem):
        what = "usage"
    else:
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


def _whose(item: Charge, customer: Customer) -> str:
    """Return whose invoice item it is to be: as the intent says, in older ones the present one's."""
    found = item.stripe_customer_id or customer.stripe_customer_id
    assert found is not None
    return found


def _state(client: stripe.StripeClient | None, item: Charge, stripe_item_id: str | None) -> ChargeState:
    if isinstance(item, SettleItem) and item.kind is SettleKind.WRITE_OFF:
        return ChargeState.WAIVED
    if not item.needs_invoice_item:
        return ChargeState.FREE
    if stripe_item_id is None:
        return ChargeState.INTENDED
    return ChargeState.MADE if client is None else _seen(client, stripe_item_id)


def _seen(client: stripe.StripeClient, stripe_item_id: str) -> ChargeState:
    try:
        found = client.v1.invoice_items.retrieve(stripe_item_id)
    except stripe.InvalidRequestError as error:
        if error.code != _MISSING:
            raise
        return ChargeState.WAIVED
    if found.invoice is None:
        return ChargeState.MADE
    invoice_id = found.invoice if isinstance(found.invoice, str) else found.invoice.id
    status = client.v1.invoices.retrieve(str(invoice_id)).status
    return {"draft": ChargeState.MADE, "void": ChargeState.VOID}.get(str(status), ChargeState.INVOICED)


def _present(client: stripe.StripeClient, stripe_customer_id: str) -> dict[str, Any]:
    """Return a Stripe customer's invoice items that are ours, by our charges' ids."""
    listed = client.v1.invoice_items.list({"customer": stripe_customer_id, "limit": LARGEST_PAGE})
    found: dict[str, Any] = {}
    for item in listed.auto_paging_iter():
        metadata = item.metadata.to_dict() if item.metadata else {}
        found |= {str(metadata[name]): item for name in (LATE_ITEM, SETTLE_ITEM) if name in metadata}
    return found


def _make(client: stripe.StripeClient, stripe_customer_id: str, item: Charge, catalog: Catalog) -> str:
    start = int(item.period_start.timestamp())
    params: Any = {
        "customer": stripe_customer_id,
        "currency": catalog.currency,
        "amount": int(item.amount.quantize(CENT) * CENTS),
        "description": description(item, catalog),
        "period": {"start": start, "end": start},
        "metadata": {
            item.metadata_name: item.item_id,
            OUR_ID: item.customer_id,
            "meter": item.meter,
            "quantity": f"{item.quantity:f}",
        },
    }
    # The same key and parameters from two operators at once: Stripe makes one item.
    kind = item.metadata_name.removesuffix("_item")
    options: Any = {"idempotency_key": f"{kind}-{item.item_id}"}
    return client.v1.invoice_items.create(params, options).id


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
