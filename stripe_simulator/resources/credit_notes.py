"""Credit notes: POST and GET /v1/credit_notes. They change what is to pay, never what was used."""

from stripe_simulator.engine import lookup, payments
from stripe_simulator.engine.billed import CreditNote, Invoice
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import StripeRefusalError, not_imitated
from stripe_simulator.protocol.pagination import page, within
from stripe_simulator.protocol.parameters import (
    EXPAND,
    PAGING,
    SPAN,
    Metadata,
    OneOf,
    Record,
    Text,
    Whole,
    merged_metadata,
)
from stripe_simulator.resources.endpoint import Endpoint

_NEW = Record(
    {
        **EXPAND,
        "amount": Whole(least=1),
        "credit_amount": Whole(least=0),
        "invoice": Text(),
        "memo": Text(),
        "metadata": Metadata(),
        "out_of_band_amount": Whole(least=0),
        "reason": OneOf(("duplicate", "fraudulent", "order_change", "product_unsatisfactory")),
        "refund_amount": Whole(least=0),
    },
    required=("invoice",),
)


def rendered(state: State, note: CreditNote) -> Json:
    """A credit note as Stripe answers it; it has one line, of an amount alone."""
    line: Json = {
        "id": f"cnli_{note.id}_1",
        "object": "credit_note_line_item",
        "amount": note.amount,
        "description": note.memo,
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": False,
        "metadata": {},
        "pretax_credit_amounts": [],
        "quantity": 1,
        "tax_rates": [],
        "taxes": [],
        "type": "custom_line_item",
        "unit_amount": note.amount,
        "unit_amount_decimal": str(note.amount),
    }
    return {
        "id": note.id,
        "object": "credit_note",
        "amount": note.amount,
        "amount_shipping": 0,
        "created": note.created,
        "currency": note.currency,
        "customer": note.customer,
        "customer_account": None,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": note.created,
        "invoice": note.invoice,
        "lines": {
            "object": "list",
            "data": [line],
            "has_more": False,
            "total_count": 1,
            "url": f"/v1/credit_notes/{note.id}/lines",
        },
        "livemode": False,
        "memo": note.memo,
        "metadata": note.metadata,
        "number": note.number,
        "out_of_band_amount": note.out_of_band or None,
        "pdf": f"{state.public_url}/invoices/{note.invoice}",
        "post_payment_amount": 0 if note.paid_before else note.amount,
        "pre_payment_amount": note.amount if note.paid_before else 0,
        "pretax_credit_amounts": [],
        "reason": note.reason,
        "refunds": [],
        "shipping_cost": None,
        "status": "issued" if note.voided_at is None else "void",
        "subtotal": note.amount,
        "subtotal_excluding_tax": note.amount,
        "total": note.amount,
        "total_excluding_tax": note.amount,
        "total_taxes": [],
        "type": "pre_payment" if note.paid_before else "post_payment",
        "voided_at": note.voided_at,
    }


def _create(state: State, asked: Asked) -> Json:
    """Take an amount off an open invoice, or give it back where the invoice is paid."""
    wanted = asked.parameters
    invoice = lookup.invoice(state, wanted["invoice"], "invoice")
    if invoice.status not in {"open", "paid", "uncollectible"}:
        raise StripeRefusalError(
            f"You cannot issue a credit note for an invoice with status `{invoice.status}`.", param="invoice"
        )
    if "amount" not in wanted:
        raise not_imitated("credit notes by line; pass an amount", "amount")
    if wanted.get("refund_amount"):
        raise not_imitated("refunds", "refund_amount")
    amount, before = wanted["amount"], invoice.status != "paid"
    _check_amount(invoice, amount, before=before)
    given_back = wanted.get("credit_amount", 0) + wanted.get("out_of_band_amount", 0)
    if given_back != (0 if before else amount):
        raise StripeRefusalError(
            "The sum of credit amount, refund amount and out of band amount must equal the post payment "
            f"credit note amount (${0 if before else amount}).",
            param="amount",
        )
    numbered = sum(1 for one in state.credit_notes.values() if one.invoice == invoice.id)
    note = CreditNote(
        id=state.new_id("cn"),
        invoice=invoice.id,
        customer=invoice.customer,
        created=asked.now,
        currency=invoice.currency,
        amount=amount,
        number=f"{invoice.number}-CN-{numbered + 1:02d}",
        paid_before=before,
        out_of_band=wanted.get("out_of_band_amount", 0),
        memo=wanted.get("memo"),
        reason=wanted.get("reason"),
        metadata=merged_metadata({}, wanted.get("metadata", {})),
    )
    state.credit_notes[note.id] = note
    _count(state, invoice, note, amount)
    record(state, "credit_note.created", note, asked.now, asked)
    record(state, "invoice.updated", invoice, asked.now, asked)
    if before and invoice.remaining == 0:
        payments.settle(state, invoice, asked.now, asked)
    return rendered(state, note)


def _check_amount(invoice: Invoice, amount: int, *, before: bool) -> None:
    most = invoice.remaining if before else max(invoice.total, 0) - invoice.credited_before
    most -= 0 if before else invoice.credited_after
    if amount > most:
        raise StripeRefusalError(
            f"The credit note total amount ({amount}) must not be more than the invoice's ({most}).",
            param="amount",
        )


def _count(state: State, invoice: Invoice, note: CreditNote, amount: int) -> None:
    if note.paid_before:
        invoice.credited_before += amount
    else:
        invoice.credited_after += amount
        state.customers[invoice.customer].balance -= amount - note.out_of_band


def _void(state: State, asked: Asked) -> Json:
    """Take a credit note back; only while the invoice that it is of is open."""
    note = lookup.credit_note(state, asked.id)
    invoice = state.invoices[note.invoice]
    if note.voided_at is not None or invoice.status != "open":
        raise StripeRefusalError("You can only void credit notes of open invoices.", param="id")
    note.voided_at = asked.now
    _count(state, invoice, note, -note.amount)
    record(state, "credit_note.voided", note, asked.now, asked)
    return rendered(state, note)


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(state, lookup.credit_note(state, asked.id))


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    found = [
        rendered(state, note)
        for note in reversed(state.credit_notes.values())
        if wanted.get("customer", note.customer) == note.customer
        and wanted.get("invoice", note.invoice) == note.invoice
        and within(note.created, wanted.get("created", {}))
    ]
    return page(found, wanted, "/v1/credit_notes")


_PATH = "/v1/credit_notes"
_LIST = Record({**PAGING, "created": SPAN, "customer": Text(), "invoice": Text()})
ENDPOINTS = (
    Endpoint("POST", _PATH, _NEW, _create),
    Endpoint("GET", _PATH, _LIST, _list),
    Endpoint("GET", f"{_PATH}/{{id}}", Record(EXPAND), _retrieve),
    Endpoint("POST", f"{_PATH}/{{id}}/void", Record(EXPAND), _void),
)
