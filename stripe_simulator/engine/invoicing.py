"""An invoice's life: made, a draft for its grace time, finalised."""

from collections.abc import Mapping, Sequence
from typing import Any

from stripe_simulator.engine import invoice_lines
from stripe_simulator.engine.objects import Invoice, InvoiceLine, LicensedPart, MeteredPart, Subscription
from stripe_simulator.engine.state import DAY, Asked, Json, State
from stripe_simulator.protocol.pagination import page
from stripe_simulator.resources.events import record


def open_draft(
    state: State,
    subscription: Subscription,
    reason: str,
    at: int,
    licensed: Sequence[LicensedPart],
    metered: Sequence[MeteredPart],
) -> Invoice:
    """A subscription's new draft with the pending invoice items on it; finalised when the grace ends."""
    invoice = Invoice(
        id=state.new_id("in"),
        customer=subscription.customer,
        subscription=subscription.id,
        created=at,
        currency=subscription.currency,
        billing_reason=reason,
        period_start=subscription.period_start,
        period_end=at,
        collection_method=subscription.collection_method,
        auto_advance=True,
        finalizes_at=None,
        licensed=tuple(licensed),
        metered=tuple(metered),
        days_until_due=subscription.days_until_due,
    )
    state.invoices[invoice.id] = invoice
    subscription.latest_invoice = invoice.id
    attach_pending_items(state, invoice)
    schedule(state, invoice, at + state.settings.grace_s)
    record(state, "invoice.created", rendered(state, invoice, at), at)
    return invoice


def attach_pending_items(state: State, invoice: Invoice) -> None:
    """Put the customer's invoice items that are on no invoice yet on this one."""
    for item in state.invoice_items.values():
        if (
            item.invoice is None
            and item.customer == invoice.customer
            and item.currency == invoice.currency
            and item.subscription in {None, invoice.subscription}
        ):
            item.invoice = invoice.id


def schedule(state: State, invoice: Invoice, at: int) -> None:
    """Finalise a draft at an instant, unless it is finalised or rescheduled before."""
    invoice.finalizes_at = at
    state.agenda.at(at, lambda instant: _finalize_if_due(state, invoice, instant))


def _finalize_if_due(state: State, invoice: Invoice, at: int) -> None:
    if invoice.draft and invoice.auto_advance and invoice.finalizes_at == at:
        finalize(state, invoice, at)


def finalize(state: State, invoice: Invoice, at: int, asked: Asked | None = None) -> None:
    """Fix a draft's lines as Stripe knows the usage now; what arrives later is on no invoice at all."""
    invoice.lines = invoice_lines.lines_of(state, invoice, at)
    invoice.finalized_at = at
    invoice.finalizes_at = None
    finalized = sum(1 for other in state.invoices.values() if other.number is not None)
    invoice.number = f"{invoice.customer[-8:]}-{finalized + 1:04d}"
    record(state, "invoice.finalized", rendered(state, invoice, at), at, asked)


def rendered(state: State, invoice: Invoice, now: int) -> Json:
    """An invoice as Stripe answers it, its first ten lines in it and the rest behind ``lines.url``."""
    lines = invoice_lines.lines_of(state, invoice, now)
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
    shown = [invoice_lines.rendered(invoice, line) for line in lines]
    return {**page(shown, parameters, f"/v1/invoices/{invoice.id}/lines"), "total_count": len(shown)}
