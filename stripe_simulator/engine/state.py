"""The account's whole state, and what a call is told besides it."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from stripe_simulator.engine.agenda import Agenda
from stripe_simulator.engine.billed import CreditNote, Invoice, InvoiceItem
from stripe_simulator.engine.objects import Customer, Meter, MeterEvent, Price, Product, StripeObject, Usage
from stripe_simulator.engine.periods import DAY, HOUR
from stripe_simulator.engine.subscribed import Schedule, Subscription
from stripe_simulator.protocol.parameters import Parameters

type Json = dict[str, Any]


type Finalisation = Literal["grace", "at_once", "never"]


@dataclass
class Settings:
    """What differs between accounts, or is not known of Stripe exactly.

    Source: docs/stripe-assumptions.md#what-is-not-known-and-can-be-switched

    Parameters
    ----------
    aggregation_delay_s
        How long a processed event stays out of summaries, previews and invoices.
    grace_s
        How long an invoice of a period stays a draft (Stripe: one hour unless set, up to 72 hours).
    error_window_s
        How long rejected events of one meter are gathered into one report.
    error_samples_name
        What a report's samples name: ``idempotency_key``, as the SDK documents the field, ``identifier``, or
        ``id_and_idempotency_key``, the request that brought the event.
    asynchronous
        Rejections, by Stripe's error code, that a caller learns from a report only, after a 200.
    draft_usage
        When a draft's metered lines follow the usage: ``at_finalisation`` or ``at_each_read``.
    backdated_usage
        Which invoice has the usage from before a backdated subscription was made, in flexible mode:
        ``first_invoice`` (a draft for the grace time where invoices are sent) or ``cycle_invoice``.
    anchor_reset_invoice, cancellation_invoice
        Whether the invoice of a new anchor, and of a cancellation with ``invoice_now``, has the grace time,
        is final at once, or is a draft that never advances.
    late_after_price_change
        Whether usage reported after a schedule changed the prices, for the period before, is billed at the
        ``old_price``, at the ``new_price``, or ``unbilled``.
    paused_invoice
        Whether paused collection voids an invoice (or marks it uncollectible) ``at_once`` or after its
        ``grace``.
    failing_finalisation
        Whether a draft cannot be finalised when its time has come: it stays one, and keeps that time.
    retries_s, after_retries
        How long a subscription is ``past_due`` before it is given up, and what it is then.
    calls_per_second
        How many calls of one second the account takes; 0 takes all.
    retry_advice
        What ``Stripe-Should-Retry`` says beside a 429; empty says nothing.
    """

    aggregation_delay_s: int = 0
    grace_s: int = HOUR
    error_window_s: int = 0
    error_samples_name: Literal["idempotency_key", "identifier", "id_and_idempotency_key"] = "idempotency_key"
    asynchronous: tuple[str, ...] = (
        "no_meter",
        "archived_meter",
        "meter_event_customer_not_found",
        "meter_event_no_customer_defined",
        "meter_event_invalid_value",
    )
    draft_usage: Literal["at_finalisation", "at_each_read"] = "at_finalisation"
    backdated_usage: Literal["first_invoice", "cycle_invoice"] = "first_invoice"
    anchor_reset_invoice: Finalisation = "at_once"
    cancellation_invoice: Finalisation = "at_once"
    late_after_price_change: Literal["old_price", "new_price", "unbilled"] = "unbilled"
    paused_invoice: Literal["at_once", "grace"] = "at_once"
    failing_finalisation: bool = False
    retries_s: int = 14 * DAY
    after_retries: Literal["past_due", "unpaid", "canceled"] = "past_due"
    calls_per_second: int = 0
    retry_advice: Literal["", "true", "false"] = ""


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
    credit_notes: dict[str, CreditNote] = field(default_factory=dict)
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
