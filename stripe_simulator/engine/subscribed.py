"""Subscriptions and their schedules. Instants are Unix epoch seconds, spans half-open."""

from dataclasses import dataclass, field
from typing import Literal

from stripe_simulator.engine.periods import Cycle

type Status = Literal[
    "active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid"
]
type PausedBehavior = Literal["keep_as_draft", "mark_uncollectible", "void"]


@dataclass
class SubscriptionItem:
    """One price of a subscription.

    Parameters
    ----------
    since
        When it began to bill (the past, if backdated).
    own_period
        Its current period, where its price's interval is longer than the subscription's.
    usage_from
        From when on its usage is billed with the current period, where an invoice has what was before.
    threshold_invoices
        Invoices that billed a part of the current period because a billing threshold was reached.
    """

    id: str
    price: str
    quantity: int | None
    created: int
    since: int
    metadata: dict[str, str] = field(default_factory=dict)
    own_period: tuple[int, int] | None = None
    usage_from: int | None = None
    threshold_invoices: tuple[str, ...] = ()


@dataclass(frozen=True)
class PauseCollection:
    """What becomes of the invoices that are made while their collection is paused."""

    behavior: PausedBehavior
    resumes_at: int | None


@dataclass(frozen=True)
class Thresholds:
    """How much unbilled usage makes an invoice in the middle of a period."""

    amount_gte: int
    resets_anchor: bool


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
    status: Status = "active"
    payment_method: str | None = None
    cancel_at: int | None = None
    pause_collection: PauseCollection | None = None
    paused_at: int | None = None
    paused_because: str | None = None
    thresholds: Thresholds | None = None
    trial_start: int | None = None
    trial_end: int | None = None
    missing_payment_method: str = "create_invoice"

    @property
    def living(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None

    @property
    def flexible(self) -> bool:
        """Whether Stripe's flexible billing mode holds for it."""
        return self.billing_mode == "flexible"


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
