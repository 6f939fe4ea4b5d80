"""A customer, its tables, its Stripe account and a clock: the Stripe half of the system, run by tests.

Everything is the system's own but the storage under the table modules and the wire under the SDK. ``World``
goes from reports (`use`) through the real recomputation to the real worker, and knows what the invoice must
say.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Protocol, cast

import stripe

from aggregate.recompute import recompute
from metering.core.accounts import BillingPeriod, Customer, PeriodState
from metering.core.basis import Basis
from metering.core.billable import Contributions
from metering.core.billed import Billed, billed_of
from metering.core.catalog import Catalog, Override, builtin_catalog
from metering.core.contract import Gauge, Report
from metering.core.exact import EXACT
from metering.core.instances import Instance, secret_digest
from metering.core.instants import HOUR, format_instant
from metering.core.late_usage import LateUsage, late_usage
from metering.core.rating import Line
from metering.core.rollup import rollup
from metering.core.usage import PeriodUsage
from metering.tables.ledger import Entry
from metering.tables.tables import Tables
from ops.customers import add_customer
from ops.stripe_objects import apply, catalog_prices, missing
from ops.subscriptions import subscribe
from stripe_report.desk import Desk
from stripe_report.dispatch import due_closings, due_customers
from stripe_report.events import read_event
from stripe_report.gateway import Gateway
from stripe_report.messages import read
from stripe_report.work import Writer
from stripe_simulator.engine.clock import Clock
from stripe_simulator.engine.state import Settings
from stripe_simulator.serving.account import StripeAccount
from stripe_simulator.serving.faults import Faults
from testing.steps import Steps
from tests.stripe.transport import METER_EVENTS, InProcess, in_process_client

START = datetime(2026, 3, 10, 12, tzinfo=UTC)
CUSTOMER = "acme"
DAY = timedelta(days=1)
GIB = 2**30
GRACE = 72 * HOUR
MADE_BEFORE = timedelta(minutes=1)
TOO_MANY_LOOKS = 500


@cache
def peak_catalog() -> Catalog:
    """The catalogue with devices billed by their peak: all three bases at once."""
    catalog = builtin_catalog()
    devices = catalog.meters["devices"].model_copy(update={"basis": Basis.PEAK})
    return catalog.model_copy(update={"meters": {**catalog.meters, "devices": devices}})


def prepared_account(catalog: Catalog) -> StripeAccount:
    """Return an account with the catalogue's products, meters and prices."""
    account = StripeAccount(Settings(grace_s=int(GRACE.total_seconds())))
    client = in_process_client(InProcess(account, Clock(int(START.timestamp()))))
    prepare(client, catalog)
    return account


def prepare(client: stripe.StripeClient, catalog: Catalog) -> None:
    """Make the catalogue's products, meters and prices, as ``ops stripe sync`` does."""
    for _made in apply(client, missing(client, catalog, list(catalog_prices(catalog)))):
        continue


class Wire(Protocol):
    """What calls go through: faults to come, and how often each call came."""

    @property
    def faults(self) -> Faults:
        """The faults still to come."""

    @property
    def calls(self) -> Counter[str]:
        """Calls counted by method and path."""


