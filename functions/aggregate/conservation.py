"""The daily sweep of one customer: what was reported is what will be invoiced.

It looks at the open period and at those that ended lately. Reads are bounded: reports are compared hour by
hour as they stream in, and where there are more than a message may compare the hours are shared out over
many. Usage moves while it is looked at, so what differs is read once more before it counts. Source:
docs/billing.md#conservation.
"""

from dataclasses import dataclass
from datetime import datetime

from aggregate.after_end import differences_after_end
from metering.core.accounts import Account, BillingPeriod, PeriodState
from metering.core.adjustments import days_moved
from metering.core.billed import billed_of
from metering.core.catalog import Catalog
from metering.core.conservation import (
    Difference,
    contribution_differences,
    hour_differences,
    invoice_differences,
    ledger_differences,
)
from metering.core.instants import HOUR, hour_of
from metering.core.periods import MORE_THAN_A_PERIOD
from metering.core.usage import PeriodUsage
from metering.tables.hour_pairs import HourPair, hour_pairs, made_as
from metering.tables.ledger import SENT
from metering.tables.tables import Tables
from metering.tables.usage import period_usage

MOST_REPORTS = 4_000
"""Reports compared for one message, so that a batch of ten such messages stays within the function's time
(docs/limits.md); one instance has 1,488 in two months."""
_NARROWER = 4


@dataclass(frozen=True, slots=True)
class Part:
    """The hours in ``[since, until)`` of one customer, as one message compares them."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Conserved:
    """What a check found: differences, how many hours it compared, and the parts that are left to others."""

    differences: tuple[Difference, ...]
    hours: int
    rest: tuple[Part, ...] = ()


def conserve(
    customer_id: str,
    now: datetime,
    tables: Tables,
    catalog: Catalog,
    part: Part | None = None,
    most_reports: int = MOST_REPORTS,
) -> Conserved:
    """Compare a customer's usage along its whole way; mark every hour that differs from its reports dirty.

    Parameters
    ----------
    customer_id, now
        Whose usage, at which present.
    tables, catalog
        Where it lies, and the meters.
    part
        The hours whose reports are to be compared, and nothing else; when None, everything of both periods.
    most_reports
        How many reports are compared here. A customer whose instances will have more has its hours shared out
        at once; after so many, at the end of an hour, the rest is shared out as well.
    """
    if part is not None:
        return _hours(customer_id, part, tables, most_reports)
    account = tables.customers.account(customer_id)
    if account is None:
        return Conserved((), 0)
    periods = _periods(account, now)
    found = Conserved((), 0)
    if periods:
        # With whatever lies between two of them: hours are made of reports there too.
        until = min(max(one.span.end_hour for one in periods), hour_of(now) + HOUR)
        whole = Part(min(one.span.first_hour for one in periods), until)
        parts = _shared_out(whole, max(1, most_reports // max(1, len(account.instance_ids))))
        found = (
            Conserved((), 0, parts) if len(parts) > 1 else _hours(customer_id, whole, tables, most_reports)
        )
    differences = list(found.differences)
    for billing in periods:
        differences += _period(account, billing, tables, catalog)
    differences += differences_after_end(account, now, tables, catalog)
    return Conserved(tuple(differences), found.hours, found.rest)


def _hours(customer_id: str, part: Part, tables: Tables, most_reports: int) -> Conserved:
    """Compare the hours of a part with their reports, as far as one message may."""
    differences: list[Difference] = []
    read = compared = 0
    for pair in hour_pairs(customer_id, part.since, part.until, tables):
        if read >= most_reports:
            # By the reports that its hours turned out to have; and at most a quarter of this part, so that
            # however unevenly reports lie, parts of parts come to an end after few.
            length = min(most_reports * compared // read, _length(part) // _NARROWER)
            return Conserved(
                tuple(differences), compared, _shared_out(Part(pair.hour, part.until), max(1, length))
            )
        read += pair.reports
        compared += 1
        differences += _hour(customer_id, pair, tables)
    return Conserved(tuple(differences), compared)


def _shared_out(whole: Part, hours: int) -> tuple[Part, ...]:
    """Cut a part into parts of so many hours, the last one of what is left."""
    starts = range(0, _length(whole), hours)
    begun = [whole.since + start * HOUR for start in starts]
    return tuple(Part(since, min(since + hours * HOUR, whole.until)) for since in begun)


def _length(part: Part) -> int:
    return (part.until - part.since) // HOUR


def _periods(account: Account, now: datetime) -> tuple[BillingPeriod, ...]:
    """Return the open period, the last one, and every other that ended within the length of one, in order.

    A period may be short, where a subscription was cut, moved or came back.
    """
    ended = sorted((p for p in account.periods if p.end <= now), key=lambda p: p.start)
    recent = [p for p in ended if p.end > now - MORE_THAN_A_PERIOD]
    present = account.period_at(hour_of(now))
    if present is None:
        return tuple(recent or ended[-1:])
    last = account.period_at(present.span.first_hour - HOUR)
    before = [p for p in recent if last is None or p.start < last.start]
    return (*before, *((last,) if last else ()), present)


def _hour(customer_id: str, pair: HourPair, tables: Tables) -> list[Difference]:
    """Return how an hour differs from its reports, unless it is to be recomputed anyway."""
    if not hour_differences(pair.recomputed, pair.stored):
        return []
    if tables.markers.dirty_hour(customer_id, pair.hour) is not None:
        return []
    stored = tables.hours.hour(customer_id, pair.hour)
    recomputed = made_as(stored, pair.hour, tables.reports.of_hour(customer_id, pair.hour))
    found = hour_differences(recomputed, stored)
    if found:
        tables.markers.touch_dirty(customer_id, pair.hour)
    return found


def _period(account: Account, billing: BillingPeriod, tables: Tables, catalog: Catalog) -> list[Difference]:
    """Return how a period's contributions differ from its hours, and its ledger or invoice from them."""
    customer_id = account.customer.customer_id
    usage = period_usage(tables, customer_id, billing, catalog)
    found = contribution_differences(usage)
    if billing.state is PeriodState.FINALISED:
        billed = billed_of(billing, tables.invoices.of_period(customer_id, billing.start))
        late = tables.late.of_period(customer_id, billing.start)
        settled = tables.settlements.of_period(customer_id, billing.start)
        return found + invoice_differences(usage, billed, [*late, *settled])
    if not account.is_billed(billing):
        return found
    first = _ledger(customer_id, usage, tables)
    if not first:
        return found
    second = _ledger(customer_id, period_usage(tables, customer_id, billing, catalog), tables)
    return found + [difference for difference in second if difference in first]


def _ledger(customer_id: str, usage: PeriodUsage, tables: Tables) -> list[Difference]:
    """Compare the ledger of every day that is not marked to be sent; a marked day is on its way.

    So are the later days that change with it, by an adjustment.
    """
    found: list[Difference] = []
    days = list(usage.span.days())
    if not days:
        return found
    ledger = {day.day: day for day in tables.ledger.between(customer_id, days[0], days[-1])}
    unsent = {marker.day for marker in tables.markers.unsent_of(customer_id)}
    unsent |= {moved for day in unsent for moved in days_moved(day, usage.adjustments)}
    for day in days:
        if day in unsent:
            continue
        entries = ledger[day].entries if day in ledger else {}
        sent = {key: entry.value for key, entry in entries.items() if entry.state == SENT}
        hours = {hour for by_hour in usage.sold.values() for hour in by_hour if hour.date() == day}
        hours |= {hour for _, hour in sent if usage.span.has_hour(hour)}
        found += ledger_differences(usage.sold, sent, sorted(hours))
    return found
