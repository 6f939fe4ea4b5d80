"""What a meter's quantity will be at the period's end, if things go on as they are.

Source: docs/billing.md#forecast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import takewhile

from metering.core.basis import Course
from metering.core.billable import quantity
from metering.core.catalog import Meter, Terms
from metering.core.exact import EXACT
from metering.core.instants import DAY, HOUR, hour_of
from metering.core.periods import Period, day_hours
from metering.core.rating import invoice_total, rate
from metering.core.rollup import Hour

FULL_DAYS = 7


@dataclass(frozen=True, slots=True)
class Forecast:
    """Every meter's quantity at the period's end, in its units; None is too early to tell."""

    quantities: Mapping[str, Decimal | None]
    terms: Terms

    @property
    def total(self) -> Decimal | None:
        """The invoice's total in dollars at the period's end; only if each sold meter's quantity is known."""
        known = {meter: value for meter, value in self.quantities.items() if value is not None}
        return invoice_total(rate(known, self.terms)) if self.terms.meters.keys() <= known.keys() else None


def forecast(
    meter: Meter,
    contributed: Mapping[datetime, Decimal],
    hours: Sequence[Hour],
    period: Period,
    now: datetime,
) -> Decimal | None:
    """Project a meter's quantity to the period's end; None while it is too early.

    Parameters
    ----------
    meter, period
        What is projected, and to which end.
    contributed
        The meter's contributions of this period, by hour.
    hours
        The period's hours in order, for the last value of a gauge.
    now
        The present; only full hours count as elapsed, so that an answer is stable within an hour.

    Notes
    -----
    It is too early while the period holds no full UTC day of data. The hour still open counts as remaining,
    not as used, unless it alone brings more than was to be expected of all that remains.
    """
    elapsed = hour_of(now)
    full_days = _full_days(contributed, elapsed)
    if not full_days:
        return None
    recent = full_days[-FULL_DAYS:]
    course = Course(
        closed=quantity({hour: value for hour, value in contributed.items() if hour < elapsed}),
        hourly=EXACT.divide(sum(recent, Decimal(0)), Decimal(24 * len(recent))),
        level=last_value(meter, hours),
        hours_left=max(period.end_hour - elapsed, 0 * HOUR) // HOUR,
        seconds=period.seconds,
    )
    return _nine_places(max(quantity(contributed), meter.basis.projected(course)))


def last_value(meter: Meter, hours: Sequence[Hour]) -> Decimal:
    """Return a gauge meter's level in its units: each metric's newest value, 0 where none was told.

    A newest hour in which fewer instances have reported than in the one before is passed over: its sum would
    show a drop that is none.
    """
    if len(hours) > 1 and hours[-1].instances < hours[-2].instances:
        hours = hours[:-1]
    level = 0
    for name in meter.metrics:
        level += next((hour.gauges[name].last for hour in reversed(hours) if name in hour.gauges), 0)
    return _nine_places(EXACT.divide(Decimal(level), Decimal(meter.unit_size)))


def _nine_places(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.000000001"), context=EXACT)


def _full_days(contributed: Mapping[datetime, Decimal], elapsed: datetime) -> list[Decimal]:
    """Each full UTC day's contributions, from the first day with all its hours since the first of data."""
    if not contributed:
        return []
    first = min(contributed)
    days = [first.date() + DAY * n for n in range((elapsed - first) // DAY + 2)]
    spans = [list(day_hours(day)) for day in days]
    full = takewhile(lambda span: span[-1] + HOUR <= elapsed, (span for span in spans if span[0] >= first))
    return [sum((contributed.get(hour, Decimal(0)) for hour in span), Decimal(0)) for span in full]
