"""What the simulated account sells, to whom, by which meter. Instants are Unix epoch seconds.

Amounts are in the smallest unit of their currency (cents of a dollar, whole yen).
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from stripe_simulator.engine.billed import CreditNote, Invoice, InvoiceItem
from stripe_simulator.engine.subscribed import Schedule, Subscription

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
    payment_method: str | None = None
    balance: int = 0
    deleted: bool = False


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
    request_id: str = ""


@dataclass(frozen=True)
class Usage:
    """A processed event's value; ``received`` orders what was received (for Stripe: processed) when."""

    timestamp: int
    value: Decimal
    processed_at: int
    received: int
    identifier: str


type StripeObject = (
    Product | Price | Customer | Meter | Subscription | Schedule | Invoice | InvoiceItem | CreditNote
)
