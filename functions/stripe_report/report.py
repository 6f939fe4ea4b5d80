"""Reporting one customer's unsent days to Stripe.

Source: docs/stripe-protocol.md#the-protocol. Sending again is safe at any time, because an hour is
overwritten and not added to; whatever a crash leaves pending goes out again under the same number.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Self
from zlib import crc32

from metering.core.accounts import Account, BillingPeriod, PeriodState
from metering.core.adjustments import Adjustment, days_moved
from metering.core.instants import HOUR
from metering.core.periods import day_hours
from metering.core.rollup import Hour
from metering.core.usage import PeriodUsage
from metering.tables.ledger import PENDING, SENT, Day, Entry
from metering.tables.markers import UnsentDay
from stripe_report.desk import Desk
from stripe_report.plan import Key, Wanted, is_done, is_settled, to_send, wanted_of
from stripe_report.sending import Due, send_entries


@dataclass(frozen=True, slots=True)
class Sent:
    """What one run did: events sent or found delivered, still pending, refused (with their codes)."""

    sent: int = 0
    pending: int = 0
    refused: tuple[str, ...] = ()

    def __add__(self, other: Self) -> Self:
        return type(self)(self.sent + other.sent, self.pending + other.pending, self.refused + other.refused)

    @property
    def unanswered(self) -> bool:
        """Whether Stripe answered none of the events, so that there is no use in more of them now."""
        return bool(self.pending) and not self.sent and not self.refused

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Count entries by their state."""
        states = [entry.state for entry in entries]
        codes = tuple(state.code for state in states if state.code is not None)
        return cls(states.count(SENT), states.count(PENDING), codes)


def report_customer(desk: Desk, customer_id: str, now: datetime, *, include_open: bool) -> Sent:
    """Send what is unsent of one customer; markers of days that are done are deleted.

    Raises
    ------
    metering.tables.ledger.VersionConflictError
        When another run wrote a day's ledger meanwhile; run again.
    """
    tables = desk.tables
    markers = list(tables.markers.unsent_of(customer_id))
    if not markers:
        return Sent()
    account = tables.customers.account(customer_id)
    if account is None or not account.customer.is_reported:
        # Attaching Stripe or resuming marks the open period's days again.
        for marker in markers:
            tables.markers.clear_unsent(marker)
        return Sent()
    read = {marker: tables.ledger.day(customer_id, marker.day) for marker in markers}
    run = _Run(desk, account, tables.adjustments.of(customer_id), now, include_open)
    run.read.update({day.day: day for day in read.values()})
    total = Sent()
    for marker in sorted(read, key=lambda marker: (_turn(read[marker], now), marker.day)):
        done = run.report(marker)
        total += done
        if done.unanswered:
            break
    return total


def _turn(day: Day, now: datetime) -> int:
    """Order days: first those without an unanswered number, then the others, in another order each run.

    So a day with an event that Stripe keeps failing holds up no other for longer than a run.
    """
    waits = any(entry.state == PENDING for entry in day.entries.values())
    return 1 + crc32(f"{day.day}{now}".encode()) if waits else 0


def settled_hours(
    hours: Iterable[datetime], stored: Iterable[Hour], account: Account, now: datetime
) -> set[datetime]:
    """Return which of the hours are over and settled."""
    reported = {hour.start: hour for hour in stored}
    known = len(account.instance_ids)
    settled = set()
    for start in hours:
        hour = reported.get(start)
        final, instances = (hour.final, max(known, hour.instances)) if hour else (0, known)
        if is_settled(start, final, instances, now):
            settled.add(start)
    return settled


@dataclass(frozen=True, slots=True)
class _Run:
    """One run for one customer.

    ``read`` are days of the ledger read before it, ``settled`` the days it has looked at whose hours are all
    settled, ``done`` those of which nothing is left to be sent, ``seen`` all of them.
    """

    desk: Desk
    account: Account
    adjustments: Sequence[Adjustment]
    now: datetime
    include_open: bool
    read: dict[date, Day] = field(default_factory=dict)
    seen: set[date] = field(default_factory=set)
    settled: set[date] = field(default_factory=set)
    done: set[date] = field(default_factory=set)

    def report(self, marker: UnsentDay) -> Sent:
        """Send a marked day, and those that an adjustment changes with it; then delete the marker."""
        moved = [day for day in days_moved(marker.day, self.adjustments) if day <= self.now.date()]
        sent = Sent()
        for day in (marker.day, *moved):
            if day not in self.seen:
                sent += self._day(day)
        if marker.day in self.settled and self.done.issuperset((marker.day, *moved)):
            self.desk.tables.markers.clear_unsent(marker)
        return sent

    def _day(self, day: date) -> Sent:
        all_hours = list(day_hours(day))
        of_period = _periods(self.account, all_hours)
        stored = self._stored_hours(all_hours, of_period)
        ledger = self.read.pop(day, None) or self.desk.tables.ledger.day(
            self.account.customer.customer_id, day
        )

        settled = settled_hours(all_hours, stored, self.account, self.now)
        wanted: dict[Key, Wanted] = {}
        for billing, hours in of_period:
            chosen = hours if self.include_open else [hour for hour in hours if hour in settled]
            wanted |= wanted_of(self._usage(billing, stored), chosen)

        own = self.account.customer.stripe_customer_id
        assert own is not None
        due = {
            key: Due(entry, wanted[key].timestamp, wanted[key].stripe_customer_id or own)
            for key, entry in to_send(ledger, wanted).items()
        }
        if due:
            made_of = [hour for hour in stored if any(hour.start == key[1] for key in due)]
            ledger = send_entries(self.desk, self.account.customer, ledger, due, self.now, made_of=made_of)
        self.seen.add(day)
        if len(settled) == len(all_hours):
            self.settled.add(day)
        if is_done(ledger, wanted):
            self.done.add(day)
        return Sent.of(ledger.entries[key] for key in due)

    def _usage(self, billing: BillingPeriod, stored: list[Hour]) -> PeriodUsage:
        return PeriodUsage(billing, stored, self.desk.catalog, self._of_period(billing))

    def _of_period(self, billing: BillingPeriod) -> list[Adjustment]:
        return [one for one in self.adjustments if one.period_start == billing.start]

    def _stored_hours(
        self, all_hours: list[datetime], of_period: Iterable[tuple[BillingPeriod, list[datetime]]]
    ) -> list[Hour]:
        """Read the day's hours, and its periods' before them where a contribution depends on those."""
        start, end = all_hours[0], all_hours[-1] + HOUR
        spans = [
            billing.span
            for billing, _ in of_period
            if billing.state is not PeriodState.FINALISED
            and (self.desk.catalog.needs_whole_period or self._of_period(billing))
        ]
        start = min([start, *(span.first_hour for span in spans)])
        return list(self.desk.tables.hours.between(self.account.customer.customer_id, start, end))


def _periods(account: Account, hours: Iterable[datetime]) -> list[tuple[BillingPeriod, list[datetime]]]:
    """Part a day's hours by the one or two periods to which they belong; hours before the first have none.

    Where there is no subscription any more, only the periods that it had are billed.
    """
    found: dict[datetime, tuple[BillingPeriod, list[datetime]]] = {}
    for hour in hours:
        billing = account.period_at(hour)
        if billing is not None and account.is_billed(billing):
            found.setdefault(billing.start, (billing, []))[1].append(hour)
    return [found[start] for start in sorted(found)]
