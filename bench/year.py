"""A simulated year of a fleet, hour by hour, over the deployed code and tables in memory.

Every customer is followed by itself: its instances report each hour, one report in a hundred comes late (by
hours, or by weeks: after the invoice), now and then a journal is lost in the middle of an hour. Each night
dirty hours are recomputed and unsent days reported; a day after a period's end its invoice is final with what
Stripe was sent, and the plan may change; late usage is billed at each month's end, and then conservation must
hold: of what the instances used, the hours; of the hours, contributions, ledger, invoices and late items.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from aggregate.conservation import Part, conserve
from aggregate.recompute import recompute
from bench.traffic import Delivery, Traffic
from ingest.accept import accept
from metering.aws.web import Identity
from metering.core.accounts import Account, BillingPeriod, Customer, PeriodState
from metering.core.billable import quantity
from metering.core.billed import billed_of
from metering.core.instances import Instance
from metering.core.instants import DAY, HOUR
from metering.core.late_usage import LateItem, late_usage
from metering.core.usage import PeriodUsage
from metering.tables.ledger import SENT, EntryState
from metering.tables.shards import shard_of
from metering.tables.tables import Tables
from stripe_report.desk import Desk
from stripe_report.report import report_customer
from testing.dynamodb import FakeDynamoDb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from metering.core.catalog import Catalog
    from metering.core.conservation import Difference

NIGHT = timedelta(minutes=20)
"""When the night's work runs, after midnight: hours are settled a quarter of an hour after their end."""
FINAL_AFTER = timedelta(days=1)
STILL_MOVES = timedelta(days=75)
"""For how long a period's usage may still change: a report is late by 40 days at most, a month is 31."""
PLAN_CHANGES_ONE_IN = 5
PLANS = ("starter@1", "professional@1")
# Days that short months lack, full hours and odd ones; None has no Stripe and calendar months.
ANCHORS = ((1, 0, 0, 0), (15, 9, 0, 0), (28, 23, 0, 0), (29, 0, 0, 0), (30, 12, 34, 56), (31, 6, 0, 0), None)


class NotConservedError(Exception):
    """Usage was lost or made up; the text names where."""


@dataclass(slots=True)
class Figures:
    """What a run did."""

    customers: int = 0
    hours: int = 0
    reports: int = 0
    late_reports: int = 0
    recomputed: int = 0
    events: int = 0
    invoices: int = 0
    plan_changes: int = 0
    late_items: int = 0
    conservation_checks: int = 0
    hours_compared: int = 0
    items: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, row.name) + getattr(other, row.name) for row in fields(self)))


@dataclass
class _Stripe:
    """Takes every event and keeps what an hourly meter keeps: each hour's last."""

    events: int = 0
    kept: dict[tuple[str, datetime], Decimal] = field(default_factory=dict)

    def send(self, events: Sequence[Any]) -> dict[str, EntryState]:
        self.events += len(events)
        for event in events:
            self.kept[event.event_name, event.timestamp] = event.value
        return {event.identifier: SENT for event in events}


