"""Hours become contributions: what each hour adds to a period's billable quantity of a meter.

The billable quantity is *defined* as the sum of the contributions, so that Stripe's total is ours by
construction. Source: docs/billing.md#contributions.

Invariants, each with a test in ``tests/unit/test_billable.py``: contributions are never negative; the
contribution of a ``sum`` or ``average`` meter depends on its own hour alone; rounding never bills more than
what was used.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from metering.core.catalog import Catalog, Meter
from metering.core.exact import EXACT
from metering.core.periods import Period
from metering.core.rollup import Hour

DECIMALS = 9
_BILLION = 1_000_000_000
SIGNIFICANT_DIGITS = 15
"""What a Stripe meter event's value may carry (docs/stripe-protocol.md#what-stripe-does)."""

Contributions = Mapping[str, Mapping[datetime, Decimal]]
"""Per meter and hour; an hour without reports has none, and one that adds nothing has 0."""


def contributions(meter: Meter, hours: Iterable[Hour], period: Period) -> dict[datetime, Decimal]:
    """Return what each of the period's hours adds to the meter's quantity, in the meter's units.

    Hours of other periods are passed over. For a basis that `needs_whole_period` all of the period's hours
    must be given. Each is rounded down to nine decimals, or to 15 digits where the value is that large.
    """
    ours = sorted((hour for hour in hours if period.has_hour(hour.start)), key=lambda hour: hour.start)
    divisor = meter.basis.divisor(meter.unit_size, period.seconds)
    scaled = (meter.basis.amount(meter.metrics, hour) * _BILLION // divisor for hour in ours)
    added = meter.basis.added(scaled, _kept_digits)
    return {hour.start: _quantity(value) for hour, value in zip(ours, added, strict=True)}


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


def kept_digits(value: Decimal) -> Decimal:
    """Round a quantity of nine decimals down to the digits that can be told to Stripe."""
    return _quantity(_kept_digits(int(value.scaleb(DECIMALS, EXACT))))


def _kept_digits(scaled: int) -> int:
    surplus = max(0, len(str(scaled)) - SIGNIFICANT_DIGITS)
    return scaled - scaled % int("1" + "0" * surplus)


def _quantity(scaled: int) -> Decimal:
    return Decimal(scaled).scaleb(-DECIMALS, EXACT)
