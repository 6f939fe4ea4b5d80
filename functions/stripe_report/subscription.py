"""Keeping a customer's billing periods in step with its Stripe subscription.

Source: docs/billing.md#periods: a period comes from the subscription's metered items. Stripe is asked for the
subscription as it is now, so that it does not matter how late or how often we are told to look, nor who
changed it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from metering.core.accounts import Account, BillingPeriod, Customer, PeriodState
from metering.core.catalog import Catalog, CatalogError, Override
from metering.core.periods import Period
from metering.core.stripe_names import base_lookup_key, meter_lookup_key
from metering.tables.closings import Closing
from metering.tables.tables import Tables
from stripe_report.desk import Desk
from stripe_report.subscribed import Subscription, SubscriptionStatus

_COLLECTS_NOTHING = frozenset(
    {SubscriptionStatus.INCOMPLETE, SubscriptionStatus.UNPAID, SubscriptionStatus.PAUSED}
)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a look at the subscription found and did.

    Periods were ``added``, ``cut`` short or ``moved`` to another end; ``missed`` counts those that no look
    saw while they lasted. ``prices_differ`` tells that Stripe bills other prices than the period's,
    ``exchanged`` that a metered item of the present period is no longer the one it began with. ``collects``
    is False where Stripe collects no money: unpaid, paused, or not begun.
    """

    status: SubscriptionStatus | None = None
    added: bool = False
    missed: int = 0
    cut: bool = False
    moved: bool = False
    ended: bool = False
    prices_differ: bool = False
    exchanged: bool = False
    collects: bool = True


def is_behind(account: Account, now: datetime) -> bool:
    """Tell whether the account has a subscription but no period of it that contains the present."""
    subscribed = account.customer.stripe_subscription_id is not None
    return subscribed and not any(period.start <= now < period.end for period in account.periods)


def refresh(desk: Desk, account: Account, now: datetime) -> Refreshed:
    """Bring the stored periods to what the subscription says now.

    A new period is added with the plan whose prices the subscription has, after those that no look saw. A
    period that reaches beyond the start of the present one was cut short by a new anchor, one that reaches
    beyond the subscription's end by a cancellation at once. The present period's end moves with Stripe's.
    Once the subscription has ended, the profile forgets it. Each step may fail or run twice: the next refresh
    does what is left.
    """
    customer, tables = account.customer, desk.tables
    if customer.stripe_subscription_id is None:
        return Refreshed()
    subscription = desk.gateway.reader.subscription(customer.stripe_subscription_id)
    collects = subscription.collects and subscription.status not in _COLLECTS_NOTHING
    if subscription.has_ended:
        return _ended(desk, account, subscription, now)
    start, end = subscription.span(desk.catalog)
    in_trial = subscription.status is SubscriptionStatus.TRIALING
    present = _present(account, start, end, in_trial=in_trial)
    is_stub = present is None and _is_stub(subscription, start)
    if is_stub or subscription.status is SubscriptionStatus.INCOMPLETE:
        return Refreshed(subscription.status, collects=collects)
    if present is not None:
        return _compared(desk, account, subscription, present, now, collects=collects)
    missed = _add_missed(desk, account, subscription, start)
    cut = _cut(account, start, tables)
    ours = _as_billed(account, subscription, desk.catalog)
    span = Period(start, end, first=not account.periods and not missed)
    if customer.anchor is None or Period.anchored(customer.anchor, start).start != start:
        tables.customers.replace(customer, customer.model_copy(update={"anchor": start}))
    added = tables.customers.add_period(
        customer.customer_id, _opened(desk, ours or customer, span, subscription)
    )
    return Refreshed(subscription.status, added, missed, cut, prices_differ=ours is None, collects=collects)


def _present(account: Account, start: datetime, end: datetime, *, in_trial: bool) -> BillingPeriod | None:
    """Return the stored period that is the subscription's present one.

    Where all items were exchanged within the period they begin later; the period's end tells that it is the
    same. A new anchor moves the end as well, and a trial that begins within the period is one of its own:
    what was used before it is sold.
    """
    whose = {None, account.customer.stripe_subscription_id}
    for period in account.periods:
        exchanged = period.start < start < period.end == end and period.subscription_id in whose
        if period.start == start or (exchanged and not in_trial):
            return period
    return None


def _is_stub(subscription: Subscription, start: datetime) -> bool:
    """Tell whether it is the time before the first full period, in which nothing is sold."""
    return start < subscription.anchor and subscription.status is not SubscriptionStatus.TRIALING


