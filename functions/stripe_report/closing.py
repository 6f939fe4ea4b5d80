"""Closing a period: what is unsent goes out, hours are reconciled, the final invoice is written down.

Source: docs/stripe-protocol.md#closing-a-period. A look at a period does what can be done now and says when
to look next; the calendar of closings (`metering.tables.closings`) remembers it, since an SQS FIFO queue
cannot delay a single message. Every look starts from what the tables and Stripe say, so that it does not
matter how late, how often or in which order looks are asked for.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from metering.core.accounts import Account, BillingPeriod, PeriodState
from metering.core.exact import EXACT
from metering.tables.customers import Customers
from metering.tables.markers import Markers
from stripe_report.desk import Desk
from stripe_report.plan import SETTLES_AFTER
from stripe_report.reader import Invoice
from stripe_report.reconciling import Reconciliation, reconcile_period
from stripe_report.report import Sent, report_customer

SOON = timedelta(minutes=5)
LATER = timedelta(hours=6)
LAST_LOOK_BEFORE_FINAL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ClosingStep:
    """What a look at a period found and did; ``again`` is when to look next, None when nothing is left."""

    again: datetime | None
    invoice_id: str | None = None
    sent: Sent = field(default_factory=Sent)
    reconciliation: Reconciliation = field(default_factory=Reconciliation)


def close_period(desk: Desk, customer_id: str, period_start: datetime, now: datetime) -> ClosingStep:
    """Look at a period that is over: finalise it if its invoice is final, else bring Stripe up to date.

    Raises
    ------
    stripe.StripeError
        When Stripe cannot be read; look again.
    """
    account = desk.tables.customers.account(customer_id)
    billing = _stored(account, period_start)
    if account is None or billing is None or billing.state is PeriodState.FINALISED:
        return ClosingStep(None)
    if account.customer.stripe_customer_id is None:
        return ClosingStep(None)
    if now < billing.end:
        return ClosingStep(billing.end)
    billing = _closing(customer_id, billing, desk.tables.customers)
    invoice = desk.gateway.reader.invoice_of(account.customer.stripe_customer_id, billing.start, billing.end)
    if invoice is not None and not invoice.draft:
        finalise(customer_id, billing, invoice, desk.tables.customers)
        return ClosingStep(None, invoice.invoice_id)
    if not account.customer.is_reported:
        return ClosingStep(_later(invoice, now))
    return _brought_up_to_date(desk, account, billing, invoice, now)


def _brought_up_to_date(
    desk: Desk, account: Account, billing: BillingPeriod, invoice: Invoice | None, now: datetime
) -> ClosingStep:
    customer_id = account.customer.customer_id
    if _is_unsettled(customer_id, billing, desk.tables.markers, now):
        return ClosingStep(now + SOON)
    sent = report_customer(desk, customer_id, now, include_open=False)
    if sent.pending:
        return ClosingStep(now + SOON, sent=sent)
    found = reconcile_period(desk, account, billing, now, fix=True)
    again = now + SOON if found.differing else _later(invoice, now)
    return ClosingStep(again, sent=sent, reconciliation=found)


def finalise(customer_id: str, billing: BillingPeriod, invoice: Invoice, customers: Customers) -> bool:
    """Write down what a final invoice billed; tell whether it was written now.

    All lines of a meter's price are one quantity. It is written once: whoever comes later finds the period
    finalised.
    """
    invoiced: dict[str, Decimal] = {}
    for line in invoice.lines:
        if line.period_start == billing.start:
            invoiced[line.meter] = EXACT.add(invoiced.get(line.meter, Decimal(0)), line.quantity)
    final = billing.model_copy(
        update={
            "state": PeriodState.FINALISED,
            "invoice_id": invoice.invoice_id,
            "invoice_url": invoice.url,
            "invoice_total": invoice.total,
            "invoiced": invoiced,
        }
    )
    return customers.replace_period(customer_id, billing, final)


def _stored(account: Account | None, period_start: datetime) -> BillingPeriod | None:
    periods = account.periods if account else ()
    return next((period for period in periods if period.start == period_start), None)


def _closing(customer_id: str, billing: BillingPeriod, customers: Customers) -> BillingPeriod:
    if billing.state is PeriodState.CLOSING:
        return billing
    closing = billing.model_copy(update={"state": PeriodState.CLOSING})
    customers.replace_period(customer_id, billing, closing)
    return closing


def _is_unsettled(customer_id: str, billing: BillingPeriod, markers: Markers, now: datetime) -> bool:
    """Tell whether reports of the period still wait to be counted, or its last hour may still get some."""
    if now < billing.span.end_hour + SETTLES_AFTER:
        return True
    return any(billing.span.has_hour(marker.hour) for marker in markers.dirty_of(customer_id))


def _later(invoice: Invoice | None, now: datetime) -> datetime:
    """Return when to look again at a period in order: seldom in the grace time, soon around its end."""
    if invoice is None or invoice.finalizes_at is None:
        return now + timedelta(hours=1)
    last_look = invoice.finalizes_at - LAST_LOOK_BEFORE_FINAL
    if now < last_look:
        return min(now + LATER, last_look)
    return max(now + SOON, min(now + LATER, invoice.finalizes_at + timedelta(minutes=1)))
