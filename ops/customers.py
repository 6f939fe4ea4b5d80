"""Adding customers, suspending and resuming them: Stripe's objects first, then ours, each step once.

Source: docs/storage.md#tables and docs/billing.md#periods.
"""

from dataclasses import dataclass
from datetime import date, datetime

import stripe

from metering.core.accounts import Account, BillingPeriod, Customer, Status
from metering.core.catalog import Catalog, Override
from metering.core.periods import Period
from metering.core.shown import shown_period
from metering.tables.customers import Customers
from metering.tables.markers import Markers
from ops.errors import OperatorError
from ops.periods import mark_open_days, open_days
from ops.stripe_objects import own_prices
from ops.subscriptions import SubscriptionRequest, subscribe


@dataclass(frozen=True)
class NewCustomer:
    """A customer that is asked for, and how it is to be in Stripe; None keeps it out of Stripe."""

    customer: Customer
    subscription: SubscriptionRequest | None

    def check(self, present: Account | None) -> None:
        """Compare what is asked for with what is there.

        Raises
        ------
        OperatorError
            When the customer is there with another profile, or without Stripe.
        """
        if present is None:
            return
        customer_id = self.customer.customer_id
        if not _is_same_request(present.customer, self.customer):
            raise OperatorError(
                f"the customer {customer_id} exists already, with another profile; see `ops customers show "
                f"{customer_id}`, change its plan with `ops customers set-plan`"
            )
        if self.subscription is not None and present.customer.stripe_customer_id is None:
            raise OperatorError(
                f"the customer {customer_id} exists already, without Stripe; use "
                f"`ops customers attach {customer_id}`"
            )

    def needs(self, present: Account | None) -> bool:
        """Tell whether anything is to be made: nothing is there, or a crash left out the first period."""
        return present is None or (self.subscription is not None and not present.periods)

    def to_be_made(self, catalog: Catalog) -> list[tuple[str, str]]:
        """Return what adding makes or attaches to, as kind and name."""
        rows = [("customer", self.customer.customer_id)]
        if self.subscription is not None:
            rows += [("price", price.lookup_key) for price in own_prices([self.customer], catalog)]
            rows.append(("Stripe customer", self.subscription.stripe_customer_id or "a new one"))
            rows.append(("Stripe subscription", self.subscription.stripe_subscription_id or "a new one"))
        return rows


@dataclass(frozen=True)
class Added:
    """A customer as it is now; ``new`` is False when it was there already."""

    customer: Customer
    new: bool


def add_new(
    client: stripe.StripeClient | None,
    request: NewCustomer,
    present: Account | None,
    customers: Customers,
    catalog: Catalog,
    now: datetime,
) -> Added:
    """Add a customer that was checked against the one that is present; what a crash left undone is done.

    A client of Stripe is needed where something is to be made there.

    Raises
    ------
    OperatorError
        As `ops.subscriptions.subscribe` and `add_customer` say.
    """
    if present is not None and not request.needs(present):
        customers.add(present.customer)  # its directory entry, which a crash may have left out
        return Added(present.customer, new=False)
    customer, period = request.customer, None
    if request.subscription is not None:
        assert client is not None
        subscribed = subscribe(client, customer, catalog, now, request.subscription)
        customer, period = subscribed.customer, subscribed.period
    return Added(customer, add_customer(customers, customer, period, catalog))


def add_customer(customers: Customers, customer: Customer, period: Period | None, catalog: Catalog) -> bool:
    """Store a customer and its first period; tell whether the customer was new.

    Raises
    ------
    OperatorError
        When the customer is there already with another profile.
    """
    new = customers.add(customer)
    if not new and customers.customer(customer.customer_id) != customer:
        raise OperatorError(
            f"the customer {customer.customer_id} exists already, with another profile; see "
            f"`ops customers show {customer.customer_id}`"
        )
    if period is not None:
        customers.add_period(customer.customer_id, BillingPeriod.opened(customer, period, catalog))
    return new


@dataclass(frozen=True)
class CustomerPlan:
    """A plan's version and the customer's own prices on it; ``start`` is None where it is in force."""

    plan: str
    override: Override
    start: datetime | None = None


@dataclass(frozen=True)
class CustomerPlans:
    """The plan in force, and the one to come where it differs; None where there is none."""

    present: CustomerPlan | None = None
    coming: CustomerPlan | None = None


def customer_plans(account: Account, now: datetime) -> CustomerPlans:
    """Return what a customer has in its present period, and what it will have when that ends.

    One who has left has neither, one whose first period is to come has no plan in force.
    """
    customer, shown = account.customer, shown_period(account, now)
    if shown is None or shown.ended_at is not None:
        return CustomerPlans()
    period = shown.billing
    if shown.begins_at is not None:
        return CustomerPlans(coming=CustomerPlan(period.plan, period.override, shown.begins_at))
    changes = (customer.plan, customer.override) != (period.plan, period.override)
    coming = (
        CustomerPlan(customer.plan, customer.override, period.end)
        if changes and not customer.has_left
        else None
    )
    return CustomerPlans(CustomerPlan(period.plan, period.override), coming)


def set_status(customers: Customers, customer: Customer, status: Status, *, dry_run: bool) -> bool:
    """Give a customer a status; tell whether it has, or under ``dry_run`` had, another.

    Raises
    ------
    OperatorError
        When the profile was changed meanwhile.
    """
    changed = customer.status is not status
    if changed and not dry_run:
        replace_profile(customers, customer, customer.model_copy(update={"status": status}))
    return changed


def days_to_report(account: Account, markers: Markers, now: datetime, *, dry_run: bool) -> list[date]:
    """Mark the days of a resumed customer's open periods to be reported; return them.

    One that is not in Stripe has none. ``dry_run`` marks nothing.
    """
    if account.customer.stripe_customer_id is None:
        return []
    return list(open_days(account, now)) if dry_run else mark_open_days(account, markers, now)


def replace_profile(customers: Customers, read: Customer, wanted: Customer) -> None:
    """Put a profile in place of the one that was read.

    Raises
    ------
    OperatorError
        When somebody changed it meanwhile.
    """
    if not customers.replace(read, wanted):
        raise OperatorError(f"the profile of {wanted.customer_id} was changed meanwhile; run again")


def _is_same_request(present: Customer, asked: Customer) -> bool:
    """Tell whether adding again asks for the customer that is there; what Stripe gave it does not count."""
    given = {
        name: getattr(present, name) for name in ("anchor", "stripe_customer_id", "stripe_subscription_id")
    }
    return asked.model_copy(update=given) == present
