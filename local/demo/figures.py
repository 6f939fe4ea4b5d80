"""The figures of each stage, collected from where each stage keeps them, and compared."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import httpx
import stripe

from local.demo.customer import DemoCustomer
from local.demo.story import Truth
from metering.core.billable import all_contributions
from metering.core.catalog import builtin_catalog
from metering.core.contract import Report
from metering.core.instants import HOUR, day_of
from metering.core.periods import Period
from metering.core.rating import BASE_FEE, quantities
from metering.core.reconcile import TOLERANCE
from metering.core.rollup import Hour
from metering.core.stripe_names import event_name
from metering.tables.tables import Tables

_MS = 1000


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric: the source's own truth, the sum of the reports, the sum of the hours."""

    metric: str
    shown: str
    truth: int | range
    reports: int
    hours: int

    @property
    def agrees(self) -> bool:
        """Whether reports are hours, and both are the truth or within its bounds."""
        inside = self.reports in self.truth if isinstance(self.truth, range) else self.reports == self.truth
        return inside and self.reports == self.hours


@dataclass(frozen=True, slots=True)
class MeterRow:
    """One meter in its units: contributions, ledger, Stripe's summaries; and what both would invoice."""

    meter: str
    contributions: Decimal
    ledger: Decimal
    summary: Decimal
    invoiced: Decimal
    invoice_amount: Decimal
    estimate_amount: Decimal

    @property
    def agrees(self) -> bool:
        """Whether every quantity and both amounts are the same."""
        return (
            self.contributions == self.ledger == self.invoiced
            and abs(self.summary - self.ledger) <= TOLERANCE
            and self.invoice_amount == self.estimate_amount
        )


def metric_rows(
    truth: Truth, tables: Tables, span: tuple[datetime, datetime], customer_id: str
) -> list[MetricRow]:
    """Compare what the sources showed with reports and hours."""
    reports = list(tables.reports.between(customer_id, *span))
    hours = list(tables.hours.between(customer_id, *span))
    rows = [
        MetricRow(metric, "amount", amount, _amount(metric, reports), _amount(metric, hours))
        for metric, amount in sorted(truth.exact().items())
    ]
    for metric, bounds in (("active_devices", truth.active_devices), ("total_devices", truth.total_devices)):
        seconds = range(bounds.least // _MS, bounds.greatest // _MS + 2)
        sums = _integral(metric, reports), _integral(metric, hours)
        rows.append(MetricRow(metric, "value x seconds", seconds, *sums))
    last = {
        "active_devices": truth.levels.active_devices,
        "total_devices": truth.levels.total_devices,
        "postgres_size_bytes": truth.levels.size_bytes,
    }
    for metric, level in last.items():
        rows.append(MetricRow(metric, "last", level, _last(metric, reports), _last(metric, hours)))
    return rows


def meter_rows(
    tables: Tables,
    customer: DemoCustomer,
    client: stripe.StripeClient,
    api_url: str,
    period: Period,
    customer_id: str,
) -> list[MeterRow]:
    """Compare hours, ledger and Stripe for every meter, and the base fee, of the period."""
    catalog = builtin_catalog()
    hours = list(tables.hours.between(customer_id, period.first_hour, period.end_hour))
    contributed = quantities(all_contributions(catalog, hours, period))
    ledger = _ledger(tables, {day_of(hour.start) for hour in hours}, customer_id)
    invoice = _preview(client, customer)
    estimate = _estimate(api_url, customer)
    meters = {meter.event_name: meter.id for meter in client.v1.billing.meters.list({"limit": 100}).data}
    rows = []
    for name in catalog.meters:
        summary = _summary(client, meters[event_name(name)], customer, hours)
        quantity, amount = invoice.get(name, (Decimal(0), Decimal(0)))
        rows.append(
            MeterRow(name, contributed[name], ledger[name], summary, quantity, amount, estimate[name])
        )
    fee, fee_amount = invoice.get(BASE_FEE, (Decimal(0), Decimal(0)))
    one = Decimal(1)
    return [*rows, MeterRow(BASE_FEE, one, one, one, fee, fee_amount, estimate[BASE_FEE])]


def covered_span(now: datetime) -> tuple[datetime, datetime]:
    """Hours that a demo can have touched: a day back, to include everything."""
    return now - timedelta(days=1), now + HOUR


def _amount(metric: str, kept: Iterable[Report | Hour]) -> int:
    return sum(one.counters.get(metric, 0) for one in kept)


def _integral(metric: str, kept: Iterable[Report | Hour]) -> int:
    return sum(one.gauges[metric].integral for one in kept if metric in one.gauges)


def _last(metric: str, kept: Iterable[Report | Hour]) -> int:
    levels = [one.gauges[metric].last for one in kept if metric in one.gauges]
    return levels[-1] if levels else -1


def _ledger(tables: Tables, days: Iterable[date], customer_id: str) -> Mapping[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for day in days:
        for (meter, _hour), entry in tables.ledger.day(customer_id, day).entries.items():
            sums[meter] += entry.value
    return sums


def _summary(
    client: stripe.StripeClient, meter_id: str, customer: DemoCustomer, hours: list[Hour]
) -> Decimal:
    if not hours:
        return Decimal(0)
    summaries = client.v1.billing.meters.event_summaries.list(
        meter_id,
        {
            "customer": customer.stripe_customer_id,
            "start_time": int(hours[0].start.timestamp()),
            "end_time": int((hours[-1].start + HOUR).timestamp()),
            "value_grouping_window": "hour",
            "limit": 100,
        },
    )
    return sum((Decimal(str(row.aggregated_value)) for row in summaries.auto_paging_iter()), Decimal(0))


def _preview(client: stripe.StripeClient, customer: DemoCustomer) -> Mapping[str, tuple[Decimal, Decimal]]:
    """Quantity and dollars of each meter and the fee; tiers come as several lines of one price."""
    names = {
        item.price.id: str(item.price.lookup_key).split(".")[1]
        for item in client.v1.subscription_items.list(
            {"subscription": customer.stripe_subscription_id, "limit": 100}
        ).data
    }
    preview = client.v1.invoices.create_preview({"subscription": customer.stripe_subscription_id})
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for line in preview.lines.data:
        assert line.pricing is not None
        assert line.pricing.price_details is not None
        name = names[str(line.pricing.price_details.price)]
        quantity, amount = sums.get(name, (Decimal(0), Decimal(0)))
        sums[name] = quantity + Decimal(str(line.quantity_decimal)), amount + Decimal(line.amount) / 100
    return sums


def _estimate(api_url: str, customer: DemoCustomer) -> Mapping[str, Decimal]:
    answer = httpx.get(
        f"{api_url}/api/billing/usage/current-period",
        headers={"Authorization": f"Bearer {customer.key}"},
        timeout=30,
    )
    answer.raise_for_status()
    return {line["name"]: Decimal(line["amount"]) for line in answer.json()["estimated_invoice"]["lines"]}
