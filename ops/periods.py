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
from metering.core.usage import PeriodUsage
from metering.tables.hours import Hours
from metering.tables.markers import Markers
from metering.tables.tables import Tables
from ops.errors import OperatorError, WrongInputError

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


def keep_periods(account: Account, tables: Tables, now: datetime) -> Account:
    """Store the snapshot of every period up to the present one; return the account with them."""
    for billing in unstored_periods(account, tables.hours, now):
        tables.customers.add_period(account.customer.customer_id, billing)
    kept = tables.customers.account(account.customer.customer_id)
    assert kept is not None
    return kept


def settle_before(account: Account, start: datetime, tables: Tables, catalog: Catalog) -> None:
    """End the periods before a subscription's first one: they are final, and Stripe never bills them.

    The calendar month that the subscription interrupts is cut short. What was used by then counts as
    invoiced, so that only what is reported later still shows up as late usage.

    Raises
    ------
    OperatorError
        When a stored period begins within the subscription's present one.
    """
    customer_id = account.customer.customer_id
    inside = [period for period in account.periods if period.start > start]
    if inside:
        raise OperatorError(
            f"the period {format_instant(inside[0].start)} of {customer_id} begins within the subscription's "
            f"present one, which began at {format_instant(start)}; attach a subscription whose period begins "
            "later, or a new one"
        )
    for period in account.periods:
        if period.start == start or period.state is PeriodState.FINALISED:
            continue
        cut = period if period.end <= start else period.cut(start)
        used = PeriodUsage(cut, tables.hours.of_period(customer_id, cut.span), catalog)
        final = {"state": PeriodState.FINALISED, "invoiced": dict(used.quantities)}
        tables.customers.replace_period(customer_id, period, cut.model_copy(update=final))


def first_snapshot(account: Account, span: Period) -> Period:
    """Return the subscription's period as it follows those that are stored."""
    return Period(
        span.start, span.end, first=not any(period.start < span.start for period in account.periods)
    )


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
        When no stored period starts so; the text lists those there are.
    """
    for period in account.periods:
        if format_instant(period.start).startswith(text) and text:
            return period
    starts = ", ".join(format_instant(period.start) for period in account.periods) or "none"
    raise WrongInputError(f"--period: no period starts at {text!r}; stored are {starts}")
