"""Alerts: what a customer is told when its usage nears a limit or an instance falls silent.

Pure: quantities, forecasts and last reports in, alerts out. Whether an alert was told before is the table's
business (`metering.tables.alerts`): its key says what it is about, so the same crossing is always the same
alert. Source: docs/billing.md#alerts.

Invariants, each with a test in ``tests/unit/test_alerts.py``: an unlimited meter never alerts; an alert's id
depends on neither the moment nor the quantity; nothing is told of a threshold that was not reached.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from metering.core import alert_texts
from metering.core.accounts import Customer
from metering.core.catalog import Meter, MeterName, Price, Terms
from metering.core.contract import Id
from metering.core.exact import EXACT
from metering.core.forecast import Forecast
from metering.core.instants import FullHour, Instant, format_instant, hour_of
from metering.core.usage import PeriodUsage

SILENT_AFTER = timedelta(hours=3)
"""An instance whose newest report covers nothing younger than this is silent."""

PERCENT = 100
_BUDGET = "_budget"
"""In a key, the place of the meter; no meter's name begins so."""


class AlertKind(StrEnum):
    """What an alert is about."""

    USAGE = "usage"
    """A percentage of an allowance is used."""
    OVERAGE = "overage"
    """The first unit beyond the allowance."""
    FORECAST = "forecast"
    """At the present pace the allowance will not last."""
    BUDGET = "budget"
    """The estimated invoice has reached a percentage of the customer's own budget."""
    BUDGET_FORECAST = "budget_forecast"
    """At the present pace the invoice will reach the budget."""
    SILENT = "silent"
    """An instance has stopped reporting."""
    BACK = "back"
    """An instance that was silent reports again."""


class Alert(BaseModel):
    """One alert of one customer, with the text for people.

    ``period`` is the start of the period it is about, ``threshold`` a percentage; ``instance_id`` and
    ``last_hour`` (the hour of the last report before the silence) belong to silence. ``at`` is when it arose.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_id: Id
    kind: AlertKind
    period: Instant | None = None
    meter: MeterName | None = None
    threshold: int | None = None
    instance_id: Id | None = None
    last_hour: FullHour | None = None
    message: str
    at: Instant

    @property
    def key(self) -> str:
        """What the alert is about, within its customer: the same crossing always has the same key."""
        if self.period is None:
            assert self.last_hour is not None
            return f"{self.kind}#{self.instance_id}#{format_instant(self.last_hour)}"
        match self.kind:
            case AlertKind.USAGE | AlertKind.BUDGET:
                threshold = f"{self.threshold}"
            case AlertKind.BUDGET_FORECAST:
                threshold = AlertKind.FORECAST
            case _:
                threshold = self.kind
        return f"{format_instant(self.period)}#{self.meter or _BUDGET}#{threshold}"

    @property
    def alert_id(self) -> str:
        """The id by which receivers know that they have seen an alert before."""
        return f"{self.customer_id}#{self.key}"


class LastReport(NamedTuple):
    """An instance's newest report: its hour, and until when it observed."""

    hour: datetime
    until: datetime


class _Standing(NamedTuple):
    """Where a meter stands: what is used, and what it will be; None is too early to tell."""

    used: Decimal
    forecast: Decimal | None


class _Crossing(NamedTuple):
    """A threshold that was reached, of a meter or, where that is None, of the budget; and its text."""

    kind: AlertKind
    meter: str | None
    threshold: int | None
    message: str


def has_limits(customer: Customer, terms: Terms) -> bool:
    """Tell whether anything a customer uses in a period could raise an alert."""
    return customer.budget is not None or not all(price.unlimited for price in terms.meters.values())


def usage_alerts(customer: Customer, usage: PeriodUsage, now: datetime) -> list[Alert]:
    """Return an alert for every threshold that a period's usage or forecast has reached.

    Of a period that is over nothing is forecast, and the texts say which one they are about.

    Parameters
    ----------
    customer
        Whose thresholds (percentages) and budget (dollars, before discounts and tax) count.
    usage
        The period: what was used, and what it is going to be.
    now
        The present, at which the alerts arise.
    """
    billing, catalog = usage.billing, usage.catalog
    context = alert_texts.Context(usage.terms.label, billing.end, catalog.currency)
    over = billing.end <= now
    found = _crossings(customer, usage, None if over else usage.forecast(now), context)
    return [
        Alert(
            customer_id=customer.customer_id,
            kind=one.kind,
            period=billing.start,
            meter=one.meter,
            threshold=one.threshold,
            message=alert_texts.of_ended(one.message, context) if over else one.message,
            at=now.replace(microsecond=0),
        )
        for one in found
    ]


