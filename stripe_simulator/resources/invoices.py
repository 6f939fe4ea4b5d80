"""Invoices: POST and GET /v1/invoices."""

from collections.abc import Mapping, Sequence
from typing import Any

from stripe_simulator.engine import invoice_lines, invoicing, lookup
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.invoice_lines import lines_of
from stripe_simulator.engine.objects import Invoice, InvoiceLine
from stripe_simulator.engine.periods import DAY
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.pagination import page, within
from stripe_simulator.protocol.parameters import (
    EPOCH,
    EXPAND,
    PAGING,
    SPAN,
    Fields,
    Flag,
    Metadata,
    OneOf,
    Parameters,
    Record,
    Text,
    Whole,
    merged_metadata,
)
from stripe_simulator.resources import line_items
from stripe_simulator.resources.endpoint import Endpoint

_STATUSES = OneOf(("draft", "open", "paid", "uncollectible", "void"))
_CHANGEABLE: Fields = {
    **EXPAND,
    "auto_advance": Flag(),
    "automatically_finalizes_at": EPOCH,
    "description": Text(longest=1500),
    "metadata": Metadata(),
}


def rendered(state: State, invoice: Invoice, now: int) -> Json:
    """An invoice as Stripe answers it, its first ten lines in it and the rest behind ``lines.url``."""
    lines = lines_of(state, invoice, now)
    total = sum(line.amount for line in lines)
    status = "draft" if invoice.draft else "open" if total > 0 else "paid"
    due = max(total, 0)
    customer = state.customers[invoice.customer]
    subscription = state.subscriptions.get(invoice.subscription or "")
    return {
        "id": invoice.id,
        "object": "invoice",
        "account_country": "US",
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": due,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": invoice.auto_advance and invoice.draft,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "automatically_finalizes_at": invoice.finalizes_at if invoice.draft else None,
        "billing_reason": invoice.billing_reason,
        "collection_method": invoice.collection_method,
        "created": invoice.created,
        "currency": invoice.currency,
        "custom_fields": None,
        "customer": invoice.customer,
        "customer_email": customer.email,
        "customer_name": customer.name,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": invoice.description,
        "discounts": [],
        "due_date": _due_date(invoice),
        "effective_at": invoice.finalized_at,
        "ending_balance": None if invoice.draft else min(total, 0),
        "hosted_invoice_url": None if invoice.draft else f"{state.public_url}/invoices/{invoice.id}",
        "invoice_pdf": None if invoice.draft else f"{state.public_url}/invoices/{invoice.id}",
        "issuer": {"type": "self"},
        "lines": lines_page(invoice, lines, {}),
        "livemode": False,
        "metadata": invoice.metadata,
        "next_payment_attempt": None,
        "number": invoice.number,
        "parent": subscription
        and {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"metadata": subscription.metadata, "subscription": subscription.id},
        },
        "period_end": invoice.period_end,
        "period_start": invoice.period_start,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": status,
        "status_transitions": {
            "finalized_at": invoice.finalized_at,
            "marked_uncollectible_at": None,
            "paid_at": invoice.finalized_at if status == "paid" else None,
            "voided_at": None,
        },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": None,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_taxes": [],
    }


def _due_date(invoice: Invoice) -> int | None:
    if invoice.days_until_due is None or invoice.finalized_at is None:
        return None
    return invoice.finalized_at + invoice.days_until_due * DAY


def lines_page(invoice: Invoice, lines: Sequence[InvoiceLine], parameters: Mapping[str, Any]) -> Json:
    """One page of an invoice's lines."""
    shown = [line_items.rendered(invoice, line) for line in lines]
    return {**page(shown, parameters, f"/v1/invoices/{invoice.id}/lines"), "total_count": len(shown)}


