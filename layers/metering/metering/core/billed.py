"""What of a period is billed: what identified invoices of the customer's own subscription say. Pure.

Nothing is guessed: a period without an invoice that counts has billed nothing. Source:
docs/billing.md#what-billed-means.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from metering.core.accounts import BillingPeriod, PeriodState
from metering.core.contract import Id
from metering.core.exact import EXACT, Exact, SignedExact
from metering.core.instants import Instant


class InvoiceStatus(StrEnum):
    """Stripe's states of an invoice."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"

    @property
    def counts(self) -> bool:
        """Whether what the invoice says is billed: uncollectible is billed, though not paid; void is not."""
        return self in {InvoiceStatus.OPEN, InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE}

    @property
    def is_settled(self) -> bool:
        """Whether nothing more can become of it; all others are watched."""
        return self in {InvoiceStatus.PAID, InvoiceStatus.VOID}


class PeriodInvoice(BaseModel):
    """What one invoice said of a period at one look: an append-only record, the highest number counts.

    ``ends_period`` is True for the invoice that ends the period, False for one in its middle (a threshold's).
    ``quantities`` (in the meters' units) and ``amounts`` (in dollars) are those of its metered lines of this
    period; ``mispriced`` names meters whose amount is not the rating of their quantity. ``total`` is the
    whole invoice's, in dollars.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_id: Id
    period_start: Instant
    number: Annotated[int, Field(ge=1)] = 1
    invoice_id: str
    status: InvoiceStatus
    ends_period: bool
    url: str | None = None
    total: SignedExact
    quantities: dict[str, Exact] = {}
    amounts: dict[str, SignedExact] = {}
    mispriced: tuple[str, ...] = ()
    seen_at: Instant

    def says_the_same(self, other: "PeriodInvoice") -> bool:
        """Tell whether two looks found the same."""
        return self == other.model_copy(update={"number": self.number, "seen_at": self.seen_at})


@dataclass(frozen=True, slots=True)
class Billed:
    """What is billed of a period.

    ``counted`` tells whether there is an invoice that ends the period and counts; ``void`` whether the one
    that ends it is void. ``mispriced`` names meters whose invoiced amount is not the rating of their
    quantity.
    """

    quantities: Mapping[str, Decimal]
    counted: bool
    void: bool = False
    mispriced: frozenset[str] = frozenset()

    def quantity(self, meter: str) -> Decimal:
        """Return how much of a meter is billed, in its units."""
        return self.quantities.get(meter, Decimal(0))


NOTHING_BILLED = Billed({}, counted=False)


def newest(records: Iterable[PeriodInvoice]) -> list[PeriodInvoice]:
    """Return the last record of each invoice, in the order of numbers."""
    last: dict[str, PeriodInvoice] = {}
    for record in sorted(records, key=lambda record: record.number):
        last[record.invoice_id] = record
    return sorted(last.values(), key=lambda record: record.number)


def billed_of(billing: BillingPeriod, records: Iterable[PeriodInvoice]) -> Billed:
    """Return what a period's invoices have billed by their last records.

    A period that was final before records were kept has what was written into it then.
    """
    known = newest(records)
    if not known:
        if billing.state is PeriodState.FINALISED:
            return Billed(dict(billing.invoiced), counted=billing.invoice_id is not None)
        return NOTHING_BILLED
    quantities: dict[str, Decimal] = {}
    for record in known:
        if record.status.counts:
            for meter, quantity in record.quantities.items():
                quantities[meter] = EXACT.add(quantities.get(meter, Decimal(0)), quantity)
    ending = [record for record in known if record.ends_period]
    counted = any(record.status.counts for record in ending)
    return Billed(
        quantities,
        counted=counted,
        void=bool(ending) and not counted and all(r.status is InvoiceStatus.VOID for r in ending),
        mispriced=frozenset(meter for record in known if record.status.counts for meter in record.mispriced),
    )
