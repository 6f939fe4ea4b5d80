"""The usage API's answers, as pydantic models.

Money is a decimal string with two places, quantities are decimal strings; days are UTC days. Source:
docs/contract.md#the-api.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer

from metering.core.exact import plain
from metering.core.instants import Instant

CENT_PLACES = 2


def unit_price(value: Decimal) -> str:
    """Write a price of one unit: two places, or as many as it has."""
    text = plain(value)
    return f"{value:.2f}" if len(text.partition(".")[2]) < CENT_PLACES else text


Quantity = Annotated[Decimal, PlainSerializer(plain, return_type=str, when_used="json")]
Money = Annotated[Decimal, PlainSerializer(lambda value: f"{value:.2f}", return_type=str, when_used="json")]
UnitPrice = Annotated[Decimal, PlainSerializer(unit_price, return_type=str, when_used="json")]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlanLimits(_Answer):
    """The plan's allowances under the original's names; None where there is no limit."""

    max_devices: Quantity | None
    mqtt_gb: Quantity | None
    http_gb: Quantity | None
    storage_gb: Quantity | None
    api_calls: Quantity | None


class DayUsage(_Answer):
    """One UTC day: what a sum meter added, or the last level of the day; None where none was told.

    ``meters`` has every meter shown by its name, in its unit; the others are the original's names.
    """

    date: date
    active_devices: Quantity | None
    mqtt_gb: Quantity | None
    http_gb: Quantity | None
    storage_gb: Quantity | None
    api_calls: Quantity | None
    meters: dict[str, Quantity | None]


class PeriodSpan(_Answer):
    """The period, and which share of it has passed (0 to 1)."""

    start: Instant
    end: Instant
    elapsed: Quantity


class MeterUsage(_Answer):
    """One meter: quantities in its unit, prices in dollars; of one that is not sold nothing is billable.

    ``current`` is the newest level of an average or peak meter and the sum so far of a sum meter;
    ``billable`` what would be billed if the period ended now; ``forecast`` None means too early to tell.
    """

    name: str
    label: str
    unit: str
    basis: str
    sold: bool
    current: Quantity
    billable: Quantity
    included: Quantity | None
    percent: Quantity | None
    overage: Quantity
    overage_price: UnitPrice | None
    overage_amount: Money
    forecast: Quantity | None
    forecast_method: str


class InvoiceLine(_Answer):
    """One line of the estimate."""

    name: str
    label: str
    quantity: Quantity
    amount: Money


class EstimatedInvoice(_Answer):
    """What the invoice would be if the period ended now; before discounts and tax."""

    currency: str
    lines: list[InvoiceLine]
    total: Money
    forecast_total: Money | None
    method: str


class InstanceState(_Answer):
    """An instance and its newest report; ``last_report_at`` None: none in the last hours."""

    id: str
    last_report_at: Instant | None
    silent: bool


class Flag(_Answer):
    """What a reader of the figures must know, and in how many hours it happened."""

    code: str
    message: str
    hours: int


class ToldAlert(_Answer):
    """One message about the period, with the id under which it was published.

    ``meter`` is None where it is about the invoice or an instance; ``threshold`` is a percentage.
    """

    id: str
    kind: str
    meter: str | None
    threshold: int | None
    message: str
    at: Instant


class AdjustmentMade(_Answer):
    """What an operator added to a meter's quantity or took from it, in its unit: when, who, why.

    ``first_hour`` to ``last_hour``, both included, is where; ``unapplied`` is what of it found no usage.
    """

    meter: str
    quantity: Quantity
    unapplied: Quantity
    first_hour: Instant
    last_hour: Instant
    reason: str
    who: str
    at: Instant


class CurrentPeriod(_Answer):
    """Everything the usage page shows; one call.

    ``ended_at`` is when the subscription ended, whose last period this is; ``begins_at`` when billing begins,
    where this is the first period to come and nothing counts yet. At most one of them is not None.
    """

    active_devices: Quantity
    mqtt_gb: Quantity
    http_gb: Quantity
    storage_gb: Quantity
    api_calls: Quantity
    plan_limits: PlanLimits
    daily_breakdown: list[DayUsage]
    customer_id: str
    plan: str
    period: PeriodSpan
    ended_at: Instant | None
    begins_at: Instant | None
    as_of: Instant
    server_time: Instant
    meters: list[MeterUsage]
    estimated_invoice: EstimatedInvoice
    adjustments: list[AdjustmentMade]
    alerts: list[ToldAlert]
    instances: list[InstanceState]
    flags: list[Flag]
