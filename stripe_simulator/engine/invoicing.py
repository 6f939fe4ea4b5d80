"""An invoice's life: made, a draft for its grace time, finalised."""

from collections.abc import Sequence

from stripe_simulator.engine import invoice_lines
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.objects import Invoice, LicensedPart, MeteredPart, Subscription
from stripe_simulator.engine.state import Asked, State


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
    finalize_at(state, invoice, at + state.settings.grace_s)
    record(state, "invoice.created", invoice, at)
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


def finalize_at(state: State, invoice: Invoice, at: int) -> None:
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
    record(state, "invoice.finalized", invoice, at, asked)
