"""What an invoice's lines are, worked out from its parts."""

from decimal import Decimal

from stripe_simulator.engine.aggregation import quantity
from stripe_simulator.engine.billed import Invoice, InvoiceItem, InvoiceLine, LicensedPart, MeteredPart
from stripe_simulator.engine.objects import Price
from stripe_simulator.engine.rating import RatedPart, rate, rate_further
from stripe_simulator.engine.state import State
from stripe_simulator.protocol.amounts import money, text

type Counted = tuple[Decimal, Decimal]
"""What was used over a part's span, and what of it a later price bills."""


def lines_of(state: State, invoice: Invoice, now: int) -> tuple[InvoiceLine, ...]:
    """An invoice's lines: those that were fixed at its finalisation, else what they would be now.

    Invoice items come first, newest first, then the subscription's items (Stripe, "Invoice object", lines).
    """
    if invoice.lines is not None:
        return invoice.lines
    attached = [item for item in state.invoice_items.values() if item.invoice == invoice.id]
    return lines_from(state, invoice, attached, now)


def lines_from(state: State, invoice: Invoice, items: list[InvoiceItem], now: int) -> tuple[InvoiceLine, ...]:
    """The lines of an invoice with these invoice items; usage as the draft counted it, else as of ``now``."""
    numbered = _Numbering(invoice.id)
    counted = invoice.counted or counted_now(state, invoice, now)
    return (
        *(_item_line(item, numbered) for item in reversed(items)),
        *(line for part in invoice.licensed for line in _licensed_lines(state, part, numbered)),
        *(
            line
            for part, used in zip(invoice.metered, counted, strict=True)
            for line in _metered_lines(state, part, used, now, numbered)
        ),
    )


def counted_now(state: State, invoice: Invoice, now: int) -> tuple[Counted, ...]:
    """What each metered part of an invoice was used, as Stripe knows it at ``now``."""
    return tuple(_used(state, invoice.customer, part, now) for part in invoice.metered)


def _used(state: State, customer: str, part: MeteredPart, now: int) -> Counted:
    recurring = state.prices[part.price].recurring
    assert recurring is not None
    assert recurring.meter is not None
    meter, span = state.meters[recurring.meter], (part.start, part.end)
    used = quantity(state, meter, customer, span, now)
    late = state.settings.late_after_price_change
    if part.prices_changed_at is None or late == "old_price":
        return used, Decimal(0)
    in_time = quantity(state, meter, customer, span, now, part.prices_changed_at)
    return in_time, used - in_time if late == "new_price" else Decimal(0)


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
        price=item.price,
        product=item.product,
        subscription_item=item.subscription_item,
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
            description=description(state, price, rated, count),
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
    state: State, part: MeteredPart, counted: Counted, now: int, numbered: _Numbering
) -> list[InvoiceLine]:
    used, later = counted
    price = state.prices[part.price]
    rated = [(price, one) for one in rate_further(price, used, _already(state, part, now))]
    if part.later_price is not None and later > 0:
        following = state.prices[part.later_price]
        rated += [(following, one) for one in rate(following, later)]
    return [
        InvoiceLine(
            id=numbered.next(),
            amount=one.amount,
            description=description(state, of, one, one.quantity),
            quantity=one.quantity,
            period_start=part.start if part.shown_from is None else part.shown_from,
            period_end=part.end,
            unit_amount=one.unit_amount,
            price=of.id,
            product=of.product,
            subscription_item=part.subscription_item,
            metered=True,
        )
        for of, one in rated
    ]


def _already(state: State, part: MeteredPart, now: int) -> Decimal:
    """How much of a part the invoices of a threshold have billed."""
    billed = (line for invoice in part.after for line in lines_of(state, state.invoices[invoice], now))
    return sum(
        (
            line.quantity
            for line in billed
            if line.metered and (line.subscription_item, line.price) == (part.subscription_item, part.price)
        ),
        Decimal(0),
    )


def description(state: State, price: Price, rated: RatedPart, count: Decimal) -> str:
    """What a line says to people: the count, the product, the tier and its price."""
    name = state.products[price.product].name
    interval = f" / {price.recurring.interval}" if price.recurring else ""
    each = f"{money(rated.unit_amount or Decimal(0), price.currency)}{interval}"
    tier = f"Tier {rated.tier} at {each}" if rated.tier else f"at {each}"
    return f"{text(count)} \N{MULTIPLICATION SIGN} {name} ({tier})"
