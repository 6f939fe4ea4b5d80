"""What a customer's one writer does with a message, and what it says about it in logs and metrics.

Stripe being away is no failure of a message: a message that failed would hold up its customer's queue for
half an hour. It is counted, and the next schedule tries again; what no schedule asks for again that day, and
what met a limit on calls, comes back by the calendar. A read that Stripe refuses for good is named, and the
rest of the work goes on. A ledger that another run wrote meanwhile is read again at once.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import batched
from typing import Any

import stripe

from metering.aws.observability import count, logger
from metering.core.accounts import Account, BillingPeriod, PeriodState
from metering.core.billed import InvoiceStatus
from metering.core.instants import format_instant
from metering.tables.closings import Closing, Retry
from metering.tables.ledger import VersionConflictError
from stripe_report.closing import LATER, ClosingStep, close_period
from stripe_report.desk import Desk
from stripe_report.dispatch import RETRIED
from stripe_report.gateway import is_limit, is_refused_for_good
from stripe_report.messages import (
    Close,
    CloseEnded,
    MarkRefused,
    Reconcile,
    Refresh,
    RefusedNumber,
    Returning,
    SendUnsent,
    Work,
)
from stripe_report.reconciling import Reconciliation, reconcile_period
from stripe_report.refusals import mark_refused
from stripe_report.report import Sent, report_customer
from stripe_report.retrying import comes_back_after
from stripe_report.subscription import is_behind, refresh
from stripe_report.surroundings import Surroundings, surroundings
from stripe_report.telling import refusals_named, tell_failed, tell_others, tell_refreshed

_LOGGED_ROWS = 100
"""Hours in one line of the log, which CloudWatch limits."""
_CONFLICTS = 3


class Writer:
    """The one writer of each customer: its methods are the kinds of work a message may ask for."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tables = desk.tables
        self._limited = False

    def work(self, work: Work, now: datetime) -> None:
        """Do what a message asks for.

        Raises
        ------
        metering.tables.ledger.VersionConflictError
            When others kept writing the same ledger; the queue gives the message again.
        """
        entry = _entry_of(work)
        if entry is not None and not self._tables.closings.has(entry):
            # An earlier message about the same entry was worked on and has put another in its place.
            return
        self._limited = False
        try:
            _again_on_conflict(lambda: self._work(work, now))
        except stripe.StripeError as error:
            tell_failed(work.customer_id, error)
            # The hourly run sends again what an outage held up.
            again = not is_refused_for_good(error) and (is_limit(error) or not isinstance(work, SendUnsent))
        else:
            again = self._limited
        if isinstance(work, SendUnsent | CloseEnded | Reconcile | Refresh):
            self._done(work, now, again=again)

    def _done(self, work: Returning, now: datetime, *, again: bool) -> None:
        """Enter work that Stripe did not let through for later; take its last entry off."""
        kind = RETRIED[type(work)]
        if again:
            at = now + comes_back_after(work.customer_id, work.tries)
            self._tables.closings.put(Retry(work.customer_id, work.tries + 1, at, kind))
        if work.at is not None:
            self._tables.closings.remove(Retry(work.customer_id, work.tries, work.at, kind))

    def _work(self, work: Work, now: datetime) -> None:
        match work:
            case SendUnsent(customer_id=customer_id, include_open=include_open):
                self._notice(self.report(customer_id, now, include_open=include_open))
            case Close(customer_id=customer_id, period_start=start, at=at):
                self.close(Closing(customer_id, start, at), now)
            case CloseEnded(customer_id=customer_id):
                self.refresh(customer_id, now)
                self.close_ended(customer_id, now)
            case Reconcile(customer_id=customer_id):
                self.reconcile_open(customer_id, now)
            case Refresh(customer_id=customer_id):
                self.refresh(customer_id, now)
            case MarkRefused(customer_id=customer_id, refused=refused):
                self.refused(customer_id, refused)

    def _notice(self, sent: Sent) -> None:
        """Remember that events met a limit, where some are pending."""
        self._limited |= bool(sent.pending) and self._desk.gateway.was_limited()

    def report(self, customer_id: str, now: datetime, *, include_open: bool) -> Sent:
        """Send what is unsent of a customer, after its period if a new one has begun."""
        if not any(True for _ in self._tables.markers.unsent_of(customer_id)):
            return Sent()
        account = self._tables.customers.account(customer_id)
        if account is not None and account.customer.is_reported and is_behind(account, now):
            self._refresh(account, now)
        sent = report_customer(self._desk, customer_id, now, include_open=include_open)
        _tell_sent(customer_id, sent)
        return sent

    def close(self, closing: Closing, now: datetime) -> None:
        """Look at a period as the calendar asks, and enter when to look again."""
        customer_id, again = closing.customer_id, now + LATER
        account = self._tables.customers.account(customer_id)
        if account is not None and _is_open(account, closing.period_start):
            self._refresh(account, now)
        with refusals_named(customer_id):
            look = self._look(customer_id, closing.period_start, now)
            if look.again is None:
                self._tables.closings.remove(closing)
                return
            again = look.again
        self._tables.closings.move(closing, again)

    def _look(self, customer_id: str, start: datetime, now: datetime) -> ClosingStep:
        look = close_period(self._desk, customer_id, start, now)
        _tell_sent(customer_id, look.sent)
        _tell_reconciled(customer_id, look.reconciliation, now)
        _tell_invoices(customer_id, start, look)
        if look.refused is not None:
            tell_failed(customer_id, look.refused)
        return look

    def close_ended(self, customer_id: str, now: datetime, *, final: bool = True) -> None:
        """Look at every period that is over: something became of an invoice. The calendar stays as it is.

        ``final`` looks at final periods as well, whose invoices may have changed.
        """
        account = self._tables.customers.account(customer_id)
        for period in account.periods if account else ():
            if period.end <= now and (final or period.state is not PeriodState.FINALISED):
                with refusals_named(customer_id):
                    self._look(customer_id, period.start, now)

    def reconcile_open(self, customer_id: str, now: datetime) -> None:
        """Refresh the subscription and reconcile the open periods: daily, and the poll for lost events."""
        account = self._tables.customers.account(customer_id)
        if account is None or account.customer.stripe_customer_id is None:
            return
        self._refresh(account, now)
        self.close_ended(customer_id, now, final=False)
        account = self._tables.customers.account(customer_id)
        if account is None:
            return
        found = Surroundings()
        with refusals_named(customer_id):
            found = surroundings(self._desk, account.customer)
        tell_others(customer_id, found)
        if found.deleted or not account.customer.is_reported:
            return
        for period in account.periods:
            if period.start <= now < period.end:
                self._tables.closings.put(Closing(customer_id, period.start, period.end))
                with refusals_named(customer_id):
                    compared = reconcile_period(self._desk, account, period, now, fix=True)
                    _tell_reconciled(customer_id, compared, now)
                    self._notice(compared.sent)

    def reconcile(
        self, customer_id: str, period_start: datetime | None, now: datetime, *, fix: bool
    ) -> dict[str, Any]:
        """Reconcile one period for the operator; the one that contains the present unless a start is given.

        Raises
        ------
        LookupError
            When the customer has no such period, or nothing at Stripe.
        """
        account = self._tables.customers.account(customer_id)
        if account is None or account.customer.stripe_customer_id is None:
            raise LookupError(f"no customer {customer_id} with a Stripe customer")
        for period in account.periods:
            if period.start == period_start or (period_start is None and period.start <= now < period.end):
                # What a final invoice lacks is late usage: sending it would put it on no invoice at all.
                may_send = fix and account.customer.is_reported and period.state is not PeriodState.FINALISED
                found = self._reconcile_period(account, period, now, fix=may_send)
                return {
                    "customer_id": customer_id,
                    "period_start": format_instant(period.start),
                    "state": period.state.value,
                    **found.answer(now),
                }
        wanted = "contains the present" if period_start is None else f"starts at {period_start}"
        raise LookupError(f"no period of {customer_id} {wanted}")

    def _reconcile_period(
        self, account: Account, period: BillingPeriod, now: datetime, *, fix: bool
    ) -> Reconciliation:
        return _again_on_conflict(lambda: reconcile_period(self._desk, account, period, now, fix=fix))

    def refresh(self, customer_id: str, now: datetime) -> None:
        """Bring a customer's periods to what its subscription says."""
        if account := self._tables.customers.account(customer_id):
            self._refresh(account, now)

    def refused(self, customer_id: str, refused: Iterable[RefusedNumber]) -> None:
        """Mark the numbers that a report of Stripe names as refused."""
        for refusal in mark_refused(customer_id, refused, self._tables.ledger):
            count("contributions_refused")
            logger.error(
                "Stripe refused an event after its answer",
                extra={
                    "customer_id": customer_id,
                    "meter": refusal.meter,
                    "hour": format_instant(refusal.hour),
                    "code": refusal.code,
                },
            )

    def _refresh(self, account: Account, now: datetime) -> None:
        with refusals_named(account.customer.customer_id):
            tell_refreshed(account, refresh(self._desk, account, now))


