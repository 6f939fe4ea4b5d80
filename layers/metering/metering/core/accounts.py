"""Customers, their instances and their billing periods, as values.

Source: docs/storage.md#tables (what the Customers table holds) and docs/billing.md#periods.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from metering.core.catalog import Catalog, MeterName, Override, Terms
from metering.core.contract import Id
from metering.core.exact import Exact, SignedExact
from metering.core.instances import Instance
from metering.core.instants import SECOND, Instant
from metering.core.periods import Period
from metering.core.rollup import NEWEST_VERSION, Hour

FIRST_METERS = ("api_calls", "devices", "http_traffic", "mqtt_traffic", "storage")
"""What every plan sold before periods named the meters that they sell, in order."""
THRESHOLDS = (80, 90, 100)
"""Percentages of an allowance at which customers are told, unless they have their own."""


class Status(StrEnum):
    """Whether a customer's usage is reported to Stripe; reports are accepted either way."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class PeriodState(StrEnum):
    """How far a period's billing has come."""

    OPEN = "open"
    CLOSING = "closing"
    FINALISED = "finalised"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Customer(_Record):
    """A customer's profile.

    ``anchor`` is the billing cycle anchor of its Stripe subscription; without Stripe there is none, and
    periods are calendar months. ``plan`` is the version that the next period will have.
    """

    customer_id: Id
    name: str
    plan: str
    status: Status = Status.ACTIVE
    override: Override = Override()
    billing_email: str | None = None
    anchor: Instant | None = None
    stripe_customer_id: str | None = None
    stripe_subscription_id: str | None = None
    thresholds: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = THRESHOLDS
    budget: Exact | None = None

    @property
    def is_reported(self) -> bool:
        """Whether the customer's usage goes to Stripe: it has a Stripe customer and is not suspended."""
        return self.stripe_customer_id is not None and self.status is Status.ACTIVE

    @property
    def has_left(self) -> bool:
        """Whether the customer's subscription has ended: it had one, since it is a customer at Stripe."""
        return self.stripe_customer_id is not None and self.stripe_subscription_id is None


