"""Keeping a customer's billing periods in step with its Stripe subscription.

Source: docs/billing.md#periods: a period comes from the subscription's item. Stripe is asked for the
subscription as it is now, so that it does not matter how late or how often we are told to look.
"""

from dataclasses import dataclass
from datetime import datetime

from metering.core.accounts import Account, BillingPeriod, Customer, PeriodState
from metering.core.catalog import Catalog, CatalogError, Override
from metering.core.periods import Period
from metering.core.stripe_names import base_lookup_key, meter_lookup_key
from metering.tables.closings import Closing
from metering.tables.tables import Tables
from stripe_report.desk import Desk
from stripe_report.reader import Subscription


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh changed: periods added or cut short; and whether Stripe bills other prices than ours."""

    added: bool = False
    cut: bool = False
    ended: bool = False
    prices_differ: bool = False


def is_behind(account: Account, now: datetime) -> bool:
    """Tell whether the account has a subscription but no period of it that contains the present."""
    subscribed = account.customer.stripe_subscription_id is not None
    return subscribed and not any(period.start <= now < period.end for period in account.periods)


def refresh(desk: Desk, account: Account) -> Refreshed:
    """Bring the stored periods to what the subscription says now.

    A new period is added with the plan whose prices the subscription has. A period that reaches beyond the
    start of the present one was cut short by a new anchor, one that reaches beyond the subscription's end by
    a cancellation at once. Once the subscription has ended, the profile forgets it. Each step may fail or run
    twice: the next refresh does what is left.
    """
    customer, tables = account.customer, desk.tables
    if customer.stripe_subscription_id is None:
        return Refreshed()
    subscription = desk.gateway.reader.subscription(customer.stripe_subscription_id)
    if subscription.ended_at is not None:
        cut = _cut(account, subscription.ended_at, tables)
        tables.customers.replace(customer, customer.model_copy(update={"stripe_subscription_id": None}))
        return Refreshed(cut=cut, ended=True)
    if any(period.start == subscription.start for period in account.periods):
        return Refreshed()
    cut = _cut(account, subscription.start, tables)
    span = Period(subscription.start, subscription.end, first=not account.periods)
    ours = _as_billed(account, subscription, desk.catalog)
    if customer.anchor is None or Period.anchored(customer.anchor, span.start).start != span.start:
        tables.customers.replace(customer, customer.model_copy(update={"anchor": span.start}))
    added = tables.customers.add_period(customer.customer_id, BillingPeriod.of(ours or customer, span))
    return Refreshed(added=added, cut=cut, prices_differ=ours is None)


def _cut(account: Account, end: datetime, tables: Tables) -> bool:
    """End at this instant the period that goes on beyond it."""
    for period in account.periods:
        if period.start < end < period.end and period.state is not PeriodState.FINALISED:
            tables.closings.put(Closing(account.customer.customer_id, period.start, end))
            return tables.customers.replace_period(account.customer.customer_id, period, period.cut(end))
    return False


def _as_billed(account: Account, subscription: Subscription, catalog: Catalog) -> Customer | None:
    """Return the customer with the plan and override whose prices the subscription has.

    That is the profile's, or still the last period's when a change has not reached Stripe, or another plan
    without overrides; None when no plan has these prices.
    """
    customer, last = account.customer, max(account.periods, key=lambda period: period.start, default=None)
    candidates = [(customer.plan, customer.override)]
    if last is not None:
        candidates.append((last.plan, last.override))
    candidates += [(plan, Override()) for plan in catalog.plans]
    for plan, override in candidates:
        if lookup_keys(customer.customer_id, plan, override, catalog) == subscription.lookup_keys:
            return customer.model_copy(update={"plan": plan, "override": override})
    return None


def lookup_keys(customer_id: str, plan: str, override: Override, catalog: Catalog) -> frozenset[str]:
    """Return the lookup keys of all prices that a plan with an override has; none for an impossible pair."""
    try:
        terms = catalog.terms(plan, override)
    except CatalogError:
        return frozenset()
    fee = base_lookup_key(customer_id, terms, catalog.plans[plan].base_fee)
    metered = (meter_lookup_key(customer_id, terms, meter) for meter in terms.meters)
    return frozenset({fee, *(key for key in metered if key is not None)})
