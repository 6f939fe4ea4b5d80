"""The current period of a customer, as its page shows it.

A pure function of hours, terms and the present; reading them is `usage_query.live`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from metering.core.accounts import BillingPeriod
from metering.core.alerts import SILENT_AFTER
from metering.core.answers import (
    Alert,
    CurrentPeriod,
    EstimatedInvoice,
    InstanceState,
    InvoiceLine,
    MeterUsage,
    PeriodSpan,
    PlanLimits,
)
from metering.core.billable import EXACT, all_contributions
from metering.core.catalog import Basis, Catalog, Meter, Price, Terms
from metering.core.contract import Report
from metering.core.forecast import METHODS, forecast, last_value
from metering.core.periods import SECOND, Period, hour_of
from metering.core.rating import BASE_FEE, Line, invoice_total, quantities, rate
from metering.core.rollup import Hour
from usage_query.days import daily_breakdown
from usage_query.flags import flags_of

ESTIMATE_METHOD = "usage so far at the period's prices, before discounts and tax; GB means 2^30 bytes"


def current_period(
    customer_id: str,
    billing: BillingPeriod,
    hours: Sequence[Hour],
    instances: Sequence[InstanceState],
    catalog: Catalog,
    now: datetime,
    as_of: datetime,
    alerts: Sequence[Alert] = (),
) -> CurrentPeriod:
    """Build the page's answer.

    Parameters
    ----------
    customer_id, billing
        Whose period, its bounds and plan.
    hours
        The period's hours, in order.
    instances
        The customer's instances with their newest reports.
    catalog
        The meters and prices.
    now, as_of
        The present, and the instant up to which everything accepted is in the hours.
    alerts
        What was told in this period, newest first.
    """
    span, terms = billing.span, billing.terms(catalog)
    contributed = all_contributions(catalog, hours, span)
    used = quantities(contributed)
    forecasts = {
        name: forecast(meter, contributed[name], hours, span, now) for name, meter in catalog.meters.items()
    }
    lines = {line.meter: line for line in rate(used, terms)}
    meters = [
        _meter_usage(name, meter, terms.meters[name], lines[name], hours, forecasts[name])
        for name, meter in catalog.meters.items()
    ]
    levels = {meter.name: meter.current for meter in meters}
    return CurrentPeriod(
        customer_id=customer_id,
        plan=billing.plan,
        active_devices=levels["devices"],
        mqtt_gb=levels["mqtt_traffic"],
        http_gb=levels["http_traffic"],
        storage_gb=levels["storage"],
        api_calls=levels["api_calls"] * catalog.meters["api_calls"].unit_size,
        plan_limits=_plan_limits(terms, catalog),
        daily_breakdown=daily_breakdown(hours, contributed, catalog, span, now),
        period=PeriodSpan(start=span.start, end=span.end, elapsed=_elapsed(span, now)),
        as_of=as_of.replace(microsecond=0),
        server_time=now.replace(microsecond=0),
        meters=meters,
        estimated_invoice=_estimate(lines, forecasts, terms, catalog),
        alerts=list(alerts),
        instances=list(instances),
        flags=flags_of(hours, span, len(instances), catalog, now),
    )


def instance_states(known: Iterable[str], recent: Iterable[Report], now: datetime) -> list[InstanceState]:
    """Tell each instance's newest report; one that has reported, but not for three hours, is silent.

    One that never reported is not: it has not begun.
    """
    newest: dict[str, datetime] = {}
    for report in recent:
        seen = newest.get(report.instance_id, report.observed_until)
        newest[report.instance_id] = max(seen, report.observed_until)
    return [
        InstanceState(
            id=instance,
            last_report_at=newest.get(instance),
            silent=instance in newest and newest[instance] < now - SILENT_AFTER,
        )
        for instance in sorted({*known, *newest})
    ]


def _meter_usage(
    name: str,
    meter: Meter,
    price: Price,
    line: Line,
    hours: Sequence[Hour],
    projected: Decimal | None,
) -> MeterUsage:
    current = line.quantity if meter.basis is Basis.SUM else last_value(meter, hours)
    return MeterUsage(
        name=name,
        label=meter.label,
        unit=meter.unit,
        basis=meter.basis.value,
        current=current,
        billable=line.quantity,
        included=price.included,
        percent=_percent(line.quantity, price.included),
        overage=line.overage,
        overage_price=price.overage,
        overage_amount=line.amount,
        forecast=projected,
        forecast_method=METHODS[meter.basis] if projected is not None else "too early",
    )


def _estimate(
    lines: Mapping[str, Line], forecasts: Mapping[str, Decimal | None], terms: Terms, catalog: Catalog
) -> EstimatedInvoice:
    labels = {BASE_FEE: f"{terms.label}, monthly fee"} | {n: m.label for n, m in catalog.meters.items()}
    known = {name: value for name, value in forecasts.items() if value is not None}
    return EstimatedInvoice(
        currency=catalog.currency,
        lines=[
            InvoiceLine(name=line.meter, label=labels[line.meter], quantity=line.quantity, amount=line.amount)
            for line in lines.values()
        ],
        total=invoice_total([*lines.values()]),
        forecast_total=invoice_total(rate(known, terms)) if len(known) == len(forecasts) else None,
        method=ESTIMATE_METHOD,
    )


def _plan_limits(terms: Terms, catalog: Catalog) -> PlanLimits:
    included = {name: price.included for name, price in terms.meters.items()}
    calls = included["api_calls"]
    return PlanLimits(
        max_devices=included["devices"],
        mqtt_gb=included["mqtt_traffic"],
        http_gb=included["http_traffic"],
        storage_gb=included["storage"],
        api_calls=None if calls is None else calls * catalog.meters["api_calls"].unit_size,
    )


def _elapsed(span: Period, now: datetime) -> Decimal:
    passed = min(max(hour_of(now) - span.start, timedelta(0)), span.end - span.start)
    return EXACT.divide(Decimal(passed // SECOND), Decimal(span.seconds)).quantize(Decimal("0.0001"))


def _percent(used: Decimal, included: Decimal | None) -> Decimal | None:
    if not included:
        return None
    return EXACT.divide(EXACT.multiply(used, Decimal(100)), included).quantize(Decimal("0.1"), context=EXACT)
