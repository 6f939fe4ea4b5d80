"""Invoices as Stripe answers them."""

from collections.abc import Mapping, Sequence
from typing import Any

from stripe_simulator.engine.billed import Invoice, InvoiceLine
from stripe_simulator.engine.invoice_lines import lines_of
from stripe_simulator.engine.state import Json, State
from stripe_simulator.protocol.pagination import page
from stripe_simulator.resources import line_items


def rendered(state: State, invoice: Invoice, now: int) -> Json:
    """An invoice as Stripe answers it, its first ten lines in it and the rest behind ``lines.url``."""
    lines = lines_of(state, invoice, now)
    total = sum(line.amount for line in lines)
    due = max(total, 0) - invoice.credited_before
    address = None if invoice.draft else f"{state.public_url}/invoices/{invoice.id}"
    shown: Json = {
        "id": invoice.id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Simulator",
        "account_tax_ids": None,
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": invoice.amount_paid,
        "amount_remaining": due - invoice.amount_paid,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": invoice.attempts,
        "attempted": invoice.attempts > 0,
        "auto_advance": invoice.auto_advance and invoice.status in {"draft", "open"},
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": invoice.finalizes_at if invoice.draft else None,
        "billing_reason": invoice.billing_reason,
        "collection_method": invoice.collection_method,
        "created": invoice.created,
        "currency": invoice.currency,
        "custom_fields": None,
        **_customer(state, invoice),
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": invoice.description,
        "discounts": [],
        "due_date": invoice.due_at,
        "effective_at": invoice.finalized_at,
        "ending_balance": None if invoice.draft else min(total, 0),
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": address,
        "invoice_pdf": address,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": lines_page(invoice, lines, {}),
        "livemode": False,
        "metadata": invoice.metadata,
        "next_payment_attempt": None,
        "number": invoice.number,
        "on_behalf_of": None,
        "parent": _parent(state, invoice),
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": invoice.period_end,
        "period_start": invoice.period_start,
        "post_payment_credit_notes_amount": invoice.credited_after,
        "pre_payment_credit_notes_amount": invoice.credited_before,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": invoice.status,
        "status_transitions": {
            "finalized_at": invoice.finalized_at,
            "marked_uncollectible_at": invoice.uncollectible_at,
            "paid_at": invoice.paid_at,
            "voided_at": invoice.voided_at,
        },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": None,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": invoice.created,
    }
    if invoice.threshold is not None:
        shown["threshold_reason"] = {"amount_gte": invoice.threshold, "item_reasons": []}
    if invoice.uncollectible_at is not None:
        shown["status_details"] = {"uncollectible": {"reason": invoice.uncollectible_because}}
    return shown


def _customer(state: State, invoice: Invoice) -> Json:
    customer = state.customers[invoice.customer]
    return {
        "customer": invoice.customer,
        "customer_account": None,
        "customer_address": None,
        "customer_email": customer.email,
        "customer_name": customer.name,
        "customer_phone": customer.phone,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
    }


def _parent(state: State, invoice: Invoice) -> Json | None:
    if invoice.subscription is None:
        return None
    subscription = state.subscriptions[invoice.subscription]
    return {
        "type": "subscription_details",
        "quote_details": None,
        "subscription_details": {"metadata": subscription.metadata, "subscription": subscription.id},
    }


def lines_page(invoice: Invoice, lines: Sequence[InvoiceLine], parameters: Mapping[str, Any]) -> Json:
    """One page of an invoice's lines."""
    shown = [line_items.rendered(invoice, line) for line in lines]
    return {**page(shown, parameters, f"/v1/invoices/{invoice.id}/lines"), "total_count": len(shown)}
