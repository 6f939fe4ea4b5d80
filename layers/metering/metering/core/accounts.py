"""Customers, their instances and their billing periods, as values.

Source: design pages "storage" (what the Customers table holds) and "billing" (periods and plans).
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from metering.core.catalog import Catalog, Exact, Override, SignedExact, Terms
from metering.core.contract import ID_PATTERN, Id, Instant
from metering.core.periods import Period

KEY_PREFIX = "zmf_"
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
    def has_left(self) -> bool:
        """Whether the customer's subscription has ended: it had one, since it is a customer at Stripe."""
        return self.stripe_customer_id is not None and self.stripe_subscription_id is None


class Instance(_Record):
    """One instance of the platform: the SHA-256 digests of up to two secrets, never a key."""

    customer_id: Id
    instance_id: Id
    digests: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = Field(max_length=2)

    def accepts(self, secret: str) -> bool:
        """Tell whether a secret is one of the instance's, in constant time."""
        offered = secret_digest(secret)
        matches = [hmac.compare_digest(offered, digest) for digest in self.digests]
        return any(matches)


class BillingPeriod(_Record):
    """A period's snapshot: bounds, plan version and overrides, and once final what was invoiced.

    ``nominal_end`` is set where the period was cut short: averages are still over the whole interval.
    """

    start: Instant
    end: Instant
    first: bool = False
    nominal_end: Instant | None = None
    plan: str
    override: Override = Override()
    state: PeriodState = PeriodState.OPEN
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
        return catalog.terms(self.plan, self.override)

    @classmethod
    def of(cls, customer: Customer, span: Period) -> Self:
        """Open a period on the customer's present plan."""
        return cls(
            start=span.start,
            end=span.end,
            first=span.first,
            plan=customer.plan,
            override=customer.override,
        )


def period_for(customer: Customer, stored: Iterable[BillingPeriod], hour: datetime) -> BillingPeriod | None:
    """Return the period an hour belongs to: the stored snapshot, or the one that will be.

    None when the hour lies before the customer's first period, or after the last one of a subscription that
    has ended.
    """
    known = sorted(stored, key=lambda period: period.start)
    for period in known:
        if period.span.has_hour(hour):
            return period
    if known and customer.has_left:
        return None
    if customer.anchor is None:
        return BillingPeriod.of(customer, Period.calendar_month(hour))
    span = Period.anchored(customer.anchor, hour)
    return BillingPeriod.of(customer, span) if span.has_hour(hour) else None


def secret_digest(secret: str) -> str:
    """Return the SHA-256 of an instance key's secret, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def make_key(customer_id: str, instance_id: str, secret: str) -> str:
    """Write an instance key: ``zmf_<customer>.<instance>.<secret>``."""
    return f"{KEY_PREFIX}{customer_id}.{instance_id}.{secret}"


def split_key(key: str) -> tuple[str, str, str] | None:
    """Read an instance key into customer, instance and secret; None when it has another form."""
    parts = key.removeprefix(KEY_PREFIX).split(".")
    if not key.startswith(KEY_PREFIX) or len(parts) != 3:  # noqa: PLR2004  its three parts
        return None
    customer_id, instance_id, secret = parts
    # Whatever is no id would reach the table as a key: too long a one is an error there, not "unknown".
    if not (re.fullmatch(ID_PATTERN, customer_id) and re.fullmatch(ID_PATTERN, instance_id) and secret):
        return None
    return customer_id, instance_id, secret
