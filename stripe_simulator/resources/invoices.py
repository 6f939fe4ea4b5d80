"""The calls on invoices: /v1/invoices and its preview."""

from stripe_simulator.engine import invoice_lines, invoicing, subscription_life
from stripe_simulator.engine.objects import Invoice, Subscription
from stripe_simulator.engine.state import Asked, Json, Route, State, merged_metadata
from stripe_simulator.protocol.errors import StripeRefusalError, no_such
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
)
from stripe_simulator.resources import customers, subscriptions
from stripe_simulator.resources.events import record

_PREVIEWS_REMEMBERED = 50
_STATUSES = OneOf(("draft", "open", "paid", "uncollectible", "void"))
_CHANGEABLE: Fields = {
    **EXPAND,
    "auto_advance": Flag(),
    "automatically_finalizes_at": EPOCH,
    "description": Text(longest=1500),
    "metadata": Metadata(),
}


def find(state: State, identity: str, param: str = "id") -> Invoice:
    """The invoice with an id, or the refusal that there is none."""
    if identity not in state.invoices:
        raise no_such("invoice", identity, param)
    return state.invoices[identity]


def _preview(state: State, asked: Asked) -> Json:
    """The invoice that a subscription's current period would end with, as far as usage is known now."""
    subscription = _previewed(state, asked.parameters)
    invoice = subscription_life.upcoming(state, subscription, asked.now)
    pending = [
        item
        for item in state.invoice_items.values()
        if item.invoice is None
        and item.customer == subscription.customer
        and item.subscription in {None, subscription.id}
    ]
    invoice.lines = invoice_lines.lines_from(state, invoice, pending, asked.now)
    state.previews[invoice.id] = invoice
    if len(state.previews) > _PREVIEWS_REMEMBERED:
        del state.previews[next(iter(state.previews))]
    return invoicing.rendered(state, invoice, asked.now)


def _previewed(state: State, wanted: Parameters) -> Subscription:
    if "subscription" in wanted:
        subscription = subscriptions.find(state, wanted["subscription"], "subscription")
        found = [subscription] if subscription.active else []
    elif "customer" in wanted:
        customer = customers.find(state, wanted["customer"], "customer").id
        found = [one for one in state.subscriptions.values() if one.customer == customer and one.active]
    else:
        raise StripeRefusalError(
            "You must specify a customer or a subscription.", code="parameter_missing", param="customer"
        )
    if not found:
        raise StripeRefusalError(
            "No upcoming invoices: there is no active subscription.",
            status=404,
            code="invoice_upcoming_none",
        )
    return found[-1]


def _create(state: State, asked: Asked) -> Json:
    """A one-off draft for a customer, with or without the invoice items that wait."""
    wanted = asked.parameters
    customer = customers.find(state, wanted["customer"], "customer")
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
        invoicing.schedule(state, invoice, asked.now + state.settings.grace_s)
    answer = invoicing.rendered(state, invoice, asked.now)
    record(state, "invoice.created", answer, asked.now, asked)
    return answer


def _retrieve(state: State, asked: Asked) -> Json:
    return invoicing.rendered(state, find(state, asked.id), asked.now)


def _lines(state: State, asked: Asked) -> Json:
    invoice = state.previews.get(asked.id) or find(state, asked.id)
    lines = invoice_lines.lines_of(state, invoice, asked.now)
    return invoicing.lines_page(invoice, lines, asked.parameters)


def _update(state: State, asked: Asked) -> Json:
    invoice = find(state, asked.id)
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
    answer = invoicing.rendered(state, invoice, asked.now)
    record(state, "invoice.updated", answer, asked.now, asked)
    return answer


def _reschedule(state: State, invoice: Invoice, wanted: Parameters, now: int) -> None:
    at = wanted.get("automatically_finalizes_at")
    if at is not None and at <= now:
        raise StripeRefusalError(
            "automatically_finalizes_at must be in the future.", param="automatically_finalizes_at"
        )
    if at is None and invoice.finalizes_at is None:
        at = now + state.settings.grace_s
    if at is not None:
        invoicing.schedule(state, invoice, at)


def _finalize(state: State, asked: Asked) -> Json:
    invoice = find(state, asked.id)
    if not invoice.draft:
        raise StripeRefusalError(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
            param="id",
        )
    invoicing.finalize(state, invoice, asked.now, asked)
    return invoicing.rendered(state, invoice, asked.now)


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    found = [
        shown
        for invoice in reversed(state.invoices.values())
        if wanted.get("customer", invoice.customer) == invoice.customer
        and wanted.get("subscription", invoice.subscription) == invoice.subscription
        and within(invoice.created, wanted.get("created", {}))
        for shown in [invoicing.rendered(state, invoice, asked.now)]
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
_PREVIEW = Record(
    {**EXPAND, "customer": Text(), "subscription": Text(), "preview_mode": OneOf(("next",))},
)
_LIST = Record({**PAGING, "created": SPAN, "customer": Text(), "status": _STATUSES, "subscription": Text()})
ROUTES = (
    Route("POST", "/v1/invoices/create_preview", _PREVIEW, _preview),
    Route("POST", "/v1/invoices", _NEW, _create),
    Route("GET", "/v1/invoices", _LIST, _list),
    Route("GET", "/v1/invoices/{id}", Record(EXPAND), _retrieve),
    Route("POST", "/v1/invoices/{id}", Record(_CHANGEABLE), _update),
    Route("GET", "/v1/invoices/{id}/lines", Record(PAGING), _lines),
    Route("POST", "/v1/invoices/{id}/finalize", Record({**EXPAND, "auto_advance": Flag()}), _finalize),
)