def _entry_of(work: Work) -> Closing | Retry | None:
    """Return the entry of the calendar that a message comes from."""
    match work:
        case Close(customer_id=customer_id, period_start=start, at=at):
            return Closing(customer_id, start, at)
        case SendUnsent() | CloseEnded() | Reconcile() | Refresh() if work.at is not None:
            return Retry(work.customer_id, work.tries, work.at, RETRIED[type(work)])
    return None


def _is_open(account: Account, start: datetime) -> bool:
    """Tell whether no invoice has fixed the period yet."""
    return any(
        period.start == start and period.state is not PeriodState.FINALISED for period in account.periods
    )


def _tell_invoices(customer_id: str, start: datetime, look: ClosingStep) -> None:
    where = {"customer_id": customer_id, "period": format_instant(start)}
    if look.finalised:
        count("periods_finalised")
        logger.info("period finalised", extra=where | {"invoice": look.news[-1].invoice_id})
    for record in look.news:
        said = where | {"invoice": record.invoice_id, "status": record.status.value}
        if record.status is InvoiceStatus.VOID and record.ends_period:
            count("invoices_void")
            logger.error("a void invoice bills nothing: the period needs `ops settle`", extra=said)
        if record.mispriced:
            count("invoices_mispriced")
            logger.error(
                "an invoice's amount is not the rating of its quantity",
                extra=said | {"meters": record.mispriced},
            )
    if look.unbilled:
        count("periods_unbilled")
        logger.error("no invoice bills this period: it needs `ops settle`", extra=where)
    if look.unexpected:
        count("invoice_after_settlement", len(look.unexpected))
        logger.error(
            "an invoice bills a period that was settled for want of one: one of them is to be taken back",
            extra=where | {"invoices": look.unexpected},
        )
    if look.stuck:
        count("drafts_stuck")
        logger.error("a draft bills this period that nobody will finalise", extra=where)


