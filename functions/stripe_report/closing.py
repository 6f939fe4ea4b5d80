"""Closing a period: what is unsent goes out, hours are reconciled, the final invoice is written down.

Source: docs/stripe-protocol.md#closing-a-period. A look at a period does what can be done now and says when
to look next; the calendar of closings (`metering.tables.closings`) remembers it, since an SQS FIFO queue
cannot delay a single message. Every look starts from what the tables and Stripe say, so that it does not
matter how late, how often or in which order looks are asked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import stripe

from metering.core.accounts import Account, BillingPeriod, PeriodState
from metering.core.billed import InvoiceStatus, PeriodInvoice, billed_of, newest
from metering.core.late_usage import unbilled_usage
from metering.core.settlements import UNBILLED_AFTER
from metering.tables.markers import Markers
from stripe_report.desk import Desk
from stripe_report.gateway import is_refused_for_good
from stripe_report.invoices import Invoice, PeriodInvoices, changed, of_period
from stripe_report.plan import SETTLES_AFTER
from stripe_report.reconciling import Reconciliation, reconcile_period
from stripe_report.report import Sent, report_customer

SOON = timedelta(minutes=5)
LATER = timedelta(hours=6)
LAST_LOOK_BEFORE_FINAL = timedelta(hours=1)
OVERDUE_AFTER = timedelta(hours=2)
"""How long after its time a draft may still become final; beyond it Stripe could not finalise it."""
DAILY = timedelta(days=1)
OFTEN = timedelta(days=60)
"""How long after its end a period's invoices are looked at daily."""


@dataclass(frozen=True, slots=True)
class ClosingStep:
    """What a look at a period found and did; ``again`` is when to look next, None when nothing is left.

    ``finalised`` tells that the period became final by this look; ``news`` are invoices that say something
    new of it. ``unbilled`` tells that usage of the period is on no invoice though its time has come,
    ``stuck`` that a draft bills it which nobody will finalise, ``refused`` why Stripe does not let the
    period's hours be read. ``unexpected`` are invoices of a period that an operator has settled because it
    had none.
    """

    again: datetime | None
    finalised: bool = False
    news: tuple[PeriodInvoice, ...] = ()
    unbilled: bool = False
    stuck: bool = False
    refused: stripe.StripeError | None = None
    unexpected: tuple[str, ...] = ()
    sent: Sent = field(default_factory=Sent)
    reconciliation: Reconciliation = field(default_factory=Reconciliation)


def close_period(desk: Desk, customer_id: str, period_start: datetime, now: datetime) -> ClosingStep:
    """Look at a period that is over: write down what its invoices say, else bring Stripe up to date.

    A final period is watched until each of its invoices is paid or void.

    Raises
    ------
    stripe.StripeError
        When Stripe cannot be read; look again.
    """
    account = desk.tables.customers.account(customer_id)
    billing = _stored(account, period_start)
    if account is None or billing is None or not _has_invoices(account, billing):
        return ClosingStep(None)
    if now < billing.end:
        return ClosingStep(billing.end)
    if billing.state is PeriodState.FINALISED:
        return _watched(desk, account, billing, now)
    billing = _closing(desk, customer_id, billing)
    found = invoices_of(desk, account, billing)
    if found.is_final:
        return _finalised(desk, customer_id, found, now)
    if not account.customer.is_reported:
        return _waiting(desk, customer_id, found, now)
    return _brought_up_to_date(desk, account, found, now)


def _has_invoices(account: Account, billing: BillingPeriod) -> bool:
    whose = billing.stripe_customer_id or account.customer.stripe_customer_id
    return billing.sold and whose is not None