def _create(state: State, asked: Asked) -> Json:
    """A one-off draft for a customer, with or without the invoice items that wait."""
    wanted = asked.parameters
    customer = lookup.customer(state, wanted["customer"], "customer")
    method = wanted.get("collection_method", "charge_automatically")
    if method == "send_invoice" and "days_until_due" not in wanted:
        raise StripeRefusalError(
            "You must specify `days_until_due` when `collection_method` is `send_invoice`.",
            param="days_until_due",
        )
    invoice = Invoice(
        id=state.new_id("in"),
        customer=customer.id,
        subscription=None,
        created=asked.now,
        currency=wanted.get("currency", "usd"),
        billing_reason="manual",
        period_start=asked.now,
        period_end=asked.now,
        collection_method=method,
        auto_advance=wanted.get("auto_advance", False),
        finalizes_at=None,
        days_until_due=wanted.get("days_until_due"),
        description=wanted.get("description"),
        metadata=merged_metadata({}, wanted.get("metadata", {})),
    )
    state.invoices[invoice.id] = invoice
    if wanted.get("pending_invoice_items_behavior", "exclude") == "include":
        invoicing.attach_pending_items(state, invoice)
    if invoice.auto_advance:
        invoicing.finalize_at(state, invoice, asked.now + state.settings.grace_s)
    record(state, "invoice.created", invoice, asked.now, asked)
    return rendered(state, invoice, asked.now)


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(state, lookup.invoice(state, asked.id), asked.now)


def _lines(state: State, asked: Asked) -> Json:
    invoice = state.previews.get(asked.id) or lookup.invoice(state, asked.id)
    lines = invoice_lines.lines_of(state, invoice, asked.now)
    return lines_page(invoice, lines, asked.parameters)


def _update(state: State, asked: Asked) -> Json:
    invoice = lookup.invoice(state, asked.id)
    wanted = asked.parameters
    if not invoice.draft and set(wanted) - {"metadata", "expand"}:
        raise StripeRefusalError(
            "Finalized invoices can't be updated in this way.", code="invoice_not_editable", param="id"
        )
    invoice.description = wanted.get("description", invoice.description)
    invoice.auto_advance = wanted.get("auto_advance", invoice.auto_advance)
    if "metadata" in wanted:
        invoice.metadata = merged_metadata(invoice.metadata, wanted["metadata"])
    if invoice.draft and invoice.auto_advance:
        _reschedule(state, invoice, wanted, asked.now)
    if not invoice.auto_advance:
        invoice.finalizes_at = None
    record(state, "invoice.updated", invoice, asked.now, asked)
    return rendered(state, invoice, asked.now)


def _reschedule(state: State, invoice: Invoice, wanted: Parameters, now: int) -> None:
    at = wanted.get("automatically_finalizes_at")
    if at is not None and at <= now:
        raise StripeRefusalError(
            "automatically_finalizes_at must be in the future.", param="automatically_finalizes_at"
        )
    if at is None and invoice.finalizes_at is None:
        at = now + state.settings.grace_s
    if at is not None:
        invoicing.finalize_at(state, invoice, at)


def _finalize(state: State, asked: Asked) -> Json:
    invoice = lookup.invoice(state, asked.id)
    if not invoice.draft:
        raise StripeRefusalError(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
            param="id",
        )
    invoicing.finalize(state, invoice, asked.now, asked)
    return rendered(state, invoice, asked.now)


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    found = [
        shown
        for invoice in reversed(state.invoices.values())
        if wanted.get("customer", invoice.customer) == invoice.customer
        and wanted.get("subscription", invoice.subscription) == invoice.subscription
        and within(invoice.created, wanted.get("created", {}))
        for shown in [rendered(state, invoice, asked.now)]
        if wanted.get("status", shown["status"]) == shown["status"]
    ]
    return page(found, wanted, "/v1/invoices")


_NEW = Record(
    {
        **EXPAND,
        "auto_advance": Flag(),
        "collection_method": OneOf(("charge_automatically", "send_invoice")),
        "currency": Text(longest=3),
        "customer": Text(),
        "days_until_due": Whole(least=0),
        "description": Text(longest=1500),
        "metadata": Metadata(),
        "pending_invoice_items_behavior": OneOf(("exclude", "include")),
    },
    required=("customer",),
)
_LIST = Record({**PAGING, "created": SPAN, "customer": Text(), "status": _STATUSES, "subscription": Text()})
ENDPOINTS = (
    Endpoint("POST", "/v1/invoices", _NEW, _create),
    Endpoint("GET", "/v1/invoices", _LIST, _list),
    Endpoint("GET", "/v1/invoices/{id}", Record(EXPAND), _retrieve),
    Endpoint("POST", "/v1/invoices/{id}", Record(_CHANGEABLE), _update),
    Endpoint("GET", "/v1/invoices/{id}/lines", Record(PAGING), _lines),
    Endpoint("POST", "/v1/invoices/{id}/finalize", Record({**EXPAND, "auto_advance": Flag()}), _finalize),
)