@dataclass
class World:
    """One customer on a plan, from its first period on.

    Parameters
    ----------
    catalog, plan, override
        What it pays.
    instances
        How many instances are known.
    account
        Where it has Stripe; a copy of a prepared one.
    """

    catalog: Catalog = field(default_factory=builtin_catalog)
    plan: str = "starter@1"
    override: Override = field(default_factory=Override)
    instances: int = 1
    start: datetime = START
    account: StripeAccount | None = None

    def __post_init__(self) -> None:
        # A subscription that is made within an hour begins at the next full one.
        self.now = self.start - MADE_BEFORE
        self.steps = Steps()
        self.clock = Clock(int(self.now.timestamp()))
        self.dynamodb = self.steps.dynamodb()
        self.stripe, self.wire = self._connected()
        # One meter after the other, so that a seed takes the same steps each time.
        self.gateway = Gateway(self.stripe, parallel=1)
        self.tables = Tables.plain(cast("Any", self.dynamodb))
        self.customers = self.tables.customers
        self.reports = self.tables.reports
        self.markers = self.tables.markers
        self.hours = self.tables.hours
        self.ledger = self.tables.ledger
        self.desk = Desk(self.tables, lambda: self.gateway, self.catalog)
        self.writer = Writer(self.desk)
        self.revisions: dict[tuple[datetime, str], int] = defaultdict(int)
        self.heard = 0
        profile = Customer(
            customer_id=CUSTOMER, name="Acme", plan=self.plan, override=self.override, anchor=self.start
        )
        made = subscribe(self.stripe, profile, self.catalog, self.now)
        add_customer(self.customers, made.customer, made.period, self.catalog)
        for number in range(self.instances):
            digests = (secret_digest(f"secret {number}"),)
            self.tables.instances.put(
                Instance(customer_id=CUSTOMER, instance_id=f"i{number}", digests=digests)
            )
        self.at(self.start)
        self.wire.calls.clear()

    def _connected(self) -> tuple[stripe.StripeClient, Wire]:
        """Return the SDK's client, and what its calls go through."""
        self.account = copy.deepcopy(self.account) if self.account else prepared_account(self.catalog)
        wire = InProcess(self.account, self.clock, self.steps)
        return in_process_client(wire), wire

    # ------------------------------------------------------------------ time

    def at(self, now: datetime) -> "World":
        """Go to an instant; Stripe does what is due until then."""
        assert now >= self.now
        self.now = now
        self.clock.set(int(now.timestamp()))
        assert self.account is not None
        self.account.advance(self.clock.now())
        return self

    def later(self, span: timedelta) -> "World":
        """Go on by a span."""
        return self.at(self.now + span)

    # ------------------------------------------------------------------ usage

    def use(
        self,
        hour: datetime,
        counters: Mapping[str, int] | None = None,
        *,
        devices: int | None = None,
        storage: int | None = None,
        instance: str = "i0",
        final: bool = False,
    ) -> None:
        """Report an hour of an instance anew, and recompute it: amounts replace those of the last report."""
        self.report(hour, counters or {}, devices=devices, storage=storage, instance=instance, final=final)
        self.recompute(hour)

    def report(
        self,
        hour: datetime,
        counters: Mapping[str, int],
        *,
        devices: int | None = None,
        storage: int | None = None,
        instance: str = "i0",
        final: bool = False,
    ) -> None:
        """Report an hour without recomputing it: it stays dirty."""
        self.revisions[hour, instance] += 1
        levels = {"active_devices": devices, "postgres_size_bytes": storage}
        document = Report(
            schema_version=1,
            customer_id=CUSTOMER,
            instance_id=instance,
            window_start=hour,
            state_id="journal",
            revision=self.revisions[hour, instance],
            final=final,
            observed_from=hour,
            observed_until=hour + HOUR,
            agent_version="1.0.0",
            counters=dict(counters),
            gauges={
                name: Gauge(last=level, max=level, integral=level * 3600, seconds=3600)
                for name, level in levels.items()
                if level is not None
            },
            sources={},
        )
        self.reports.put(document)
        self.markers.touch_dirty(CUSTOMER, hour)

    def recompute(self, hour: datetime) -> None:
        """Recompute a dirty hour."""
        recompute(CUSTOMER, hour, self.now, self.tables, self.catalog)

    # ------------------------------------------------------------------ the function's tasks

    def dispatch(self, *, include_open: bool = False) -> int:
        """Do the schedule's dispatch and work its messages off; return how many there were."""
        return self.work(due_customers(self.markers, include_open=include_open))

    def close(self) -> int:
        """Do the schedule's looks at periods; return how many there were."""
        return self.work(due_closings(self.tables.closings, self.now))

    def reconcile(self, *, fix: bool = True) -> list[dict[str, Any]]:
        """Reconcile the present period as the operator does; return the rows that differ."""
        rows = self.writer.reconcile(CUSTOMER, None, self.now, fix=fix)["rows"]
        return cast("list[dict[str, Any]]", rows)

    def work(self, messages: Iterable[Any]) -> int:
        """Work messages off in order."""
        all_work = [read(work.model_dump_json()) for work in messages]
        for work in all_work:
            self.writer.work(work, self.now)
        return len(all_work)

    def events(self) -> list[dict[str, Any]]:
        """Return all of Stripe's events as the partner bus delivers them, oldest first."""
        assert self.account is not None
        state = self.account.state
        thin = [
            {name: value for name, value in event.items() if name != "data"} for event in state.thin_events
        ]
        return [partner_event(event) for event in [*state.events, *thin]]

    def hear(self, *events: dict[str, Any]) -> int:
        """Hear events and work off what they lead to; return how many messages they made."""
        return sum(self.work(read_event(event, self.gateway.reader).work) for event in events)

    def settle(self) -> None:
        """Let faults end, and run the schedules until the period's invoice is final and written down."""
        self.wire.faults.clear()
        self.steps.live_on()
        for hour in [marker.hour for marker in self.markers.dirty_of(CUSTOMER)]:
            self.recompute(hour)
        period = self.period()
        self.at(max(self.now, period.end))
        for _ in range(TOO_MANY_LOOKS):
            self.dispatch()
            self.close()
            if self.period().state is PeriodState.FINALISED:
                return
            self.at(max(min(self.looks()), self.now + timedelta(seconds=1)))
        raise AssertionError("the period was never finalised")

    def looks(self) -> list[datetime]:
        """Return when the calendar wants the first period to be looked at."""
        items = self.dynamodb.items("customers")
        keys = [i["sk"]["S"].split("#") for i in items if i["pk"]["S"].startswith("closing#")]
        return [datetime.fromisoformat(at) for at, _, start in keys if start == format_instant(self.start)]

    # ------------------------------------------------------------------ what must come out

    def period(self) -> BillingPeriod:
        """Return the first period as stored."""
        return self.customers.periods(CUSTOMER)[0]

    def usage(self, billing: BillingPeriod) -> PeriodUsage:
        """Return a period's usage by all reports, computed from them alone."""
        span = billing.span
        by_hour: dict[datetime, list[Report]] = defaultdict(list)
        for report in self.reports.between(CUSTOMER, span.first_hour, span.end_hour):
            by_hour[report.window_start].append(report)
        hours = [rollup(hour, reports) for hour, reports in sorted(by_hour.items())]
        adjustments = self.tables.adjustments.of_period(CUSTOMER, billing.start)
        return PeriodUsage(billing, hours, self.catalog, adjustments)

    def billed(self, billing: BillingPeriod) -> Billed:
        """Return what a period's invoices say, as it was written down."""
        return billed_of(billing, self.tables.invoices.of_period(CUSTOMER, billing.start))

    def late(self, billing: BillingPeriod) -> list[LateUsage]:
        """Return a period's late usage, nothing of which was billed yet."""
        return late_usage(self.usage(billing), self.billed(billing))

    def contributions(self) -> Contributions:
        """Return the first period's contributions, computed from all reports alone."""
        return self.usage(self.period()).contributions

    def estimate(self) -> list[Line]:
        """Rate the rolled-up usage of the first period."""
        return list(self.usage(self.period()).lines)

    def entries(self, meter: str) -> dict[datetime, Entry]:
        """Return a meter's newest entries in the ledger, by hour."""
        span = self.period().span
        days = self.ledger.between(CUSTOMER, span.start.date(), span.end.date())
        return {hour: entry for day in days for (name, hour), entry in day.entries.items() if name == meter}

    def stripe_total(self, meter: str) -> Decimal:
        """Return what Stripe's summaries say of the first period."""
        customer = self.customers.customer(CUSTOMER)
        assert customer is not None
        assert customer.stripe_customer_id is not None
        span = self.period().span
        hourly = self.gateway.reader.hourly(
            meter, customer.stripe_customer_id, span.first_hour, span.end_hour
        )
        return sum(hourly.values(), Decimal(0))

    def usage_total(self, meter: str) -> Decimal:
        """Return the sum of a meter's contributions."""
        return sum(self.contributions()[meter].values(), Decimal(0))

    def ledger_total(self, meter: str) -> Decimal:
        """Return the sum of what the ledger says."""
        return sum((entry.value for entry in self.entries(meter).values()), Decimal(0))

    def events_sent(self) -> int:
        """Return how many meter events were posted so far."""
        return self.wire.calls[METER_EVENTS]

    def invoice_lines(self, invoice: stripe.Invoice, price_key: Mapping[str, str]) -> list[Line]:
        """Return an invoice's lines as ours, the tiers of one price added up."""
        return lines_of(invoice, price_key)

    def final_invoice(self) -> stripe.Invoice:
        """Return the invoice that the first period became."""
        invoice_id = self.period().invoice_id
        assert invoice_id is not None
        return self.stripe.v1.invoices.retrieve(invoice_id)

    def price_names(self) -> dict[str, str]:
        """Return what each price is of: a meter or the fee, by its lookup key."""
        assert self.account is not None
        return {price.id: str(price.lookup_key).split(".")[1] for price in self.account.state.prices.values()}


