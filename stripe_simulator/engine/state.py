"""The account's whole state, and what a call is told besides it."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stripe_simulator.engine.agenda import Agenda
from stripe_simulator.engine.objects import (
    Customer,
    Invoice,
    InvoiceItem,
    Meter,
    MeterEvent,
    Price,
    Product,
    Schedule,
    StripeObject,
    Subscription,
    Usage,
)
from stripe_simulator.engine.periods import HOUR
from stripe_simulator.protocol.parameters import Parameters

type Json = dict[str, Any]


@dataclass
class Settings:
    """What differs between accounts, or is not known of Stripe exactly.

    Parameters
    ----------
    aggregation_delay_s
        How long a processed event stays out of summaries, previews and invoices.
    grace_s
        How long an invoice of a period stays a draft (Stripe: one hour unless set, up to 72 hours).
    error_window_s
        How long rejected events of one meter are gathered into one report.
    error_samples_name
        What a report's samples name: ``idempotency_key``, as the SDK documents the field, or ``identifier``.
    asynchronous
        Rejections, by Stripe's error code, that a caller learns from a report only, after a 200.
    """

    aggregation_delay_s: int = 0
    grace_s: int = HOUR
    error_window_s: int = 0
    error_samples_name: str = "idempotency_key"
    asynchronous: tuple[str, ...] = (
        "no_meter",
        "archived_meter",
        "meter_event_customer_not_found",
        "meter_event_no_customer_defined",
        "meter_event_invalid_value",
    )


@dataclass(frozen=True)
class Rejection:
    """A processed event that does not count, and why; ``meter`` is None when there is none of its name."""

    meter: str | None
    code: str
    message: str
    event: MeterEvent
    at: int


@dataclass
class State:
    """Everything the simulated account holds. Only operations change it, and the agenda.

    Parameters
    ----------
    rendering
        How Stripe shows an object at an instant; the resources know, so that the engine need not.
    """

    rendering: Callable[["State", StripeObject, int], Json]
    settings: Settings = field(default_factory=Settings)
    agenda: Agenda = field(default_factory=Agenda)
    products: dict[str, Product] = field(default_factory=dict)
    prices: dict[str, Price] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    invoices: dict[str, Invoice] = field(default_factory=dict)
    previews: dict[str, Invoice] = field(default_factory=dict)
    invoice_items: dict[str, InvoiceItem] = field(default_factory=dict)
    accepted: list[MeterEvent] = field(default_factory=list)
    identifiers: dict[str, int] = field(default_factory=dict)
    usage: dict[tuple[str, str], list[Usage]] = field(default_factory=lambda: defaultdict(list))
    rejected: list[Rejection] = field(default_factory=list)
    unreported: dict[str | None, list[Rejection]] = field(default_factory=lambda: defaultdict(list))
    events: list[Json] = field(default_factory=list)
    thin_events: list[Json] = field(default_factory=list)
    public_url: str = ""
    _issued: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def shown(self, about: StripeObject, at: int) -> Json:
        """An object as Stripe shows it at an instant (epoch seconds)."""
        return self.rendering(self, about, at)

    def new_id(self, prefix: str) -> str:
        """A fresh id; a counter, so that the same calls give the same ids."""
        self._issued[prefix] += 1
        return f"{prefix}_Sim{self._issued[prefix]:012d}"


@dataclass(frozen=True)
class Asked:
    """One call, its parameters already read.

    Parameters
    ----------
    now
        The simulator's time, epoch seconds.
    id
        The id in the path, empty when the path has none.
    processed_after_s
        How much later than a call made now Stripe gets to process it (the fault ``processed_late``).
    """

    now: int
    parameters: Parameters
    id: str = ""
    request_id: str = ""
    idempotency_key: str | None = None
    processed_after_s: int = 0
