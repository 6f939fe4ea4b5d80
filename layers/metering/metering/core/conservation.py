"""Conservation: what the reports say is in the hours, in the contributions, in the ledger, on the invoice.

Each check takes two neighbours of that chain and names where they differ; nothing is corrected here. Pure.
Source: docs/billing.md#conservation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from metering.core.basis import Basis
from metering.core.billable import DECIMALS, SIGNIFICANT_DIGITS, Contributions, quantity
from metering.core.billed import Billed
from metering.core.catalog import Meter
from metering.core.exact import EXACT
from metering.core.late_usage import Covering, unbilled_usage
from metering.core.periods import Period
from metering.core.reconcile import TOLERANCE
from metering.core.rollup import Hour
from metering.core.usage import PeriodUsage


class Stage(StrEnum):
    """Which two neighbours differ."""

    HOURS = "hours differ from reports"
    CONTRIBUTIONS = "contributions differ from hours"
    LEDGER = "ledger differs from contributions"
    INVOICE = "invoice and late usage differ from contributions"
    AFTER_END = "usage after the subscription's end is billed by nobody"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where usage is not what it is one step before.

    ``hour`` is None where a whole period differs. ``metric`` is a metric, a meter, or a part of the hour such
    as ``flags``; ``expected`` is the value one step before, ``found`` the one that should equal it. Either is
    None where there is nothing at all.
    """

    stage: Stage
    hour: datetime | None
    metric: str
    expected: str | None
    found: str | None


def hour_differences(recomputed: Hour, stored: Hour | None) -> list[Difference]:
    """Compare an hour made of its reports with the one stored, metric by metric.

    ``recomputed`` of no reports has no ``instances``; then there must be no stored hour either.
    """
    if recomputed == stored:
        return []
    expected, found = _parts(recomputed), _parts(stored)
    return [
        Difference(Stage.HOURS, recomputed.start, name, expected.get(name), found.get(name))
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def contribution_differences(usage: PeriodUsage) -> list[Difference]:
    """Compare each meter's contributions with what its hours add up to, in whole numbers; before adjustments.

    A contribution is rounded down to nine decimals (fewer where it has more than 15 digits), so that they may
    be less than the hours by that much for each hour, and never more.
    """
    ours = [hour for hour in usage.hours if usage.span.has_hour(hour.start)]
    found = []
    for name, meter in usage.catalog.meters.items():
        most, least = _bounds(meter, ours, usage.span)
        total = quantity(usage.unadjusted[name])
        scaled = int(total.scaleb(DECIMALS, EXACT))
        if not least <= scaled <= most:
            most_units = Decimal(most).scaleb(-DECIMALS, EXACT)
            found.append(Difference(Stage.CONTRIBUTIONS, None, name, f"{most_units:f}", f"{total:f}"))
    return found


def ledger_differences(
    contributed: Contributions, sent: Mapping[tuple[str, datetime], Decimal], hours: Iterable[datetime]
) -> list[Difference]:
    """Compare the contributions of some hours with what the ledger says Stripe was sent for them.

    An hour that adds nothing need not have been sent.
    """
    found = []
    for hour in hours:
        for meter, by_hour in contributed.items():
            want, have = by_hour.get(hour), sent.get((meter, hour))
            if (want or Decimal(0)) != (have or Decimal(0)):
                found.append(Difference(Stage.LEDGER, hour, meter, _text(want), _text(have)))
    return found


def invoice_differences(usage: PeriodUsage, billed: Billed, covered: Iterable[Covering]) -> list[Difference]:
    """Compare a final period's contributions with what its invoices billed and its items cover.

    What differs is late usage that is not billed yet. None before the period is final.
    """
    found = []
    for late in unbilled_usage(usage, billed, covered):
        if abs(late.quantity) > TOLERANCE:
            total = quantity(usage.contributions[late.meter])
            known = EXACT.subtract(total, late.quantity)
            found.append(Difference(Stage.INVOICE, None, late.meter, f"{total:f}", f"{known:f}"))
    return found


def _parts(hour: Hour | None) -> dict[str, str]:
    if hour is None or not hour.instances:
        return {}
    return (
        {name: str(amount) for name, amount in hour.counters.items()}
        | {name: _fields(asdict(level)) for name, level in hour.gauges.items()}
        | {f"source {name}": _fields(asdict(covered)) for name, covered in hour.sources.items()}
        | {
            "computed_from": str(hour.computed_from),
            "final": str(hour.final),
            "flags": " ".join(sorted(hour.flags)),
            "instances": str(hour.instances),
        }
    )


def _fields(values: Mapping[str, int]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _bounds(meter: Meter, hours: Iterable[Hour], period: Period) -> tuple[int, int]:
    """Return the greatest and the least that a period's contributions may be, in 10^-9 units."""
    match meter.basis:
        case Basis.SUM:
            amounts = [sum(hour.counters.get(name, 0) for name in meter.metrics) for hour in hours]
            divisor = meter.unit_size
        case Basis.AVERAGE:
            amounts = [_of_gauges(meter, hour, "integral") for hour in hours]
            divisor = period.seconds * meter.unit_size
        case Basis.PEAK:
            # The rises add up to the greatest hour, however many there were.
            amounts = [max((_of_gauges(meter, hour, "max") for hour in hours), default=0)]
            divisor = meter.unit_size
    most = sum(amounts) * 10**DECIMALS // divisor
    return most, most - sum(_lost(amount * 10**DECIMALS // divisor) for amount in amounts)


def _of_gauges(meter: Meter, hour: Hour, field: str) -> int:
    return sum(getattr(hour.gauges[name], field) for name in meter.metrics if name in hour.gauges)


def _lost(scaled: int) -> int:
    """Return how much rounding one contribution down may have taken from it, in 10^-9 units."""
    return int(10 ** max(0, len(str(scaled)) - SIGNIFICANT_DIGITS))


def _text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
