"""Which invoices bill a period of ours, and what each says of it. Pure.

Ours are the invoices of the period's own subscription; another subscription of the same Stripe customer has
invoices with the same dates. Source: docs/billing.md#what-billed-means.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from metering.core.accounts import BillingPeriod
from metering.core.billed import InvoiceStatus, PeriodInvoice, newest
from metering.core.catalog import Catalog
from metering.core.exact import EXACT
from metering.core.rating import CENT, tiered_amount

_AT_A_PERIODS_END = frozenset({"subscription_cycle", "subscription_update"})
_AT_THE_END = timedelta(minutes=1)
"""How much earlier than the end an invoice may be made that ends it: a cancellation is several steps."""


@dataclass(frozen=True, slots=True)
class MeteredLine:
    """One line of an invoice with a price on a meter; a graduated price has a line for each tier.

    ``quantity`` is in the meter's units, ``amount`` in dollars; ``start`` and ``end`` are the line's own
    span.
    """

    meter: str
    quantity: Decimal
    amount: Decimal
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as Stripe has it now; its lines can change as long as it is a draft.

    ``our_customer_id`` is what its subscription's metadata say; ``created`` is when it was made, and
    ``finalizes_at`` is None for a draft that nobody will finalise.
    """

    invoice_id: str
    status: InvoiceStatus
    subscription_id: str | None
    our_customer_id: str | None
    reason: str
    period_start: datetime
    created: datetime
    finalizes_at: datetime | None
    url: str | None
    total: Decimal
    lines: tuple[MeteredLine, ...]

    @property
    def draft(self) -> bool:
        """Whether its lines can still change."""
        return self.status is InvoiceStatus.DRAFT


@dataclass(frozen=True, slots=True)
class PeriodInvoices:
    """The invoices that bill one period: all of them, and those among them that end it."""

    billing: BillingPeriod
    all: tuple[Invoice, ...] = ()

    @property
    def ending(self) -> tuple[Invoice, ...]:
        """The invoices that were made when the period ended."""
        return tuple(invoice for invoice in self.all if ends(invoice, self.billing))

    @property
    def drafts(self) -> tuple[Invoice, ...]:
        """Those whose lines can still change."""
        return tuple(invoice for invoice in self.all if invoice.draft)

    @property
    def final(self) -> "PeriodInvoices":
        """Those whose lines can no longer change."""
        return PeriodInvoices(self.billing, tuple(invoice for invoice in self.all if not invoice.draft))

    @property
    def is_final(self) -> bool:
        """Whether the invoice that ends the period is final, and none that bills it is a draft."""
        return bool(self.ending) and not self.drafts

    def records(self, customer_id: str, catalog: Catalog, now: datetime) -> list[PeriodInvoice]:
        """Return what each says of the period, for the first time, under no number yet."""
        mispriced = self._mispriced(catalog)
        return [
            PeriodInvoice(
                customer_id=customer_id,
                period_start=self.billing.start,
                invoice_id=invoice.invoice_id,
                status=invoice.status,
                ends_period=ends(invoice, self.billing),
                url=invoice.url,
                total=invoice.total,
                quantities=_sums((line.meter, line.quantity) for line in within(invoice, self.billing)),
                amounts=_sums((line.meter, line.amount) for line in within(invoice, self.billing)),
                mispriced=mispriced,
                seen_at=now.replace(microsecond=0),
            )
            for invoice in self.all
        ]

    def _mispriced(self, catalog: Catalog) -> tuple[str, ...]:
        """Name the meters whose invoiced amount is not the rating of their invoiced quantity."""
        counted = [within(invoice, self.billing) for invoice in self.all if invoice.status.counts]
        lines = [line for of_one in counted for line in of_one]
        quantities = _sums((line.meter, line.quantity) for line in lines)
        amounts = _sums((line.meter, line.amount) for line in lines)
        parts = Counter(
            meter for of_one in counted for meter in {line.meter for line in of_one if line.amount}
        )
        prices = self.billing.terms(catalog).meters
        return tuple(
            sorted(
                meter
                for meter, amount in amounts.items()
                if meter not in prices
                or abs(amount - tiered_amount(quantities[meter], prices[meter].tiers))
                > _rounded(parts[meter])
            )
        )


def of_period(
    invoices: Iterable[Invoice], billing: BillingPeriod, customer_id: str, subscription_id: str | None
) -> PeriodInvoices:
    """Choose the invoices that bill a period.

    Parameters
    ----------
    invoices
        Invoices of the Stripe customer or of the subscription.
    billing, customer_id
        Whose period.
    subscription_id
        The period's subscription; where it is not known the subscription's metadata tell whose invoice it is.
    """
    ours = (
        invoice
        for invoice in invoices
        if (
            invoice.subscription_id == subscription_id
            if subscription_id is not None
            else invoice.our_customer_id == customer_id
        )
    )
    return PeriodInvoices(
        billing, tuple(invoice for invoice in ours if within(invoice, billing) or ends(invoice, billing))
    )


def within(invoice: Invoice, billing: BillingPeriod) -> list[MeteredLine]:
    """Return an invoice's metered lines whose span begins within a period.

    One that reaches beyond the period's end is the period's too, since it is no other's: what it bills of the
    time after is then too much here and unbilled there, and nowhere charged again without a word.
    """
    return [line for line in invoice.lines if billing.start <= line.start < billing.end]


def ends(invoice: Invoice, billing: BillingPeriod) -> bool:
    """Tell whether an invoice was made when a period ended: its lines reach the end, or so it says.

    One that was made before the end ends nothing, whatever its lines and its reason are: a change within the
    period may be invoiced at once, and the period's own invoice is still to come.
    """
    if invoice.created < billing.end - _AT_THE_END:
        return False
    reaches = any(line.end >= billing.end for line in within(invoice, billing))
    return reaches or (invoice.reason in _AT_A_PERIODS_END and invoice.period_start == billing.start)


def changed(known: Iterable[PeriodInvoice], found: Iterable[PeriodInvoice]) -> list[PeriodInvoice]:
    """Return the records that say something new, under the numbers that follow those that are known."""
    known = list(known)
    last = {record.invoice_id: record for record in newest(known)}
    number = max((record.number for record in known), default=0)
    new = []
    for record in found:
        before = last.get(record.invoice_id)
        if before is None or not before.says_the_same(record):
            number += 1
            new.append(record.model_copy(update={"number": number}))
    return new


def _rounded(parts: int) -> Decimal:
    """Return by how much parts that are rounded each may differ from their sum, rounded; in dollars."""
    return (parts + 1) // 2 * CENT if parts > 1 else Decimal(0)


def _sums(rows: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for meter, value in rows:
        sums[meter] = EXACT.add(sums.get(meter, Decimal(0)), value)
    return sums
