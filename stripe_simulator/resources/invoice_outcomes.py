"""What becomes of an invoice by a call: finalised, paid, void or uncollectible."""

from stripe_simulator.engine import invoicing, lookup, payments
from stripe_simulator.engine.billed import Invoice
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.parameters import EXPAND, Flag, Record, Text
from stripe_simulator.resources.endpoint import Endpoint
from stripe_simulator.resources.invoice_json import rendered
from stripe_simulator.resources.refused_payments import refused_payment


def _finalize(state: State, asked: Asked) -> Json:
    invoice = lookup.invoice(state, asked.id)
    if not invoice.draft:
        raise StripeRefusalError(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
            param="id",
        )
    invoice.auto_advance = asked.parameters.get("auto_advance", invoice.auto_advance)
    invoicing.finalize(state, invoice, asked.now, asked)
    return rendered(state, invoice, asked.now)


def _pay(state: State, asked: Asked) -> Json:
    """Pay what remains, by a payment method or outside of Stripe; a draft is finalised first."""
    invoice = lookup.invoice(state, asked.id)
    if invoice.status in {"paid", "void"}:
        raise StripeRefusalError(
            f"Invoice is already {invoice.status}" if invoice.status == "paid" else "Invoice is voided.",
            code="invoice_not_editable",
        )
    subscription = state.subscriptions.get(invoice.subscription or "")
    method = asked.parameters.get(
        "payment_method", payments.payment_method(state, invoice.customer, subscription)
    )
    outside = asked.parameters.get("paid_out_of_band", False)
    if invoice.draft:
        invoicing.finalize(state, invoice, asked.now, asked, attempts=False)
    if invoice.status in {"open", "uncollectible"}:
        if not outside and not payments.is_good(method):
            raise refused_payment(method)
        payments.settle(state, invoice, asked.now, asked, paid=invoice.remaining)
    return rendered(state, invoice, asked.now)


def _void(state: State, asked: Asked) -> Json:
    invoice = _in(state, asked.id, ("open", "uncollectible"))
    payments.void(state, invoice, asked.now, asked)
    return rendered(state, invoice, asked.now)


def _mark_uncollectible(state: State, asked: Asked) -> Json:
    invoice = _in(state, asked.id, ("open",))
    payments.mark_uncollectible(state, invoice, asked.now, "user_forgiven", asked)
    return rendered(state, invoice, asked.now)


def _in(state: State, identity: str, statuses: tuple[str, ...]) -> Invoice:
    invoice = lookup.invoice(state, identity)
    if invoice.status not in statuses:
        raise StripeRefusalError(
            f"You can only pass in {' or '.join(statuses)} invoices. This invoice is {invoice.status}.",
            code="invoice_not_editable",
            param="id",
        )
    return invoice


_ONE = "/v1/invoices/{id}"
ENDPOINTS = (
    Endpoint("POST", f"{_ONE}/finalize", Record({**EXPAND, "auto_advance": Flag()}), _finalize),
    Endpoint("POST", f"{_ONE}/mark_uncollectible", Record(EXPAND), _mark_uncollectible),
    Endpoint(
        "POST",
        f"{_ONE}/pay",
        Record({**EXPAND, "paid_out_of_band": Flag(), "payment_method": Text()}),
        _pay,
    ),
    Endpoint("POST", f"{_ONE}/void", Record(EXPAND), _void),
)
