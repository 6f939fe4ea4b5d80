"""Hours become contributions: what each hour adds to a period's billable quantity of a meter.

The billable quantity is *defined* as the sum of the contributions, so that Stripe's total is ours by
construction. Source: design page "billing", section "Contributions".

Invariants, each with a test in ``tests/unit/test_billable.py``: contributions are never negative; the
contribution of a ``sum`` or ``average`` meter depends on its own hour alone; rounding never bills more than
what was used.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Context, Decimal

from metering.core.catalog import Basis, Catalog, Meter
from metering.core.periods import Period
from metering.core.rollup import Hour

DECIMALS = 9
_BILLION = 1_000_000_000
SIGNIFICANT_DIGITS = 15
"""What a Stripe meter event's value may carry (design page "stripe")."""

EXACT = Context(prec=60)
"""Wide enough that no sum or product of quantities is ever rounded unseen."""

Contributions = Mapping[str, Mapping[datetime, Decimal]]
"""Per meter and hour; an hour without reports has none, and one that adds nothing has 0."""


def contributions(meter: Meter, hours: Iterable[Hour], period: Period) -> dict[datetime, Decimal]:
    """Return what each of the period's hours adds to the meter's quantity, in the meter's units.

    Hours of other periods are passed over. For ``peak`` all of the period's hours must be given.
    """
    ours = sorted((hour for hour in hours if period.has_hour(hour.start)), key=lambda hour: hour.start)
    match meter.basis:
        case Basis.SUM:
            return {h.start: _units(_amount(meter, h), meter.unit_size) for h in ours}
        case Basis.AVERAGE:
            return {h.start: _units(_integral(meter, h), period.seconds * meter.unit_size) for h in ours}
        case Basis.PEAK:
            return _rises(meter, ours)


def all_contributions(catalog: Catalog, hours: Iterable[Hour], period: Period) -> Contributions:
    """Return the contributions of every meter of the catalogue."""
    kept = list(hours)
    return {name: contributions(meter, kept, period) for name, meter in catalog.meters.items()}


def quantity(contributed: Mapping[datetime, Decimal]) -> Decimal:
    """Return the billable quantity: the sum of the contributions."""
    total = Decimal(0)
    for value in contributed.values():
        total = EXACT.add(total, value)
    return total


def _amount(meter: Meter, hour: Hour) -> int:
    return sum(hour.counters.get(name, 0) for name in meter.metrics)


def _integral(meter: Meter, hour: Hour) -> int:
    return sum(hour.gauges[name].integral for name in meter.metrics if name in hour.gauges)


def _maximum(meter: Meter, hour: Hour) -> int:
    return sum(hour.gauges[name].max for name in meter.metrics if name in hour.gauges)


def _rises(meter: Meter, hours: Iterable[Hour]) -> dict[datetime, Decimal]:
    """Return how far each hour lifts the running maximum; what was cut off a rise is in a later one."""
    rises: dict[datetime, Decimal] = {}
    billed = 0
    for hour in hours:
        rise = _kept_digits(max(0, _scaled(_maximum(meter, hour), meter.unit_size) - billed))
        rises[hour.start] = _quantity(rise)
        billed += rise
    return rises


def _units(amount: int, divisor: int) -> Decimal:
    """Divide, rounding down to nine decimals, or to 15 digits where the value is that large."""
    return _quantity(_kept_digits(_scaled(amount, divisor)))


def _scaled(amount: int, divisor: int) -> int:
    """Divide into billionths of a unit, rounding down."""
    return amount * _BILLION // divisor


def _kept_digits(scaled: int) -> int:
    surplus = max(0, len(str(scaled)) - SIGNIFICANT_DIGITS)
    return scaled - scaled % int("1" + "0" * surplus)


def _quantity(scaled: int) -> Decimal:
    return Decimal(scaled).scaleb(-DECIMALS, EXACT)
