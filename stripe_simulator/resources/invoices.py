"""Invoices: POST, GET and DELETE /v1/invoices."""

from stripe_simulator.engine import invoice_lines, invoicing, lookup
from stripe_simulator.engine.billed import Invoice
from stripe_simulator.engine.event_log import record
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
from stripe_simulator.resources.endpoint import Endpoint
from stripe_simulator.resources.invoice_json import lines_page, rendered

_STATUSES = OneOf(("draft", "open", "paid", "uncollectible", "void"))
_CHANGEABLE: Fields = {
    **EXPAND,
    "auto_advance": Flag(),
    "automatically_finalizes_at": EPOCH,
    "description": Text(longest=1500),
    "metadata": Metadata(),
}


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


def _delete(state: State, asked: Asked) -> Json:
    """A draft that is of no subscription goes for good; the invoice items on it go with it."""
    invoice = lookup.invoice(state, asked.id)
    if not invoice.draft or invoice.subscription is not None:
        raise StripeRefusalError(
            "You can only delete draft invoices that are not part of a subscription.",
            code="invoice_not_editable",
            param="id",
        )
    record(state, "invoice.deleted", invoice, asked.now, asked)
    del state.invoices[invoice.id]
    for item in [one for one in state.invoice_items.values() if one.invoice == invoice.id]:
        del state.invoice_items[item.id]
    return {"id": invoice.id, "object": "invoice", "deleted": True}


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
    Endpoint("DELETE", "/v1/invoices/{id}", Record({}), _delete),
)
