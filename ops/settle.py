"""Settling a period that no invoice bills: an operator's word, written down first, then billed or not.

Source: docs/billing.md#settling.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import stripe

from metering.core.accounts import Account, BillingPeriod, Customer, PeriodState
from metering.core.audit import AuditEntry
from metering.core.billed import InvoiceStatus, PeriodInvoice, billed_of, newest
from metering.core.catalog import Catalog
from metering.core.instants import format_instant
from metering.core.late_usage import LateUsage, unbilled_usage
from metering.core.periods import is_past_retention
from metering.core.settlements import UNBILLED_AFTER, SettleItem, SettleKind, can_be_settled
from metering.tables.tables import Tables
from metering.tables.usage import period_usage
from ops.errors import OperatorError
from ops.invoice_items import is_deleted, make_invoice_items
from ops.invoices import VoidLine, lines_to_be_settled, refuse_unknown_invoices, voided_invoices
from ops.late_usage import sent_by_hour


@dataclass(frozen=True)
class Decision:
    """What an operator decided, why, who it is (an AWS identity) and when."""

    kind: SettleKind
    reason: str
    who: str
    at: datetime


@dataclass(frozen=True)
class Settled:
    """A period's settlement: all of its lines, which of them are new, and the invoice items made now."""

    items: list[SettleItem]
    new: list[SettleItem]
    made: list[tuple[SettleItem, str]]


def settle(
    client: stripe.StripeClient,
    account: Account,
    billing: BillingPeriod,
    decision: Decision,
    tables: Tables,
    catalog: Catalog,
) -> Settled:
    """Settle what is unbilled of a period, and every other line of a void invoice; again is safe.

    The audit entry comes first, then the intents, then Stripe's invoice items.

    Raises
    ------
    OperatorError
        When an invoice bills the period, may still appear, or there is nothing to settle.
    """
    customer = account.customer
    records = tables.invoices.of_period(customer.customer_id, billing.start)
    _refuse_what_is_billed(customer, billing, records, decision.at)
    refuse_unknown_invoices(client, customer, billing, {record.invoice_id for record in records})
    if decision.kind is SettleKind.BILL:
        _refuse_without_stripe_customer(client, customer)
    voids = list(voided_invoices(client, _void(records)))
    while True:
        known = tables.settlements.of_period(customer.customer_id, billing.start)
        void = lines_to_be_settled(voids, {item.invoice_line for item in known})
        usage = _unbilled(customer, billing, records, known, tables, catalog)
        new = list(_items(customer, billing, decision, known, usage, void))
        if new:
            tables.audit.write(_entry(customer.customer_id, decision, known, new))
        # Usage comes last: after a crash in between it is still unbilled, and so the period still listed.
        if all(tables.settlements.put(item) for item in reversed(new)):
            break
    items = [*known, *new]
    made: list[tuple[SettleItem, str]] = []
    if decision.kind is SettleKind.BILL:
        made = list(make_invoice_items(client, customer, items, tables.settlements, catalog))
    return Settled(items, new, made)


def _refuse_what_is_billed(
    customer: Customer, billing: BillingPeriod, records: list[PeriodInvoice], now: datetime
) -> None:
    period = f"the period {format_instant(billing.start)} of {customer.customer_id}"
    billed = billed_of(billing, records)
    if billed.counted and billing.state is not PeriodState.FINALISED:
        raise OperatorError(f"{period} waits for a draft beside its invoice; finalise or delete it in Stripe")
    if billed.counted:
        raise OperatorError(f"{period} is billed by {billing.invoice_id}; see `ops late-usage`")
    if not billing.sold:
        raise OperatorError(f"{period} is not sold: there is nothing to settle")
    if not can_be_settled(billing, billed, known_invoices=bool(records)):
        raise OperatorError(f"{period} was final before its invoices were kept; it is left as it is")
    if now < (until := billing.end + UNBILLED_AFTER):
        raise OperatorError(
            f"{period} ended {format_instant(billing.end)}; its invoice may still appear until "
            f"{format_instant(until)}"
        )
    if is_past_retention(billing.span, now):
        raise OperatorError(f"{period} has hours that have expired: what it used is not known any more")


def _refuse_without_stripe_customer(client: stripe.StripeClient, customer: Customer) -> None:
    whose = customer.stripe_customer_id
    if whose is None:
        raise OperatorError(f"{customer.customer_id} is not in Stripe; attach it, or use --write-off")
    if is_deleted(client, whose):
        raise OperatorError(
            f"the Stripe customer {whose} of {customer.customer_id} was deleted; attach another, or use "
            "--write-off"
        )


def _void(records: Iterable[PeriodInvoice]) -> list[str]:
    return [r.invoice_id for r in newest(records) if r.ends_period and r.status is InvoiceStatus.VOID]


def _unbilled(
    customer: Customer,
    billing: BillingPeriod,
    records: list[PeriodInvoice],
    known: list[SettleItem],
    tables: Tables,
    catalog: Catalog,
) -> list[LateUsage]:
    customer_id = customer.customer_id
    usage = period_usage(tables, customer_id, billing, catalog)
    covered = [*tables.late.of_period(customer_id, billing.start), *known]
    found = unbilled_usage(
        usage, billed_of(billing, records), covered, sent_by_hour(customer_id, usage, tables)
    )
    return [one for one in found if one.quantity > 0]


def _items(
    customer: Customer,
    billing: BillingPeriod,
    decision: Decision,
    known: list[SettleItem],
    usage: list[LateUsage],
    void: list[VoidLine],
) -> Iterator[SettleItem]:
    named = {item.invoice_line for item in known}
    lines: list[dict[str, Any]] = [
        {"meter": one.meter, "quantity": one.quantity, "amount": one.amount, "days": one.days}
        for one in usage
    ]
    lines += [
        {
            "meter": line.meter,
            "quantity": Decimal(1),
            "amount": line.amount,
            "invoice_line": line.line_id,
            "text": line.text,
        }
        for line in void
        if line.line_id not in named
    ]
    for number, line in enumerate(lines, max((item.number for item in known), default=0) + 1):
        yield SettleItem(
            customer_id=customer.customer_id,
            period_start=billing.start,
            number=number,
            stripe_customer_id=customer.stripe_customer_id,
            kind=decision.kind,
            reason=decision.reason,
            who=decision.who,
            at=decision.at,
            **line,
        )


def _entry(
    customer_id: str, decision: Decision, known: list[SettleItem], new: list[SettleItem]
) -> AuditEntry:
    return AuditEntry(
        customer_id=customer_id,
        at=decision.at,
        who=decision.who,
        action="settle",
        before=[item.model_dump(mode="json", exclude_defaults=True) for item in known],
        after=[item.model_dump(mode="json", exclude_defaults=True) for item in [*known, *new]],
        why=decision.reason,
    )
