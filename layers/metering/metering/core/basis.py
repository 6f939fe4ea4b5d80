"""How a meter's quantity comes from its metrics: all that differs between sums, averages and peaks.

Whoever needs to know it asks the basis. Source: docs/billing.md#meters, docs/billing.md#contributions and
docs/billing.md#forecast.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from metering.core.exact import EXACT
from metering.core.metrics import MetricKind
from metering.core.rollup import Hour


@dataclass(frozen=True, slots=True)
class Course:
    """How a meter goes at a moment of its period, in its units.

    ``closed`` is what the hours that are over have added, ``hourly`` the mean hour of the last full days,
    ``level`` the newest level of its gauges; ``hours_left`` remain of a period of ``seconds``.
    """

    closed: Decimal
    hourly: Decimal
    level: Decimal
    hours_left: int
    seconds: int


class Basis(StrEnum):
    """What a meter's quantity is, over a period."""

    SUM = "sum"
    """What the counters add up to."""
    AVERAGE = "average"
    """The gauges' integral over the seconds of the nominal period."""
    PEAK = "peak"
    """The greatest hour so far."""

    @property
    def kind(self) -> MetricKind:
        """The kind of metric this basis is defined on."""
        return MetricKind.COUNTER if self is Basis.SUM else MetricKind.GAUGE

    @property
    def is_level(self) -> bool:
        """Whether a meter stands somewhere at a moment, apart from what it has added up to."""
        return self is not Basis.SUM

    @property
    def is_averaged(self) -> bool:
        """Whether the quantity is spread over the whole period: a unit is one that lasts all of it."""
        return self is Basis.AVERAGE

    @property
    def needs_whole_period(self) -> bool:
        """Whether an hour's contribution depends on the period's other hours."""
        return self is Basis.PEAK

    def amount(self, metrics: Iterable[str], hour: Hour) -> int:
        """Return what an hour has of a meter's metrics, as a whole number; see `divisor`."""
        match self:
            case Basis.SUM:
                return sum(hour.counters.get(name, 0) for name in metrics)
            case Basis.AVERAGE:
                return sum(hour.gauges[name].integral for name in metrics if name in hour.gauges)
            case Basis.PEAK:
                return sum(hour.gauges[name].max for name in metrics if name in hour.gauges)

    def divisor(self, unit_size: int, period_seconds: int) -> int:
        """Return how much of `amount` makes one unit."""
        return unit_size * period_seconds if self is Basis.AVERAGE else unit_size

    def added(self, amounts: Iterable[int], kept: Callable[[int], int]) -> Iterator[int]:
        """Yield what each of a period's hours adds, given the hours' amounts in order.

        ``kept`` cuts what cannot be told to Stripe; what was cut off a rise is in a later one.
        """
        if self is not Basis.PEAK:
            yield from map(kept, amounts)
            return
        height = 0
        for amount in amounts:
            rise = kept(max(0, amount - height))
            height += rise
            yield rise

    def projected(self, course: Course) -> Decimal:
        """Return the quantity at the period's end, if things go on as they are."""
        match self:
            case Basis.SUM:
                return EXACT.add(course.closed, EXACT.multiply(course.hourly, Decimal(course.hours_left)))
            case Basis.AVERAGE:
                share = EXACT.divide(Decimal(course.hours_left * 3600), Decimal(course.seconds))
                return EXACT.add(course.closed, EXACT.multiply(course.level, share))
            case Basis.PEAK:
                return course.level

    @property
    def forecast_method(self) -> str:
        """What a forecast rests on, for people."""
        match self:
            case Basis.SUM:
                return "to date, plus the mean of the last seven full days for every day that remains"
            case Basis.AVERAGE:
                return "to date, plus the last value for the time that remains"
            case Basis.PEAK:
                return "the greater of the peak to date and the last value"
