"""Invoices and what is on them. Amounts are in the currency's smallest unit, instants Unix epoch seconds."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from stripe_simulator.engine.periods import DAY


@dataclass(frozen=True)
class InvoiceLine:
    """What one line of an invoice bills, rounded to the cent once."""

    id: str
    amount: int
    description: str
    quantity: Decimal
    period_start: int
    period_end: int
    unit_amount: Decimal | None = None
    price: str | None = None
    product: str | None = None
    subscription_item: str | None = None
    invoice_item: str | None = None
    metered: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MeteredPart:
    """A metered price whose usage over a span an invoice bills; worked out anew until finalisation.

    Parameters
    ----------
    after
        Invoices of a billing threshold that billed a part of the span already.
    shown_from
        Where the line's period starts, when that is later than the span's start.
    prices_changed_at
        When a schedule gave the subscription other prices, at the end of the span.
    later_price
        The price that the meter has had since then, None when it has none.
    """

    subscription_item: str
    price: str
    start: int
    end: int
    after: tuple[str, ...] = ()
    shown_from: int | None = None
    prices_changed_at: int | None = None
    later_price: str | None = None


@dataclass(frozen=True)
class LicensedPart:
    """A fixed price that an invoice bills for a span."""

    subscription_item: str
    price: str
    quantity: int
    start: int
    end: int
    share: Decimal = Decimal(1)


type InvoiceStatus = Literal["draft", "open", "paid", "uncollectible", "void"]


@dataclass
class Invoice:
    """An invoice: parts while it is a draft, lines that never change once finalised.

    Parameters
    ----------
    counted
        The usage that a draft's metered parts show, counted when it was made; None counts at each read.
    on_finalisation
        What paused collection makes of it when it is final.
    threshold
        The amount of unbilled usage that made it.
    credited_before, credited_after
        What credit notes took off before and after it was paid.
    """

    id: str
    customer: str
    subscription: str | None
    created: int
    currency: str
    billing_reason: str
    period_start: int
    period_end: int
    collection_method: str
    auto_advance: bool
    finalizes_at: int | None
    licensed: tuple[LicensedPart, ...] = ()
    metered: tuple[MeteredPart, ...] = ()
    counted: tuple[tuple[Decimal, Decimal], ...] | None = None
    lines: tuple[InvoiceLine, ...] | None = None
    finalized_at: int | None = None
    paid_at: int | None = None
    voided_at: int | None = None
    uncollectible_at: int | None = None
    uncollectible_because: str | None = None
    amount_paid: int = 0
    attempts: int = 0
    credited_before: int = 0
    credited_after: int = 0
    on_finalisation: Literal["collect", "void", "mark_uncollectible"] = "collect"
    threshold: int | None = None
    number: str | None = None
    description: str | None = None
    days_until_due: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def draft(self) -> bool:
        """Whether its lines may still change."""
        return self.finalized_at is None

    @property
    def status(self) -> InvoiceStatus:
        """Stripe's word for where it is in its life."""
        if self.draft:
            return "draft"
        if self.voided_at is not None:
            return "void"
        if self.paid_at is not None:
            return "paid"
        return "open" if self.uncollectible_at is None else "uncollectible"

    @property
    def total(self) -> int:
        """The sum of a final invoice's lines."""
        return sum(line.amount for line in self.lines or ())

    @property
    def remaining(self) -> int:
        """What is still to pay of a final invoice."""
        return max(self.total, 0) - self.credited_before - self.amount_paid

    @property
    def due_at(self) -> int | None:
        """When a final invoice that was sent must be paid (epoch seconds), None when it is charged."""
        if self.days_until_due is None or self.finalized_at is None:
            return None
        return self.finalized_at + self.days_until_due * DAY


@dataclass
class InvoiceItem:
    """An amount to bill besides subscriptions; negative is a credit.

    ``price``, ``product`` and ``subscription_item`` are there when it bills the usage of a removed price.
    """

    id: str
    customer: str
    created: int
    currency: str
    amount: int
    quantity: Decimal
    unit_amount: Decimal | None
    period_start: int
    period_end: int
    description: str | None
    invoice: str | None
    subscription: str | None
    price: str | None = None
    product: str | None = None
    subscription_item: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class CreditNote:
    """Money taken off a final invoice; its lines and their quantities stay as they are."""

    id: str
    invoice: str
    customer: str
    created: int
    currency: str
    amount: int
    number: str
    paid_before: bool
    out_of_band: int = 0
    memo: str | None = None
    reason: str | None = None
    description: str | None = None
    voided_at: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
