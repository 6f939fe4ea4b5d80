"""An invoice's life: made, a draft for its grace time, finalised."""

from collections.abc import Sequence
from dataclasses import dataclass

from stripe_simulator.engine import invoice_lines, payments
from stripe_simulator.engine.billed import Invoice, LicensedPart, MeteredPart
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.state import Asked, Finalisation, State
from stripe_simulator.engine.subscribed import PauseCollection, Subscription


@dataclass(frozen=True)
class Draft:
    """What a subscription's new invoice bills, and why.

    Parameters
    ----------
    finalisation
        Whether it has the grace time, is final at once, or never advances by itself.
    threshold
        The amount of unbilled usage that made it.
    attempts
        Whether its payment is tried at all.
    """

    reason: str
    licensed: Sequence[LicensedPart] = ()
    metered: Sequence[MeteredPart] = ()
    finalisation: Finalisation = "grace"
    threshold: int | None = None
    attempts: bool = True


def make(state: State, subscription: Subscription, at: int, draft: Draft) -> Invoice:
    """A subscription's new invoice with the pending invoice items on it.

    Collection that is paused, and a subscription that is unpaid, leave it a draft for good, or void it.
    """
    paused = collection_paused(subscription, at)
    keeps = subscription.status == "unpaid" or (paused is not None and paused.behavior == "keep_as_draft")
    invoice = Invoice(
        id=state.new_id("in"),
        customer=subscription.customer,
        subscription=subscription.id,
        created=at,
        currency=subscription.currency,
        billing_reason=draft.reason,
        period_start=subscription.period_start,
        period_end=at,
        collection_method=subscription.collection_method,
        auto_advance=not keeps and draft.finalisation != "never",
        finalizes_at=None,
        licensed=tuple(draft.licensed),
        metered=tuple(draft.metered),
        days_until_due=subscription.days_until_due,
        threshold=draft.threshold,
    )
    state.invoices[invoice.id] = invoice
    subscription.latest_invoice = invoice.id
    attach_pending_items(state, invoice)
    if state.settings.draft_usage == "at_finalisation":
        invoice.counted = invoice_lines.counted_now(state, invoice, at)
    finalisation = draft.finalisation
    if paused is not None and paused.behavior != "keep_as_draft":
        invoice.on_finalisation = paused.behavior
        if finalisation == "grace":
            finalisation = state.settings.paused_invoice
    if invoice.auto_advance and finalisation == "grace":
        finalize_at(state, invoice, at + state.settings.grace_s)
    record(state, "invoice.created", invoice, at)
    if invoice.auto_advance and finalisation == "at_once":
        finalize(state, invoice, at, attempts=draft.attempts)
    return invoice


def collection_paused(subscription: Subscription, at: int) -> PauseCollection | None:
    """How a subscription's collection is paused at an instant, if it is."""
    paused = subscription.pause_collection
    if paused is None or (paused.resumes_at is not None and paused.resumes_at <= at):
        return None
    return paused


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
    if state.settings.failing_finalisation:
        return
    if invoice.id in state.invoices and invoice.draft and invoice.auto_advance and invoice.finalizes_at == at:
        finalize(state, invoice, at)


def finalize(
    state: State, invoice: Invoice, at: int, asked: Asked | None = None, *, attempts: bool = True
) -> None:
    """Fix a draft's lines as Stripe knows the usage now; what arrives later is on no invoice at all."""
    invoice.counted = None
    invoice.lines = invoice_lines.lines_of(state, invoice, at)
    invoice.finalized_at = at
    invoice.finalizes_at = None
    finalized = sum(1 for other in state.invoices.values() if other.number is not None)
    invoice.number = f"{invoice.customer[-8:]}-{finalized + 1:04d}"
    record(state, "invoice.finalized", invoice, at, asked)
    if invoice.on_finalisation == "void":
        payments.void(state, invoice, at, asked)
    elif invoice.on_finalisation == "mark_uncollectible" and invoice.remaining > 0:
        payments.mark_uncollectible(state, invoice, at, "subscription_paused", asked)
    else:
        payments.begin_collection(state, invoice, at, attempts=attempts and invoice.auto_advance)