def _opened(desk: Desk, customer: Customer, span: Period, subscription: Subscription) -> BillingPeriod:
    """Return a new period on a customer's plan; a trial's usage is not sold."""
    trial_end = subscription.trial_end
    in_trial = trial_end is not None and span.start < trial_end
    billing = BillingPeriod.opened(customer, span, desk.catalog)
    return billing.model_copy(update={"sold": not in_trial, "items": dict(subscription.metered)})


def _ended(desk: Desk, account: Account, subscription: Subscription, now: datetime) -> Refreshed:
    """Cut the period at the subscription's end, and let the profile forget the subscription."""
    customer, tables = account.customer, desk.tables
    end = subscription.ended_at or now
    missed = 0
    if subscription.status is not SubscriptionStatus.INCOMPLETE_EXPIRED:
        missed = _add_missed(desk, account, subscription, end)
    cut = False
    for period in account.periods:
        if period.outlives(subscription.subscription_id, end):
            cut = _cut_there(customer.customer_id, period, end, tables) or cut
    tables.customers.replace(customer, customer.model_copy(update={"stripe_subscription_id": None}))
    return Refreshed(subscription.status, missed=missed, cut=cut, ended=True)


def _compared(
    desk: Desk,
    account: Account,
    subscription: Subscription,
    present: BillingPeriod,
    now: datetime,
    *,
    collects: bool,
) -> Refreshed:
    """Compare the stored period with the subscription: its end, its prices, its metered items."""
    if present.state is PeriodState.FINALISED:
        return Refreshed(subscription.status, collects=collects)
    customer, tables = account.customer, desk.tables
    _, end = subscription.span(desk.catalog)
    moved = end != present.end
    new = present.moved(end, now) if moved else present
    known = present.items or dict(subscription.metered)
    in_trial = subscription.status is SubscriptionStatus.TRIALING
    new = new.model_copy(
        update={
            "items": known,
            "sold": present.sold and not in_trial,
            "subscription_id": present.subscription_id or subscription.subscription_id,
            "stripe_customer_id": present.stripe_customer_id or customer.stripe_customer_id,
        }
    )
    if moved:
        tables.closings.put(Closing(customer.customer_id, present.start, end))
    if new != present:
        moved = tables.customers.replace_period(customer.customer_id, present, new) and moved
    if moved and new.span.seconds != present.span.seconds:
        # An average's contributions are shares of the whole period.
        for day in new.span.days():
            if day <= now.date():
                tables.markers.touch_unsent(customer.customer_id, day)
    wanted = lookup_keys(customer.customer_id, present.plan, present.override, desk.catalog)
    return Refreshed(
        subscription.status,
        moved=moved,
        prices_differ=wanted != subscription.lookup_keys(desk.catalog)
        or _was_sold_otherwise(present, in_trial=in_trial),
        exchanged=known != dict(subscription.metered),
        collects=collects,
    )


def _was_sold_otherwise(present: BillingPeriod, *, in_trial: bool) -> bool:
    """Tell whether a period in a trial was looked at and sold before it, or one that is in none was not."""
    return present.sold and bool(present.items) if in_trial else not present.sold


def _add_missed(desk: Desk, account: Account, subscription: Subscription, until: datetime) -> int:
    """Store the periods between the last stored one and an instant; return how many there were.

    They are the months of the anchor, on the plan whose prices the subscription has: a change of plan takes
    effect at the end of the period in which it is made. Nothing is stored of the time before it.
    """
    customer = _as_billed(account, subscription, desk.catalog) or account.customer
    count = 0
    for span in _months(account, subscription, until):
        billing = _opened(desk, customer, span, subscription).model_copy(update={"items": {}})
        count += desk.tables.customers.add_period(customer.customer_id, billing)
    return count


def _months(account: Account, subscription: Subscription, until: datetime) -> Iterator[Period]:
    anchor = account.customer.anchor
    last = max((period.end for period in account.periods), default=None)
    if anchor is None or last is None:
        return
    start = max(last, subscription.began, anchor)
    while start < until:
        month = Period.anchored(anchor, start)
        end = min(month.end, until)
        yield Period(start, end, nominal_end=month.end if end < month.end else None)
        start = end


def _cut(account: Account, end: datetime, tables: Tables) -> bool:
    """End at this instant the period that goes on beyond it."""
    for period in account.periods:
        if period.start < end < period.end and period.state is not PeriodState.FINALISED:
            return _cut_there(account.customer.customer_id, period, end, tables)
    return False


def _cut_there(customer_id: str, period: BillingPeriod, end: datetime, tables: Tables) -> bool:
    cut = period.cut(end)
    tables.closings.put(Closing(customer_id, cut.start, cut.end))
    return tables.customers.replace_period(customer_id, period, cut)


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
        if lookup_keys(customer.customer_id, plan, override, catalog) == subscription.lookup_keys(catalog):
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