def silence_alerts(
    customer_id: str,
    instances: Iterable[str],
    newest: Mapping[str, LastReport],
    silences: Mapping[str, datetime],
    now: datetime,
) -> list[Alert]:
    """Return an alert for every instance that has fallen silent, and for every one that is back.

    Parameters
    ----------
    customer, instances
        The customer's instances that have a key. One that never reported is not silent: it has not begun.
    newest
        Each instance's newest report, as far back as was looked.
    silences
        The silences already told and not yet over: instance to the hour of the last report before.
    now
        The present.

    Notes
    -----
    While an instance is known to be silent, old hours that it brings late start no second silence.
    """
    alerts: list[Alert] = []
    for instance in sorted(instances):
        last = newest.get(instance)
        if last is None:
            continue
        silent, known = last.until < now - SILENT_AFTER, silences.get(instance)
        if silent and known is None:
            alerts.append(
                Alert(
                    customer_id=customer_id,
                    kind=AlertKind.SILENT,
                    instance_id=instance,
                    last_hour=last.hour,
                    message=alert_texts.silent(instance, last.until),
                    at=now.replace(microsecond=0),
                )
            )
        elif not silent and known is not None:
            alerts.append(
                Alert(
                    customer_id=customer_id,
                    kind=AlertKind.BACK,
                    instance_id=instance,
                    last_hour=known,
                    message=alert_texts.back(instance, known),
                    at=now.replace(microsecond=0),
                )
            )
    return alerts


def may_be_silent(last_hour: datetime, now: datetime) -> bool:
    """Tell whether an instance could be silent whose newest report is of that hour.

    Only then is it worth reading until when that report observed.
    """
    return last_hour <= hour_of(now - SILENT_AFTER)


def open_silences(told: Iterable[Alert]) -> dict[str, datetime]:
    """Return the silences that have been told and are not over: instance to its last hour before."""
    begun: dict[str, datetime] = {}
    over: dict[str, set[datetime]] = {}
    for alert in told:
        if alert.instance_id is None or alert.last_hour is None:
            continue
        if alert.kind is AlertKind.SILENT:
            begun[alert.instance_id] = max(begun.get(alert.instance_id, alert.last_hour), alert.last_hour)
        else:
            over.setdefault(alert.instance_id, set()).add(alert.last_hour)
    return {instance: hour for instance, hour in begun.items() if hour not in over.get(instance, ())}


def _crossings(
    customer: Customer, usage: PeriodUsage, projected: Forecast | None, context: alert_texts.Context
) -> Iterator[_Crossing]:
    forecasts = projected.quantities if projected else {}
    for name, price in usage.terms.meters.items():
        meter = usage.catalog.meters[name]
        standing = _Standing(usage.quantities.get(name, Decimal(0)), forecasts.get(name))
        yield from _of_meter(name, meter, price, standing, customer.thresholds, context)
    yield from _of_budget(customer, usage.total, projected.total if projected else None, context)


def _of_meter(
    name: str,
    meter: Meter,
    price: Price,
    standing: _Standing,
    percentages: Iterable[int],
    context: alert_texts.Context,
) -> Iterator[_Crossing]:
    included, units, projected = price.included, standing.used, standing.forecast
    if included is None or price.overage is None:
        return
    # Of nothing included there is no share; the first unit is told as overage.
    for percent in _reached(units, included, percentages) if included else ():
        text = alert_texts.usage(meter, units, included, percent, context)
        yield _Crossing(AlertKind.USAGE, name, percent, text)
    if units > included:
        text = alert_texts.overage(meter, included, price.overage, context)
        yield _Crossing(AlertKind.OVERAGE, name, None, text)
    if projected is not None and units < included <= projected:
        text = alert_texts.forecast(meter, projected, included, context)
        yield _Crossing(AlertKind.FORECAST, name, PERCENT, text)


def _of_budget(
    customer: Customer, total: Decimal, projected: Decimal | None, context: alert_texts.Context
) -> Iterator[_Crossing]:
    budget = customer.budget
    if budget is None:
        return
    if not budget:
        # Of nothing there is no share: the first cent is told, once.
        if total:
            yield _Crossing(AlertKind.BUDGET, None, PERCENT, alert_texts.no_budget(total, context))
        return
    for percent in _reached(total, budget, customer.thresholds):
        text = alert_texts.budget(total, budget, percent, context)
        yield _Crossing(AlertKind.BUDGET, None, percent, text)
    if projected is not None and total < budget <= projected:
        text = alert_texts.budget_forecast(projected, budget, context)
        yield _Crossing(AlertKind.BUDGET_FORECAST, None, PERCENT, text)


def _reached(used: Decimal, limit: Decimal, percentages: Iterable[int]) -> list[int]:
    """Return the percentages of the limit that are reached, each once, in order; by nothing, none is."""
    share = EXACT.multiply(used, Decimal(PERCENT))
    return [
        percent
        for percent in sorted(set(percentages))
        if used and share >= EXACT.multiply(limit, Decimal(percent))
    ]