class BillingPeriod(_Record):
    """A period's snapshot: bounds, plan version and overrides, and once final what was invoiced.

    ``nominal_end`` is set where the period was cut short: averages are still over the whole interval.
    ``sold`` is False for time without a subscription by intention: shown, neither billed nor alarmed.
    ``subscription_id`` and ``stripe_customer_id`` are whose invoices bill it, ``items`` the prices of the
    subscription's metered items, by the item's id, when the period was first looked at; periods that were
    stored before these were kept have none.
    ``meters`` are those that it sells, by name and version, in order: what is added to its plan later it does
    not sell. None is a period that is not stored, which sells what its plan does.
    """

    start: Instant
    end: Instant
    first: bool = False
    nominal_end: Instant | None = None
    plan: str
    override: Override = Override()
    meters: tuple[MeterName, ...] | None = FIRST_METERS
    state: PeriodState = PeriodState.OPEN
    sold: bool = True
    subscription_id: str | None = None
    stripe_customer_id: str | None = None
    items: dict[str, str] = {}
    invoice_id: str | None = None
    invoice_url: str | None = None
    invoice_total: SignedExact | None = None
    """Negative when credits are greater than what is owed."""
    invoiced: dict[str, Exact] = {}

    @property
    def span(self) -> Period:
        """The period as the core's arithmetic knows it."""
        return Period(self.start, self.end, self.first, self.nominal_end)

    def terms(self, catalog: Catalog) -> Terms:
        """What the customer pays in this period."""
        return catalog.terms(self.plan, self.override, self.meters)

    def on_plan(self, plan: str, override: Override, catalog: Catalog) -> Self:
        """Return the period on another plan, selling what that plan sells.

        Raises
        ------
        metering.core.catalog.CatalogError
            When there is no such plan.
        """
        return self.model_copy(update={"plan": plan, "override": override, "meters": catalog.meters_of(plan)})

    def rollup_version(self, stored: Hour | None) -> int:
        """Return the rule by which an hour of the period is made anew, given the one that is stored.

        Once a period is being closed its hours keep the rule they were made by: its invoice is of them.
        """
        return NEWEST_VERSION if stored is None or self.state is PeriodState.OPEN else stored.version

    def cut(self, end: datetime) -> Self:
        """Return the period as it ends at an instant; averages stay over the whole interval.

        Of one whose subscription ended before it began its first second is left, since no period is of
        nothing; its hour is not sold, for no invoice will ever be of it.
        """
        last = max(end, self.start + SECOND)
        nominal = self.nominal_end or self.end
        sold = self.sold and end > self.start
        return self.model_copy(update={"end": last, "nominal_end": nominal, "sold": sold})

    def outlives(self, subscription_id: str, end: datetime) -> bool:
        """Tell whether the period goes on, or begins, after its subscription's end; final ones stay."""
        whose = self.subscription_id in {None, subscription_id}
        lasts = max(end, self.start + SECOND) < self.end
        return whose and lasts and self.state is not PeriodState.FINALISED

    def moved(self, end: datetime, now: datetime) -> Self:
        """Return the period as it ends at another instant: cut where that is earlier, else longer.

        One that was over and now lasts beyond the present is open again.
        """
        if end < self.end:
            return self.cut(end)
        nominal = self.nominal_end if self.nominal_end is not None and end < self.nominal_end else None
        state = PeriodState.OPEN if end > now else self.state
        return self.model_copy(update={"end": end, "nominal_end": nominal, "state": state})

    @classmethod
    def of(cls, customer: Customer, span: Period) -> Self:
        """Open a period on the customer's present plan; one that is stored is `opened`."""
        return cls(
            start=span.start,
            end=span.end,
            first=span.first,
            nominal_end=span.nominal_end,
            plan=customer.plan,
            override=customer.override,
            subscription_id=customer.stripe_subscription_id,
            stripe_customer_id=customer.stripe_customer_id,
            meters=None,
        )

    @classmethod
    def opened(cls, customer: Customer, span: Period, catalog: Catalog) -> Self:
        """Open a period that is to be stored: it sells for good what its plan sells now.

        Raises
        ------
        metering.core.catalog.CatalogError
            When there is no such plan.
        """
        return cls.of(customer, span).on_plan(customer.plan, customer.override, catalog)


@dataclass(frozen=True, slots=True)
class Account:
    """All of a customer's records, read at one moment."""

    customer: Customer
    instances: tuple[Instance, ...]
    periods: tuple[BillingPeriod, ...]

    @property
    def instance_ids(self) -> tuple[str, ...]:
        """The instances that have a key, in order."""
        return tuple(sorted(instance.instance_id for instance in self.instances if instance.digests))

    def period_at(self, hour: datetime) -> BillingPeriod | None:
        """Return the period an hour belongs to: the stored snapshot, or the one that will be.

        None when the hour lies before the customer's first period, or after the last one of a subscription
        that has ended.
        """
        known = sorted(self.periods, key=lambda period: period.start)
        for period in known:
            if period.span.has_hour(hour):
                return period
        if known and self.customer.has_left:
            return None
        if self.customer.anchor is None:
            return BillingPeriod.of(self.customer, Period.calendar_month(hour))
        span = Period.anchored(self.customer.anchor, hour)
        return BillingPeriod.of(self.customer, span) if span.has_hour(hour) else None

    def is_billed(self, period: BillingPeriod) -> bool:
        """Tell whether a period's usage goes to Stripe: one who has left has only the periods it had."""
        if not (self.customer.is_reported and period.sold):
            return False
        had = any(stored.start == period.start for stored in self.periods)
        return had or self.customer.stripe_subscription_id is not None

    def months_missed(self, began: datetime, until: datetime) -> Iterator[Period]:
        """Yield the months of the anchor that no look stored, of a subscription up to an instant.

        They begin where the last stored period ends, and nothing is yielded of the time before the
        subscription began.
        """
        anchor = self.customer.anchor
        last = max((period.end for period in self.periods), default=None)
        if anchor is None or last is None:
            return
        start = max(last, began, anchor)
        while start < until:
            month = Period.anchored(anchor, start)
            end = min(month.end, until)
            yield Period(start, end, nominal_end=month.end if end < month.end else None)
            start = end
