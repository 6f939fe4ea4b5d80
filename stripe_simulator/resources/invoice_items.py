"""Invoice items: POST, GET and DELETE /v1/invoiceitems."""

from decimal import Decimal

from stripe_simulator.engine import lookup
from stripe_simulator.engine.billed import InvoiceItem
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.rating import cents
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.amounts import text
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.pagination import page, within
from stripe_simulator.protocol.parameters import (
    EPOCH,
    EXPAND,
    PAGING,
    SPAN,
    Exact,
    Flag,
    Metadata,
    Parameters,
    Record,
    Text,
    Whole,
    merged_metadata,
)
from stripe_simulator.resources.endpoint import Endpoint

_NEW = Record(
    {
        **EXPAND,
        "amount": Whole(),
        "currency": Text(longest=3),
        "customer": Text(),
        "description": Text(),
        "invoice": Text(),
        "metadata": Metadata(),
        "period": Record({"start": EPOCH, "end": EPOCH}, required=("end", "start")),
        "quantity": Whole(least=0),
        "quantity_decimal": Exact(),
        "subscription": Text(),
        "unit_amount_decimal": Exact(),
    },
    required=("customer",),
)


def rendered(item: InvoiceItem) -> Json:
    """An invoice item as Stripe answers it."""
    return {
        "id": item.id,
        "object": "invoiceitem",
        "amount": item.amount,
        "currency": item.currency,
        "customer": item.customer,
        "customer_account": None,
        "date": item.created,
        "description": item.description,
        "discountable": item.amount > 0,
        "discounts": [],
        "invoice": item.invoice,
        "livemode": False,
        "metadata": item.metadata,
        "net_amount": item.amount,
        "parent": _parent(item),
        "period": {"start": item.period_start, "end": item.period_end},
        "pricing": item.price
        and {
            "price_details": {"price": item.price, "product": item.product},
            "type": "price_details",
            "unit_amount_decimal": text(item.unit_amount),
        },
        "proration": False,
        "quantity": int(item.quantity),
        "quantity_decimal": text(item.quantity),
        "tax_rates": [],
        "test_clock": None,
    }


def _parent(item: InvoiceItem) -> Json | None:
    if item.subscription is None:
        return None
    details: Json = {"subscription": item.subscription}
    if item.subscription_item is not None:
        details["subscription_item"] = item.subscription_item
    return {"type": "subscription_details", "subscription_details": details}


def _create(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    customer = lookup.customer(state, wanted["customer"], "customer")
    invoice = wanted.get("invoice")
    if invoice is not None and not lookup.invoice(state, invoice, "invoice").draft:
        raise StripeRefusalError(
            "The specified invoice can no longer be edited. Instead, consider creating invoice items that "
            "will be applied to the next upcoming invoice.",
            code="invoice_not_editable",
            param="invoice",
        )
    if "subscription" in wanted:
        lookup.subscription(state, wanted["subscription"], "subscription")
    amount, quantity, unit_amount = _priced(wanted)
    period = wanted.get("period", {"start": asked.now, "end": asked.now})
    item = InvoiceItem(
        id=state.new_id("ii"),
        customer=customer.id,
        created=asked.now,
        currency=wanted.get("currency", "usd"),
        amount=amount,
        quantity=quantity,
        unit_amount=unit_amount,
        period_start=period["start"],
        period_end=period["end"],
        description=wanted.get("description"),
        invoice=invoice,
        subscription=wanted.get("subscription"),
        metadata=merged_metadata({}, wanted.get("metadata", {})),
    )
    state.invoice_items[item.id] = item
    record(state, "invoiceitem.created", item, asked.now, asked)
    return rendered(item)


def _priced(wanted: Parameters) -> tuple[int, Decimal, Decimal | None]:
    """The item's amount in cents, its quantity, and its price a unit when it was given that way."""
    if "quantity" in wanted and "quantity_decimal" in wanted:
        raise StripeRefusalError(
            "You may only specify one of these parameters: quantity, quantity_decimal.", param="quantity"
        )
    quantity = wanted.get("quantity_decimal", Decimal(wanted.get("quantity", 1)))
    if ("amount" in wanted) == ("unit_amount_decimal" in wanted):
        raise StripeRefusalError("You must specify either `amount` or `unit_amount_decimal`.", param="amount")
    if "amount" in wanted:
        if "quantity" in wanted or "quantity_decimal" in wanted:
            raise StripeRefusalError("`quantity` cannot be combined with `amount`.", param="quantity")
        return wanted["amount"], quantity, None
    unit_amount: Decimal = wanted["unit_amount_decimal"]
    return cents(quantity * unit_amount), quantity, unit_amount


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(lookup.invoice_item(state, asked.id))


def _delete(state: State, asked: Asked) -> Json:
    """An item goes for good, from its draft too; on a final invoice it stays."""
    item = lookup.invoice_item(state, asked.id)
    if item.invoice is not None and not state.invoices[item.invoice].draft:
        raise StripeRefusalError(
            "You cannot delete an invoice item that is attached to an invoice that is no longer editable.",
            code="invoice_not_editable",
            param="id",
        )
    record(state, "invoiceitem.deleted", item, asked.now, asked)
    del state.invoice_items[item.id]
    return {"id": item.id, "object": "invoiceitem", "deleted": True}


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    found = [
        rendered(item)
        for item in reversed(state.invoice_items.values())
        if wanted.get("customer", item.customer) == item.customer
        and wanted.get("invoice", item.invoice) == item.invoice
        and ("pending" not in wanted or wanted["pending"] == (item.invoice is None))
        and within(item.created, wanted.get("created", {}))
    ]
    return page(found, wanted, "/v1/invoiceitems")


_LIST = Record({**PAGING, "created": SPAN, "customer": Text(), "invoice": Text(), "pending": Flag()})
ENDPOINTS = (
    Endpoint("POST", "/v1/invoiceitems", _NEW, _create),
    Endpoint("GET", "/v1/invoiceitems", _LIST, _list),
    Endpoint("GET", "/v1/invoiceitems/{id}", Record(EXPAND), _retrieve),
    Endpoint("DELETE", "/v1/invoiceitems/{id}", Record({}), _delete),
)
