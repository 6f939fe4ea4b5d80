"""An invoice's lines, each as Stripe shows it."""

from stripe_simulator.engine.billed import Invoice, InvoiceLine
from stripe_simulator.engine.state import Json
from stripe_simulator.protocol.amounts import text


def rendered(invoice: Invoice, line: InvoiceLine) -> Json:
    """A line as Stripe answers it."""
    return {
        "id": line.id,
        "object": "line_item",
        "amount": line.amount,
        "currency": invoice.currency,
        "description": line.description,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice.id,
        "livemode": False,
        "metadata": line.metadata,
        "parent": _parent(invoice, line),
        "period": {"start": line.period_start, "end": line.period_end},
        "pretax_credit_amounts": [],
        "pricing": line.price
        and {
            "price_details": {"price": line.price, "product": line.product},
            "type": "price_details",
            "unit_amount_decimal": text(line.unit_amount),
        },
        # the integer field truncates; the decimal one is exact
        "quantity": int(line.quantity),
        "quantity_decimal": text(line.quantity),
        "subscription": invoice.subscription,
        "subtotal": line.amount,
        "taxes": [],
    }


def _parent(invoice: Invoice, line: InvoiceLine) -> Json:
    if line.invoice_item is not None:
        details: Json = {
            "invoice_item": line.invoice_item,
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": invoice.subscription,
        }
        return {
            "type": "invoice_item_details",
            "invoice_item_details": details,
            "subscription_item_details": None,
        }
    details = {
        "invoice_item": None,
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": invoice.subscription,
        "subscription_item": line.subscription_item,
    }
    return {
        "type": "subscription_item_details",
        "invoice_item_details": None,
        "subscription_item_details": details,
    }