def invoices_of(desk: Desk, account: Account, billing: BillingPeriod) -> PeriodInvoices:
    """Read the invoices that bill a period, of its own subscription.

    Raises
    ------
    stripe.StripeError
        When Stripe cannot be read.
    """
    customer = account.customer
    subscription_id = billing.subscription_id or customer.stripe_subscription_id
    stripe_customer_id = billing.stripe_customer_id or customer.stripe_customer_id
    assert stripe_customer_id is not None
    found = desk.gateway.reader.invoices(
        billing.start, subscription_id=subscription_id, stripe_customer_id=stripe_customer_id
    )
    return of_period(found, billing, customer.customer_id, subscription_id)


def _brought_up_to_date(desk: Desk, account: Account, found: PeriodInvoices, now: datetime) -> ClosingStep:
    customer_id, billing = account.customer.customer_id, found.billing
    if _is_unsettled(customer_id, billing, desk.tables.markers, now):
        return ClosingStep(now + SOON)
    sent = report_customer(desk, customer_id, now, include_open=False)
    # An event that Stripe keeps failing is compared like the others: only so does it take the next number.
    compared, refused = Reconciliation(), None
    try:
        compared = reconcile_period(desk, account, billing, now, fix=True)
    except stripe.StripeError as error:
        if not is_refused_for_good(error):
            raise
        refused = error
    step = replace(
        _waiting(desk, customer_id, found, now), refused=refused, sent=sent, reconciliation=compared
    )
    # Where no draft is left that would take it, what Stripe refuses for good is looked at like the rest.
    hurries = now < billing.end + UNBILLED_AFTER or bool(found.drafts)
    soon = hurries and (sent.pending or compared.differing)
    return replace(step, again=now + SOON) if soon else step


def _waiting(desk: Desk, customer_id: str, found: PeriodInvoices, now: datetime) -> ClosingStep:
    """Tell what becomes of a period whose invoice is not final; a suspended customer's waits as well."""
    billing = found.billing
    late = now >= billing.end + UNBILLED_AFTER
    if late and found.final.all:
        # A draft is left, or no invoice ends the period any more: what the others billed is not unbilled.
        _noted(desk, customer_id, found.final, now)
    return ClosingStep(
        again=_later(found, now),
        unbilled=late and not found.drafts and _is_unbilled(desk, customer_id, billing),
        stuck=any(_finalizes_at(draft, now) is None for draft in found.drafts),
        unexpected=_unexpected(desk, customer_id, billing, found.drafts),
    )


def _is_unbilled(desk: Desk, customer_id: str, billing: BillingPeriod) -> bool:
    """Tell whether usage is neither billed nor covered."""
    tables = desk.tables
    billed = billed_of(billing, tables.invoices.of_period(customer_id, billing.start))
    covered = [
        *tables.late.of_period(customer_id, billing.start),
        *tables.settlements.of_period(customer_id, billing.start),
    ]
    found = unbilled_usage(desk.usage(customer_id, billing), billed, covered)
    return any(usage.quantity > 0 for usage in found)


def _unexpected(
    desk: Desk, customer_id: str, billing: BillingPeriod, found: Iterable[Invoice | PeriodInvoice]
) -> tuple[str, ...]:
    """Return those of a period's invoices that came after it was settled for want of one."""
    appeared = tuple(invoice.invoice_id for invoice in found if invoice.status is not InvoiceStatus.VOID)
    if not appeared or not desk.tables.settlements.of_period(customer_id, billing.start):
        return ()
    return appeared


def _finalised(desk: Desk, customer_id: str, found: PeriodInvoices, now: datetime) -> ClosingStep:
    """Write down what a period's invoices billed; whoever comes later finds the period finalised.

    The records come first: a period is never final without them.
    """
    billing = found.billing
    records = _noted(desk, customer_id, found, now)
    last = newest(records)
    ending = next((r for r in reversed(last) if r.ends_period and r.status.counts), None) or last[-1]
    final = billing.model_copy(
        update={
            "state": PeriodState.FINALISED,
            "invoice_id": ending.invoice_id,
            "invoice_url": ending.url,
            "invoice_total": ending.total,
            "invoiced": dict(billed_of(billing, records).quantities),
        }
    )
    written = desk.tables.customers.replace_period(customer_id, billing, final)
    return ClosingStep(
        _watch_again(records, billing, now),
        finalised=written,
        news=tuple(last),
        unexpected=_unexpected(desk, customer_id, billing, last),
    )


