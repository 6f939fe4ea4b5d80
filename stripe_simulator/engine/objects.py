"""What the simulated account holds. Money is in cents, instants are Unix epoch seconds, spans half-open."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from stripe_simulator.engine.periods import Cycle

type Window = Literal["hour", "day"]


@dataclass
class Product:
    """Something that prices are of."""

    id: str
    name: str
    created: int
    updated: int
    active: bool = True
    description: str | None = None
    unit_label: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tier:
    """One step of a graduated price: up to and including ``up_to`` units, None for without end."""

    up_to: int | None
    unit_amount: Decimal | None
    flat_amount: Decimal | None


@dataclass(frozen=True)
class Recurring:
    """How often a price recurs, and which meter says how much was used (None when licensed)."""

    interval: str
    interval_count: int
    meter: str | None

    @property
    def metered(self) -> bool:
        """Whether usage sets the quantity."""
        return self.meter is not None


@dataclass
class Price:
    """A price: a fixed amount a unit, or graduated tiers."""

    id: str
    product: str
    currency: str
    created: int
    recurring: Recurring | None
    unit_amount: Decimal | None
    tiers: tuple[Tier, ...]
    active: bool = True
    nickname: str | None = None
    lookup_key: str | None = None
    tax_behavior: str = "unspecified"
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Customer:
    """Whom invoices go to."""

    id: str
    created: int
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Meter:
    """How meter events of one name add up."""

    id: str
    display_name: str
    event_name: str
    formula: str
    window: Window | None
    customer_key: str
    value_key: str
    created: int
    updated: int
    deactivated_at: int | None = None

    @property
    def active(self) -> bool:
        """Whether events for it are taken."""
        return self.deactivated_at is None


@dataclass(frozen=True)
class MeterEvent:
    """An event as it was accepted; whether it counts shows when it is processed."""

    identifier: str
    event_name: str
    payload: dict[str, str]
    timestamp: int
    created: int
    idempotency_key: str | None


@dataclass(frozen=True)
class Usage:
    """A processed event's value; ``received`` orders what was received (for Stripe: processed) when."""

    timestamp: int
    value: Decimal
    processed_at: int
    received: int
    identifier: str


@dataclass
class SubscriptionItem:
    """One price of a subscription; ``since`` is when it began to bill (the past, if backdated)."""

    id: str
    price: str
    quantity: int | None
    created: int
    since: int
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Subscription:
    """A customer's prices and their billing cycle."""

    id: str
    customer: str
    created: int
    start: int
    cycle: Cycle
    period_start: int
    period_end: int
    items: list[SubscriptionItem]
    currency: str
    billing_mode: str
    collection_method: str
    days_until_due: int | None
    anchor_config: dict[str, int | None] | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    cancel_at_period_end: bool = False
    canceled_at: int | None = None
    ended_at: int | None = None
    latest_invoice: str | None = None
    schedule: str | None = None

    @property
    def active(self) -> bool:
        """Whether it still bills."""
        return self.ended_at is None


@dataclass(frozen=True)
class PhaseItem:
    """One price of a schedule's phase; a metered one has no quantity."""

    price: str
    quantity: int | None = None


@dataclass(frozen=True)
class Phase:
    """What a subscription is made of for a span."""

    start: int
    end: int
    items: tuple[PhaseItem, ...]
    proration_behavior: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Schedule:
    """What a subscription will be made of, phase after phase."""

    id: str
    customer: str
    subscription: str
    created: int
    phases: tuple[Phase, ...]
    end_behavior: str = "release"
    status: str = "active"
    metadata: dict[str, str] = field(default_factory=dict)
    ended_at: int | None = None

    @property
    def active(self) -> bool:
        """Whether it still governs its subscription."""
        return self.status == "active"


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
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MeteredPart:
    """A metered price whose usage over a span an invoice bills; worked out anew until finalisation."""

    subscription_item: str
    price: str
    start: int
    end: int


@dataclass(frozen=True)
class LicensedPart:
    """A fixed price that an invoice bills for a span."""

    subscription_item: str
    price: str
    quantity: int
    start: int
    end: int
    share: Decimal = Decimal(1)


@dataclass
class Invoice:
    """An invoice: parts while it is a draft, lines that never change once finalised."""

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
    lines: tuple[InvoiceLine, ...] | None = None
    finalized_at: int | None = None
    number: str | None = None
    description: str | None = None
    days_until_due: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def draft(self) -> bool:
        """Whether its lines may still change."""
        return self.finalized_at is None


@dataclass
class InvoiceItem:
    """An amount to bill besides subscriptions; negative is a credit."""

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
    metadata: dict[str, str] = field(default_factory=dict)


type StripeObject = Product | Price | Customer | Meter | Subscription | Schedule | Invoice | InvoiceItem