@dataclass
class Life:
    """One customer's year."""

    number: int
    catalog: Catalog
    begin: datetime
    end: datetime
    seed: int = 0
    figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed * 100_003 + self.number)  # noqa: S311  a simulation
        self.stripe = _Stripe()
        self.client = FakeDynamoDb()
        fake: Any = self.client
        self.tables = tables = Tables.plain(fake)
        self.customers, self.markers, self.hours = tables.customers, tables.markers, tables.hours
        at = ANCHORS[self.number % len(ANCHORS)]
        anchor = None if at is None else datetime(self.begin.year, self.begin.month, *at, tzinfo=UTC)
        self.customer = Customer(
            customer_id=f"cust_{self.number:04}",
            name=f"Customer {self.number}",
            plan=self.chance.choice(PLANS),
            anchor=anchor,
            stripe_customer_id=f"cus_{self.number}" if anchor else None,
            stripe_subscription_id=f"sub_{self.number}" if anchor else None,
        )
        self.customers.add(self.customer)
        names = [f"instance-{n}" for n in range(1 + (self.number % 10 == 0))]
        for name in names:
            instance = Instance(customer_id=self.customer.customer_id, instance_id=name, digests=("0" * 64,))
            self.tables.instances.put(instance)
        self.traffic = Traffic(self.customer.customer_id, names, self.chance)
        self.used: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def live(self) -> Figures:
        """Live the whole span, checking conservation at each month's end.

        Raises
        ------
        NotConservedError
            Where usage was lost or made up.
        """
        first = max(self.begin, (self.customer.anchor or self.begin).replace(minute=0, second=0))
        waiting: list[Delivery] = []
        today = self.begin
        while today < self.end:
            tomorrow = today + DAY
            for hour in _hours(max(today, first), tomorrow):
                self.figures.hours += 1
                waiting += self.traffic.of_hour(hour)
            now = tomorrow + NIGHT
            waiting = self._deliver(waiting, now)
            self._night(now)
            if tomorrow.month != today.month or tomorrow >= self.end:
                self._month_end(now)
            today = tomorrow
        self.figures.customers += 1
        self.figures.events += self.stripe.events
        self.figures.items += sum(
            len(self.client.items(table)) for table in ("customers", "reports", "markers", "hours", "ledger")
        )
        return self.figures

    def _deliver(self, waiting: list[Delivery], now: datetime) -> list[Delivery]:
        for delivery in waiting:
            if delivery.arrives <= now:
                identity = Identity(self.customer.customer_id, delivery.instance, "instance")
                done = accept(delivery.body, identity, now, self.tables)
                self.figures.reports += 1
                self.figures.late_reports += delivery.late
                used = self.used[done.report.window_start.month]
                for metric, amount in done.report.counters.items():
                    used[metric] += amount
                for metric, level in done.report.gauges.items():
                    used[metric] += level.integral
        return [delivery for delivery in waiting if delivery.arrives > now]

    def _night(self, now: datetime) -> None:
        """Open periods that began, recompute, report, and make invoices final whose time has come."""
        self._open_period(now - DAY)
        self._open_period(now)
        for marker in list(self.markers.dirty(shard_of(self.customer.customer_id))):
            recompute(marker.customer_id, marker.hour, now, self.tables, self.catalog)
            self.figures.recomputed += 1
        gateway: Any = self.stripe
        desk = Desk(self.tables, lambda: gateway, self.catalog)
        report_customer(desk, self.customer.customer_id, now, include_open=False)
        for billing in self.customers.periods(self.customer.customer_id):
            if billing.state is PeriodState.OPEN and billing.end + FINAL_AFTER <= now:
                self._finalise(billing)

    def _open_period(self, instant: datetime) -> None:
        customer = self.customer
        stored = self.customers.periods(customer.customer_id)
        billing = Account(customer, (), tuple(stored)).period_at(instant.replace(minute=0))
        if billing is None or any(billing.start == known.start for known in stored):
            return
        if stored and self.chance.randrange(PLAN_CHANGES_ONE_IN) == 0:
            plan = PLANS[1 - PLANS.index(customer.plan)]
            self.customer = customer.model_copy(update={"plan": plan})
            self.customers.replace(customer, self.customer)
            billing = billing.on_plan(plan, billing.override, self.catalog)
            self.figures.plan_changes += 1
        self.customers.add_period(customer.customer_id, billing)

    def _finalise(self, billing: BillingPeriod) -> None:
        """The invoice has what Stripe was sent for the period's hours by now."""
        if self.customer.stripe_customer_id is None:
            return
        invoiced: dict[str, Decimal] = {name: Decimal(0) for name in self.catalog.meters}
        for day in self.tables.ledger.between(
            self.customer.customer_id, billing.span.first_hour.date(), billing.span.end_hour.date()
        ):
            for (meter, hour), entry in day.entries.items():
                if billing.span.has_hour(hour) and entry.state == SENT:
                    invoiced[meter] += entry.value
        final = billing.model_copy(
            update={
                "state": PeriodState.FINALISED,
                "invoice_id": f"in_{billing.start:%Y%m%d}",
                "invoiced": invoiced,
            }
        )
        assert self.customers.replace_period(self.customer.customer_id, billing, final)
        self.figures.invoices += 1

    def _month_end(self, now: datetime) -> None:
        self._bill_late(now)
        customer = self.customer.customer_id
        kept: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        # The oldest report on its way is forty days old, so that months before these have settled.
        since = max(self.begin, (now - STILL_MOVES).replace(day=1, hour=0, minute=0))
        for hour in self.hours.between(customer, since, now):
            of_month = kept[hour.start.month]
            for metric, amount in hour.counters.items():
                of_month[metric] += amount
            for metric, level in hour.gauges.items():
                of_month[metric] += level.integral
        for month, of_month in kept.items():
            if of_month != self.used[month]:
                raise NotConservedError(
                    f"{customer}, month {month}, at {now}: {of_month}, {self.used[month]}"
                )
        self._check_stripe(customer, now)
        found: list[Difference] = []
        parts: list[Part | None] = [None]
        while parts:
            checked = conserve(customer, now, self.tables, self.catalog, parts.pop())
            found += checked.differences
            self.figures.hours_compared += checked.hours
            parts += checked.rest
        self.figures.conservation_checks += 1
        if found:
            raise NotConservedError(f"{customer} at {now}: {found[:5]}")

    def _check_stripe(self, customer_id: str, now: datetime) -> None:
        """Each closed period: what Stripe kept and what was billed late are all its contributions."""
        for billing in self.customers.periods(customer_id):
            if billing.state is not PeriodState.FINALISED or billing.end < now - STILL_MOVES:
                continue
            late = self.tables.late.of_period(customer_id, billing.start)
            for meter, contributed in self._usage(billing).contributions.items():
                billed = sum((item.quantity for item in late if item.meter == meter), Decimal(0))
                if quantity(contributed) != billing.invoiced[meter] + billed:
                    raise NotConservedError(f"{customer_id} at {now}: {meter} of the period {billing.start}")

    def _bill_late(self, now: datetime) -> None:
        customer = self.customer.customer_id
        for billing in self.customers.periods(customer):
            if billing.end < now - STILL_MOVES:
                continue
            items = self.tables.late.of_period(customer, billing.start)
            for late in late_usage(self._usage(billing), billed_of(billing, ()), items):
                item = LateItem(
                    customer_id=customer,
                    period_start=billing.start,
                    number=len(items) + 1,
                    meter=late.meter,
                    quantity=late.quantity,
                    amount=late.amount,
                )
                assert self.tables.late.put(item)
                items.append(item)
                self.figures.late_items += 1

    def _usage(self, billing: BillingPeriod) -> PeriodUsage:
        hours = self.hours.of_period(self.customer.customer_id, billing.span)
        return PeriodUsage(billing, hours, self.catalog)


def simulate(
    customers: range, begin: datetime, end: datetime, catalog: Catalog, seed: int = 0
) -> Iterator[Figures]:
    """Live each customer's span; yield its figures."""
    for number in customers:
        yield Life(number, catalog, begin, end, seed).live()


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += HOUR
