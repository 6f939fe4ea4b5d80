"""Paying: what becomes of a final invoice, and of a subscription whose invoices are not paid.

Stripe, "How subscriptions work" (statuses) and "Status transitions and finalization" (invoices). A payment
method is an id alone: Stripe's token of a card that is declined fails, every other pays.
"""

from stripe_simulator.engine.billed import Invoice
from stripe_simulator.engine.ending import end
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.periods import HOUR
from stripe_simulator.engine.state import Asked, State
from stripe_simulator.engine.subscribed import Status, Subscription

INCOMPLETE_S = 23 * HOUR
"""How long the first payment may take before the subscription expires."""
_DECLINED = "pm_card_chargeCustomerFail"


def payment_method(state: State, customer: str, subscription: Subscription | None) -> str | None:
    """The method that pays: the subscription's own, else the customer's."""
    own = subscription.payment_method if subscription else None
    return own or state.customers[customer].payment_method


def is_good(method: str | None) -> bool:
    """Whether a payment method is there and pays."""
    return method is not None and method != _DECLINED


def begin_collection(state: State, invoice: Invoice, at: int, *, attempts: bool = True) -> None:
    """Collect an invoice that has just become final: nothing to pay is paid, a card is charged, or it waits.

    Without an attempt the first invoice of a subscription leaves it incomplete all the same.
    """
    subscription = state.subscriptions.get(invoice.subscription or "")
    if invoice.remaining <= 0:
        settle(state, invoice, at)
    elif invoice.collection_method == "send_invoice":
        if subscription is not None and invoice.due_at is not None:
            state.agenda.at(invoice.due_at, lambda due: _overdue(state, subscription, invoice, due))
    elif not attempts:
        if subscription is not None and invoice.billing_reason == "subscription_create":
            _leave_incomplete(state, subscription, invoice, at)
    elif is_good(payment_method(state, invoice.customer, subscription)):
        settle(state, invoice, at, paid=invoice.remaining)
    else:
        _fail(state, invoice, subscription, at)


def _fail(state: State, invoice: Invoice, subscription: Subscription | None, at: int) -> None:
    invoice.attempts += 1
    record(state, "invoice.payment_failed", invoice, at)
    if subscription is None:
        return
    if invoice.billing_reason == "subscription_create":
        _leave_incomplete(state, subscription, invoice, at)
    else:
        _overdue(state, subscription, invoice, at)


def _leave_incomplete(state: State, subscription: Subscription, invoice: Invoice, at: int) -> None:
    """Give the first payment its 23 hours; after that the subscription is dead and its invoice void."""
    subscription.status = "incomplete"

    def expire(later: int) -> None:
        if subscription.living and subscription.status == "incomplete":
            expire_subscription(state, subscription, invoice, later)

    state.agenda.at(at + INCOMPLETE_S, expire)


def expire_subscription(
    state: State, subscription: Subscription, invoice: Invoice, at: int, asked: Asked | None = None
) -> None:
    """End a subscription whose first invoice was not paid."""
    if invoice.status in {"open", "uncollectible"}:
        invoice.voided_at = at
        record(state, "invoice.voided", invoice, at, asked)
    end(state, subscription, at, asked, "incomplete_expired")


def _overdue(state: State, subscription: Subscription, invoice: Invoice, at: int) -> None:
    """An invoice should have been paid by now: the subscription is past due, and given up some day."""
    if not subscription.living or not _is_overdue(invoice, at):
        return
    if subscription.status == "active":
        _change(state, subscription, "past_due", at)
    state.agenda.at(
        at + state.settings.retries_s, lambda later: _give_up(state, subscription, invoice, later)
    )


def _give_up(state: State, subscription: Subscription, invoice: Invoice, at: int) -> None:
    outcome = state.settings.after_retries
    if subscription.status != "past_due" or not _is_overdue(invoice, at) or outcome == "past_due":
        return
    if outcome == "canceled":
        end(state, subscription, at)
    else:
        _change(state, subscription, "unpaid", at)


def _is_overdue(invoice: Invoice, at: int) -> bool:
    if invoice.status != "open":
        return False
    return invoice.attempts > 0 or (invoice.due_at is not None and invoice.due_at <= at)


def settle(state: State, invoice: Invoice, at: int, asked: Asked | None = None, paid: int = 0) -> None:
    """Count an invoice as paid."""
    invoice.amount_paid += paid
    invoice.paid_at = at
    if paid:
        invoice.attempts += 1
        record(state, "invoice.payment_succeeded", invoice, at, asked)
    record(state, "invoice.paid", invoice, at, asked)
    _recover(state, invoice, at, asked)


def void(state: State, invoice: Invoice, at: int, asked: Asked | None = None) -> None:
    """Make a final invoice void: it bills nothing, and nothing that was on it comes back."""
    invoice.voided_at = at
    record(state, "invoice.voided", invoice, at, asked)
    subscription = state.subscriptions.get(invoice.subscription or "")
    if subscription is not None and subscription.status == "incomplete":
        end(state, subscription, at, asked, "incomplete_expired")
        return
    _recover(state, invoice, at, asked)


def mark_uncollectible(
    state: State, invoice: Invoice, at: int, because: str, asked: Asked | None = None
) -> None:
    """Give an invoice up as a bad debt; it may still be paid or made void."""
    invoice.uncollectible_at = at
    invoice.uncollectible_because = because
    record(state, "invoice.marked_uncollectible", invoice, at, asked)
    _recover(state, invoice, at, asked)


def _recover(state: State, invoice: Invoice, at: int, asked: Asked | None) -> None:
    """Bring a subscription back to life when the last of what it owed is settled."""
    subscription = state.subscriptions.get(invoice.subscription or "")
    if subscription is None or not subscription.living:
        return
    if subscription.status == "incomplete" and invoice.status == "paid":
        _change(state, subscription, "active", at, asked)
        return
    if subscription.status not in {"past_due", "unpaid"}:
        return
    others = [one for one in state.invoices.values() if one.subscription == subscription.id]
    if not any(_is_overdue(one, at) for one in others):
        _change(state, subscription, "active", at, asked)


def _change(
    state: State, subscription: Subscription, status: Status, at: int, asked: Asked | None = None
) -> None:
    subscription.status = status
    record(state, "customer.subscription.updated", subscription, at, asked)