def _watched(desk: Desk, account: Account, billing: BillingPeriod, now: datetime) -> ClosingStep:
    """See what became of a final period's invoices; of one whose invoice is void, whether another came."""
    customer_id = account.customer.customer_id
    known = desk.tables.invoices.of_period(customer_id, billing.start)
    if not known or (_is_settled(known) and billed_of(billing, known).counted):
        return ClosingStep(None)
    records = _noted(desk, customer_id, invoices_of(desk, account, billing), now)
    news = tuple(record for record in records if record not in known)
    late = now >= billing.end + UNBILLED_AFTER
    return ClosingStep(
        _watch_again(records, billing, now),
        news=news,
        unbilled=late and billed_of(billing, records).void and _is_unbilled(desk, customer_id, billing),
        unexpected=_unexpected(desk, customer_id, billing, news),
    )


def _noted(desk: Desk, customer_id: str, found: PeriodInvoices, now: datetime) -> list[PeriodInvoice]:
    """Append what the invoices say anew; return all records of the period."""
    table = desk.tables.invoices
    while True:
        known = table.of_period(customer_id, found.billing.start)
        new = changed(known, found.records(customer_id, desk.catalog, now))
        if all(table.add(record) for record in new):
            return [*known, *new]


def _watch_again(records: list[PeriodInvoice], billing: BillingPeriod, now: datetime) -> datetime | None:
    """Return when to look at invoices again: daily for two months, then weekly, until they are settled.

    Where the one that ended the period is void, another is looked for as long as there are daily looks.
    """
    often = now < billing.end + OFTEN
    if _is_settled(records) and (billed_of(billing, records).counted or not often):
        return None
    return now + (DAILY if often else 7 * DAILY)


def _is_settled(records: Iterable[PeriodInvoice]) -> bool:
    return all(record.status.is_settled for record in newest(records))


def _stored(account: Account | None, period_start: datetime) -> BillingPeriod | None:
    periods = account.periods if account else ()
    return next((period for period in periods if period.start == period_start), None)


def _closing(desk: Desk, customer_id: str, billing: BillingPeriod) -> BillingPeriod:
    if billing.state is PeriodState.CLOSING:
        return billing
    closing = billing.model_copy(update={"state": PeriodState.CLOSING})
    desk.tables.customers.replace_period(customer_id, billing, closing)
    return closing


def _is_unsettled(customer_id: str, billing: BillingPeriod, markers: Markers, now: datetime) -> bool:
    """Tell whether reports of the period still wait to be counted, or its last hour may still get some."""
    if now < billing.span.end_hour + SETTLES_AFTER:
        return True
    return any(billing.span.has_hour(marker.hour) for marker in markers.dirty_of(customer_id))


def _finalizes_at(draft: Invoice, now: datetime) -> datetime | None:
    """Return when a draft will be final; None where nobody will finalise it, or Stripe could not."""
    at = draft.finalizes_at
    return None if at is None or now >= at + OVERDUE_AFTER else at


def _later(found: PeriodInvoices, now: datetime) -> datetime:
    """Return when to look again at a period in order: seldom in the grace time, soon around its end.

    Where no invoice has come by the end of the longest grace, or a draft is left for good, once a day.
    """
    due = [at for draft in found.drafts if (at := _finalizes_at(draft, now)) is not None]
    if not due:
        return now + (timedelta(hours=1) if now < found.billing.end + UNBILLED_AFTER else DAILY)
    last_look = min(due) - LAST_LOOK_BEFORE_FINAL
    if now < last_look:
        return min(now + LATER, last_look)
    return max(now + SOON, min(now + LATER, min(due) + timedelta(minutes=1)))