def lines_of(invoice: stripe.Invoice, price_names: Mapping[str, str]) -> list[Line]:
    """Return a Stripe invoice's lines as ours: one for each price, its tiers added up."""
    found: dict[str, list[tuple[Decimal, Decimal]]] = {}
    for line in invoice.lines.auto_paging_iter():
        assert line.pricing is not None
        assert line.pricing.price_details is not None
        amount = Decimal(line.amount).scaleb(-2)
        name = price_names[str(line.pricing.price_details.price)]
        found.setdefault(name, []).append((Decimal(str(line.quantity_decimal)), amount))
    return [
        Line(
            name,
            sum((quantity for quantity, _ in rows), Decimal(0)),
            Decimal(0),
            EXACT.add(Decimal("0.00"), sum((amount for _, amount in rows), Decimal(0))),
        )
        for name, rows in found.items()
    ]


def partner_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event of Stripe's as it arrives on the partner event bus."""
    return {
        "version": "0",
        "id": f"bus-{event['id']}",
        "detail-type": event["type"],
        "source": "aws.partner/stripe.com/ed_test_61SimulatedDestination",
        "account": "123456789012",
        "time": "2026-03-10T12:00:00Z",
        "region": "us-east-1",
        "resources": [
            "arn:aws:events:us-east-1::event-source/aws.partner/stripe.com/ed_test_61SimulatedDestination"
        ],
        "detail": event,
    }
