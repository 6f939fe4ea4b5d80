"""The current period of a customer, or the last or the coming one, as its page shows it.

A pure function of hours, terms and the present; reading them is `usage_query.live`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from metering.core.alerts import SILENT_AFTER
from metering.core.answers import (
    AdjustmentMade,
    CurrentPeriod,
    EstimatedInvoice,
    Flag,
    InstanceState,
    InvoiceLine,
    MeterUsage,
    PeriodSpan,
    ToldAlert,
)
from metering.core.catalog import Meter, Price
from metering.core.contract import Report
from metering.core.exact import EXACT
from metering.core.forecast import Forecast, last_value
from metering.core.instants import SECOND, hour_of
from metering.core.periods import Period
from metering.core.rating import BASE_FEE, Line
from metering.core.usage import PeriodUsage
from usage_query.days import daily_breakdown
from usage_query.flags import ended, flags_of, not_begun
from usage_query.original import known_figures, plan_limits

ESTIMATE_METHOD = "usage so far at the period's prices, before discounts and tax; GB means 2^30 bytes"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a page shows beside a period's usage.

    ``as_of`` is the instant up to which everything accepted is in the hours; ``instances`` are those the
    customer has now, ``alerts`` what was told in the period, newest first. ``ended_at`` is set when the
    period is the last one of a subscription that has ended, ``begins_at`` when it is still to come.
    ``unbilled`` says what of the past is on no invoice.
    """

    customer_id: str
    as_of: datetime
    instances: Sequence[InstanceState] = ()
    alerts: Sequence[ToldAlert] = ()
    ended_at: datetime | None = None
    begins_at: datetime | None = None
    unbilled: Sequence[Flag] = ()


def current_period(usage: PeriodUsage, standing: Standing, now: datetime) -> CurrentPeriod:
    """Build the page's answer of a period at a present."""
    span, terms, catalog = usage.span, usage.terms, usage.catalog
    projected = usage.forecast(now)
    lines = {line.meter: line for line in usage.lines}
    meters = [
        _meter_usage(name, meter, usage, lines.get(name), projected.quantities[name])
        for name, meter in catalog.shown(terms).items()
    ]
    return CurrentPeriod(
        **known_figures({meter.name: meter.current for meter in meters}, catalog),
        customer_id=standing.customer_id,
        plan=usage.billing.plan,
        plan_limits=plan_limits(terms, catalog),
        daily_breakdown=daily_breakdown(usage, now),
        period=PeriodSpan(start=span.start, end=span.end, elapsed=_elapsed(span, now)),
        ended_at=standing.ended_at,
        begins_at=standing.begins_at,
        as_of=standing.as_of.replace(microsecond=0),
        server_time=now.replace(microsecond=0),
        meters=meters,
        estimated_invoice=_estimate(usage, projected),
        adjustments=_adjustments(usage),
        alerts=list(standing.alerts),
        instances=list(standing.instances),
        flags=_flags(usage, standing, now),
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


def _flags(usage: PeriodUsage, standing: Standing, now: datetime) -> list[Flag]:
    """Return what a reader must know: first of all, when the period is not the present one."""
    if standing.begins_at is not None:
        return [not_begun(standing.begins_at), *standing.unbilled]
    of_hours = flags_of(usage, len(standing.instances), now)
    first = [] if standing.ended_at is None else [ended(standing.ended_at)]
    return [*first, *standing.unbilled, *of_hours]


def _meter_usage(
    name: str, meter: Meter, usage: PeriodUsage, line: Line | None, projected: Decimal | None
) -> MeterUsage:
    """Return a meter's figures; one that the period does not sell has no line, no price and no limit."""
    price = usage.terms.meters.get(name, Price(unlimited=True))
    used = usage.quantities[name]
    return MeterUsage(
        name=name,
        label=meter.label,
        unit=meter.unit,
        basis=meter.basis.value,
        sold=line is not None,
        current=last_value(meter, usage.hours) if meter.basis.is_level else used,
        billable=used if line is not None else Decimal(0),
        included=price.included,
        percent=_percent(used, price.included),
        overage=line.overage if line is not None else Decimal(0),
        overage_price=price.overage,
        overage_amount=line.amount if line is not None else Decimal(0),
        forecast=projected,
        forecast_method=meter.basis.forecast_method if projected is not None else "too early",
    )


def _adjustments(usage: PeriodUsage) -> list[AdjustmentMade]:
    return [
        AdjustmentMade(
            meter=made.meter,
            quantity=made.quantity,
            unapplied=usage.unapplied.get(made.number, Decimal(0)),
            first_hour=made.first_hour,
            last_hour=made.last_hour,
            reason=made.reason,
            who=made.who,
            at=made.at,
        )
        for made in usage.adjustments
    ]


def _estimate(usage: PeriodUsage, projected: Forecast) -> EstimatedInvoice:
    labels: Mapping[str, str] = {BASE_FEE: f"{usage.terms.label}, monthly fee"} | {
        name: meter.label for name, meter in usage.catalog.meters.items()
    }
    return EstimatedInvoice(
        currency=usage.catalog.currency,
        lines=[
            InvoiceLine(name=line.meter, label=labels[line.meter], quantity=line.quantity, amount=line.amount)
            for line in usage.lines
        ],
        total=usage.total,
        forecast_total=projected.total,
        method=ESTIMATE_METHOD,
    )


def _elapsed(span: Period, now: datetime) -> Decimal:
    """Return the share that has passed, by full hours; of a period that was cut short, of what it was."""
    if span.end <= now:
        return Decimal(1)
    passed, whole = max(hour_of(now) - span.start, timedelta(0)), span.end - span.start
    return EXACT.divide(Decimal(passed // SECOND), Decimal(whole // SECOND)).quantize(Decimal("0.0001"))


def _percent(used: Decimal, included: Decimal | None) -> Decimal | None:
    """Return the share of an allowance, rounded down as alerts do: it is 100 once all of it is used."""
    if not included:
        return None
    share = EXACT.divide(EXACT.multiply(used, Decimal(100)), included)
    return share.quantize(Decimal("0.1"), ROUND_DOWN, EXACT)
