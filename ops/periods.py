"""Period snapshots that a change of the profile must not touch, and days to be reported again.

A period without a snapshot is computed from the profile (`metering.core.accounts.Account.period_at`), so
whoever changes the profile stores the snapshots of the present and all former periods first. Source:
docs/billing.md#periods.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from metering.core.accounts import Account, BillingPeriod, PeriodState
from metering.core.catalog import Catalog
from metering.core.contract import OLDEST_WINDOW
from metering.core.instants import HOUR, format_instant, hour_of
from metering.core.periods import Period
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.markers import Markers
from metering.tables.tables import Tables
from ops.errors import OperatorError, WrongInputError

_A_DAY = len("2026-11-22")
_CLOCK_AHEAD = timedelta(hours=2)
"""Reports may be a little ahead of us; their hours belong to the present period all the same."""


def unstored_periods(account: Account, hours: Hours, now: datetime) -> list[BillingPeriod]:
    """Return the periods without a snapshot, from the oldest stored hour to the present, oldest first."""
    customer = account.customer.customer_id
    oldest = next(hours.between(customer, now - OLDEST_WINDOW, now + _CLOCK_AHEAD), None)
    hour = min(oldest.start, hour_of(now)) if oldest else hour_of(now)
    stored = {period.start for period in account.periods}
    found = []
    while hour <= now:
        billing = account.period_at(hour)
        if billing is None:
            hour += HOUR
            continue
        if billing.start not in stored:
            found.append(billing)
        hour = max(billing.span.end_hour, hour + HOUR)
    return found


def keep_periods(account: Account, tables: Tables, catalog: Catalog, now: datetime) -> Account:
    """Store the snapshot of every period up to the present one; return the account with them.

    Each sells for good what its plan sells now.
    """
    for billing in unstored_periods(account, tables.hours, now):
        kept = billing.on_plan(billing.plan, billing.override, catalog)
        tables.customers.add_period(account.customer.customer_id, kept)
    again = tables.customers.account(account.customer.customer_id)
    assert again is not None
    return again


def end_unsold(account: Account, first: Period, tables: Tables) -> None:
    """End what lies before a subscription's first period: the time without one is not sold, and shown so.

    Calendar months without Stripe end there; what lies between the last subscription's end and this one's
    first period becomes a period of its own. Periods of a former subscription stay: its invoices bill them.

    Raises
    ------
    OperatorError
        When a stored period reaches into the first one, or begins with it and is final or another's.
    """
    customer_id, customers = account.customer.customer_id, tables.customers
    for period in account.periods:
        if period.start == first.start:
            _refuse_what_cannot_be_taken_over(account, period)
            continue
        if period.span.end_hour <= first.first_hour:
            if _is_without_stripe(account, period) and period.state is not PeriodState.FINALISED:
                customers.replace_period(customer_id, period, _unsold(period))
            continue
        if not _is_without_stripe(account, period) or period.start > first.start:
            raise OperatorError(
                f"the period {format_instant(period.start)} of {customer_id} reaches into the subscription's "
                f"first one, which begins at {format_instant(first.start)}; attach a subscription whose "
                "period begins later, or a new one"
            )
        customers.replace_period(customer_id, period, _unsold(period.cut(first.start)))
    last = max((p.span.end_hour for p in account.periods if p.start < first.start), default=None)
    if last is not None and last < first.first_hour:
        gap = BillingPeriod(
            start=last,
            end=first.first_hour,
            plan=account.customer.plan,
            override=account.customer.override,
            state=PeriodState.FINALISED,
            sold=False,
        )
        customers.add_period(customer_id, gap)


def take_over(account: Account, billing: BillingPeriod, customers: Customers) -> None:
    """Store a subscription's first period; a month without Stripe that began with it becomes that period.

    What was used in it since is sold on the subscription's terms.
    """
    customer_id = account.customer.customer_id
    if customers.add_period(customer_id, billing):
        return
    for stored in customers.periods(customer_id):
        is_open = stored.state is PeriodState.OPEN and stored.subscription_id is None
        if stored.start == billing.start and is_open:
            customers.replace_period(customer_id, stored, billing.model_copy(update={"first": stored.first}))


def _refuse_what_cannot_be_taken_over(account: Account, period: BillingPeriod) -> None:
    if period.state is PeriodState.FINALISED:
        why = "is final"
    elif not _is_without_stripe(account, period):
        why = "is another subscription's"
    else:
        return
    raise OperatorError(
        f"the period {format_instant(period.start)} of {account.customer.customer_id} {why} and begins with "
        "the subscription's first one; attach a subscription whose period begins later, or a new one"
    )


def _is_without_stripe(account: Account, period: BillingPeriod) -> bool:
    """Tell whether a period had no subscription; older ones do not say, but their customer does."""
    return period.subscription_id is None and account.customer.stripe_customer_id is None


def _unsold(period: BillingPeriod) -> BillingPeriod:
    return period.model_copy(update={"state": PeriodState.FINALISED, "sold": False})


def open_days(account: Account, now: datetime) -> Iterator[date]:
    """Yield every day up to today of the periods that no invoice has fixed yet."""
    periods = [period for period in account.periods if period.state is not PeriodState.FINALISED]
    if not any(period.start <= now < period.end for period in account.periods):
        present = account.period_at(hour_of(now))
        periods += [present] if present and present.state is not PeriodState.FINALISED else []
    days = {day for period in periods for day in period.span.days() if day <= now.date()}
    yield from sorted(days)


def mark_open_days(account: Account, markers: Markers, now: datetime) -> list[date]:
    """Mark the open periods' days to be reported to Stripe; return them."""
    days = list(open_days(account, now))
    for day in days:
        markers.touch_unsent(account.customer.customer_id, day)
    return days


def chosen_period(account: Account, text: str) -> BillingPeriod:
    """Return the stored period that the ``--period`` option names by its start or the start's day.

    Raises
    ------
    WrongInputError
        When no stored period starts so, or more than one does; the text lists those there are.
    """
    starts = {format_instant(period.start): period for period in account.periods}
    found = [start for start in starts if start.startswith(text) and len(text) >= _A_DAY]
    if len(found) == 1:
        return starts[found[0]]
    if found:
        raise WrongInputError(
            f"--period: more than one period starts at {text!r}; give the whole of {', '.join(found)}"
        )
    raise WrongInputError(f"--period: no period starts at {text!r}; stored are {', '.join(starts) or 'none'}")
