"""Reporting one customer's unsent days to Stripe.

Source: design page "stripe", section "The protocol". Sending again is safe at any time, because an hour is
overwritten and not added to; whatever a crash leaves pending goes out again under the same number.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from metering.accounts import BillingPeriod, Customer, PeriodState, Status, period_for
from metering.catalog import Basis, Catalog
from metering.periods import day_hours
from metering.rollup import Hour
from metering.stripe_names import event_identifier, event_name
from metering.tables.customers import Account, Customers
from metering.tables.hours import Hours
from metering.tables.ledger import Day, Entry, Ledger
from metering.tables.markers import Markers, UnsentDay
from stripe_report.gateway import Gateway, MeterEvent
from stripe_report.plan import Key, Wanted, is_done, is_settled, to_send, wanted_of, with_entries


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables that reporting reads and writes."""

    customers: Customers
    markers: Markers
    hours: Hours
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Sent:
    """What one run did: events sent or found delivered, still pending, refused (with their codes)."""

    sent: int = 0
    pending: int = 0
    refused: tuple[str, ...] = ()

    def __add__(self, other: Self) -> Self:
        return type(self)(self.sent + other.sent, self.pending + other.pending, self.refused + other.refused)


def report_customer(
    customer_id: str, now: datetime, tables: Tables, gateway: Gateway, catalog: Catalog, *, include_open: bool
) -> Sent:
    """Send what is unsent of one customer; markers of days that are done are deleted."""
    markers = list(tables.markers.unsent_of(customer_id))
    if not markers:
        return Sent()
    account = tables.customers.account(customer_id)
    if account is None or not is_reported(account.customer):
        for marker in markers:
            tables.markers.clear_unsent(marker)
        return Sent()
    total = Sent()
    for marker in markers:
        total += _report_day(marker, account, now, tables, gateway, catalog, include_open=include_open)
    return total


def is_reported(customer: Customer) -> bool:
    """Tell whether a customer's usage goes to Stripe: it has a Stripe customer and is not suspended."""
    return customer.stripe_customer_id is not None and customer.status is Status.ACTIVE


def _report_day(
    marker: UnsentDay,
    account: Account,
    now: datetime,
    tables: Tables,
    gateway: Gateway,
    catalog: Catalog,
    *,
    include_open: bool,
) -> Sent:
    all_hours = list(day_hours(marker.day))
    periods = _periods(account, all_hours)
    stored = _stored_hours(marker, periods, all_hours, tables.hours, catalog)
    day = tables.ledger.day(marker.customer, marker.day)

    final = {hour.start: hour.final for hour in stored}
    known = sum(1 for instance in account.instances if instance.digests)
    settled = {hour for hour in all_hours if is_settled(hour, final.get(hour, 0), known, now)}
    chosen = all_hours if include_open else sorted(settled)
    wanted: dict[Key, Wanted] = {}
    for billing in periods:
        wanted |= wanted_of(stored, billing, chosen, catalog)

    due = to_send(day, wanted)
    if due:
        day = tables.ledger.put(with_entries(day, due, (h for h in stored if h.start in set(chosen))))
        states = gateway.send(_events(due, wanted, account.customer))
        settled_entries = {
            key: replace(entry, state=states[_identifier(marker.customer, key, entry)])
            for key, entry in due.items()
        }
        day = tables.ledger.put(with_entries(day, settled_entries))
    if len(settled) == len(all_hours) and is_done(day, wanted):
        tables.markers.clear_unsent(marker)
    return _tally(day, due)


def _periods(account: Account, hours: Iterable[datetime]) -> list[BillingPeriod]:
    """Return the one or two periods to which a day's hours belong."""
    found = {
        billing.start: billing
        for hour in hours
        if (billing := period_for(account.customer, account.periods, hour)) is not None
    }
    return [found[start] for start in sorted(found)]


def _stored_hours(
    marker: UnsentDay,
    periods: Iterable[BillingPeriod],
    all_hours: list[datetime],
    hours: Hours,
    catalog: Catalog,
) -> list[Hour]:
    """Read the day's hours; with a peak meter all of its periods' hours, since rises depend on them."""
    start, end = all_hours[0], all_hours[-1] + timedelta(hours=1)
    if any(meter.basis is Basis.PEAK for meter in catalog.meters.values()):
        spans = [billing.span for billing in periods if billing.state is not PeriodState.FINALISED]
        start = min([start, *(span.first_hour for span in spans)])
    return list(hours.between(marker.customer, start, end))


def _events(due: dict[Key, Entry], wanted: dict[Key, Wanted], customer: Customer) -> list[MeterEvent]:
    assert customer.stripe_customer_id is not None
    return [
        MeterEvent(
            event_name=event_name(key[0]),
            stripe_customer_id=customer.stripe_customer_id,
            value=entry.value,
            timestamp=wanted[key].timestamp,
            identifier=_identifier(customer.customer_id, key, entry),
        )
        for key, entry in due.items()
    ]


def _identifier(customer_id: str, key: Key, entry: Entry) -> str:
    return event_identifier(customer_id, key[0], key[1], entry.number)


def _tally(day: Day, due: Iterable[Key]) -> Sent:
    states = [day.entries[key].state for key in due]
    return Sent(
        sent=states.count("sent"),
        pending=states.count("pending"),
        refused=tuple(state for state in states if state.startswith("refused(")),
    )
