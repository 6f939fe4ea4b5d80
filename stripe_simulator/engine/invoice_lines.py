"""What an invoice's lines are, worked out from its parts."""

from decimal import Decimal

from stripe_simulator.engine.aggregation import quantity
from stripe_simulator.engine.objects import (
    Invoice,
    InvoiceItem,
    InvoiceLine,
    LicensedPart,
    MeteredPart,
    Price,
)
from stripe_simulator.engine.rating import RatedPart, rate
from stripe_simulator.engine.state import State
from stripe_simulator.protocol.amounts import text


def lines_of(state: State, invoice: Invoice, now: int) -> tuple[InvoiceLine, ...]:
    """An invoice's lines: those that were fixed at its finalisation, else what they would be now.

    Invoice items come first, newest first, then the subscription's items (Stripe, "Invoice object", lines).
    """
    if invoice.lines is not None:
        return invoice.lines
    attached = [item for item in state.invoice_items.values() if item.invoice == invoice.id]
    return lines_from(state, invoice, attached, now)


def lines_from(state: State, invoice: Invoice, items: list[InvoiceItem], now: int) -> tuple[InvoiceLine, ...]:
    """The lines of an invoice with these invoice items, and usage as Stripe knows it at ``now``."""
    numbered = _Numbering(invoice.id)
    return (
        *(_item_line(item, numbered) for item in reversed(items)),
        *(line for part in invoice.licensed for line in _licensed_lines(state, part, numbered)),
        *(line for part in invoice.metered for line in _metered_lines(state, invoice, part, now, numbered)),
    )


class _Numbering:
    """Line ids: the invoice's id and the line's place, so that a draft's lines keep theirs."""

    def __init__(self, invoice: str) -> None:
        self._invoice = invoice
        self._used = 0

    def next(self) -> str:
        self._used += 1
        return f"il_{self._invoice}_{self._used}"


def _item_line(item: InvoiceItem, numbered: _Numbering) -> InvoiceLine:
    return InvoiceLine(
        id=numbered.next(),
        amount=item.amount,
        description=item.description or "",
        quantity=item.quantity,
        period_start=item.period_start,
        period_end=item.period_end,
        unit_amount=item.unit_amount,
        invoice_item=item.id,
        metadata=item.metadata,
    )


def _licensed_lines(state: State, part: LicensedPart, numbered: _Numbering) -> list[InvoiceLine]:
    price = state.prices[part.price]
    count = Decimal(part.quantity)
    return [
        InvoiceLine(
            id=numbered.next(),
            amount=rated.amount,
            description=_description(state, price, rated, count),
            quantity=count,
            period_start=part.start,
            period_end=part.end,
            unit_amount=rated.unit_amount,
            price=price.id,
            product=price.product,
            subscription_item=part.subscription_item,
        )
        for rated in rate(price, count * part.share)
    ]


def _metered_lines(
    state: State, invoice: Invoice, part: MeteredPart, now: int, numbered: _Numbering
) -> list[InvoiceLine]:
    price = state.prices[part.price]
    assert price.recurring is not None
    assert price.recurring.meter is not None
    meter = state.meters[price.recurring.meter]
    used = quantity(state, meter, invoice.customer, part.start, part.end, now)
    return [
        InvoiceLine(
            id=numbered.next(),
            amount=rated.amount,
            description=_description(state, price, rated, rated.quantity),
            quantity=rated.quantity,
            period_start=part.start,
            period_end=part.end,
            unit_amount=rated.unit_amount,
            price=price.id,
            product=price.product,
            subscription_item=part.subscription_item,
        )
        for rated in rate(price, used)
    ]


def _description(state: State, price: Price, rated: RatedPart, count: Decimal) -> str:
    name = state.products[price.product].name
    interval = f" / {price.recurring.interval}" if price.recurring else ""
    each = f"{_dollars(rated.unit_amount or Decimal(0))}{interval}"
    tier = f"Tier {rated.tier} at {each}" if rated.tier else f"at {each}"
    return f"{text(count)} \N{MULTIPLICATION SIGN} {name} ({tier})"


def _dollars(cents: Decimal) -> str:
    """An amount with at least two places, and as many more as it needs."""
    whole, _, places = f"{(cents / 100).normalize():f}".partition(".")
    return f"${whole}.{places:0<2}"