def _tell_sent(customer_id: str, sent: Sent) -> None:
    count("contributions_sent", sent.sent)
    if sent.sent:
        logger.info("customer reported", extra={"customer_id": customer_id, "sent": sent.sent})
    if sent.refused:
        count("contributions_refused", len(sent.refused))
        logger.error("Stripe refused", extra={"customer_id": customer_id, "codes": sorted({*sent.refused})})
    if sent.pending:
        count("contributions_pending", sent.pending)
        logger.warning("not answered by Stripe", extra={"customer_id": customer_id, "pending": sent.pending})


def _tell_reconciled(customer_id: str, found: Reconciliation, now: datetime) -> None:
    count("hours_reconciled", found.compared)
    _tell_sent(customer_id, found.sent)
    if found.differing:
        count("hours_differing", len(found.differing))
        for some in batched(found.differing, _LOGGED_ROWS, strict=False):
            rows = [values.row(now) for values in some]
            logger.warning("hours differ from Stripe", extra={"customer_id": customer_id, "rows": rows})
    if found.overdue:
        count("hours_overdue", len(found.overdue))
        for some in batched(found.overdue, _LOGGED_ROWS, strict=False):
            logger.error(
                "hours still differ from Stripe an hour after they were sent again",
                extra={"customer_id": customer_id, "rows": [values.row(now) for values in some]},
            )


def _again_on_conflict[T](run: Callable[[], T]) -> T:
    for _ in range(_CONFLICTS):
        try:
            return run()
        except VersionConflictError:
            count("ledger_conflicts")
    return run()
