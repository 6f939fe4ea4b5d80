"""Contributions and prices against exact fractions."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from metering.core.basis import Basis
from metering.core.billable import contributions, quantity
from metering.core.catalog import Meter, Price, Terms
from metering.core.instants import HOUR
from metering.core.periods import Period
from metering.core.rating import invoice_total, rate
from metering.core.rollup import Hour, Level
from testing.reports import HOUR as SOME_HOUR

NANO = Fraction(1, 10**9)
LARGEST = 10**6 - 1
"""Units of one hour below which a value's 15 digits hold nine decimals."""
unit_sizes = st.sampled_from((1, 3, 7, 1000, 2**30))
anchors = st.datetimes(datetime(2024, 1, 1), datetime(2032, 12, 31)).map(  # noqa: DTZ001 - made UTC below
    lambda naive: naive.replace(microsecond=0, tzinfo=SOME_HOUR.tzinfo)
)


def meter(basis: Basis, unit_size: int) -> Meter:
    """Return a meter of two metrics."""
    names = ("http_requests", "http_bytes_sent")
    if basis is not Basis.SUM:
        names = ("postgres_size_bytes", "influxdb_size_bytes")
    return Meter(label="x", metrics=names, unit="x", unit_size=unit_size, basis=basis)


def hour_of(start: datetime, amount: int, other: int = 0) -> Hour:
    """Return an hour with the amounts as counters, and as levels and integrals."""
    return Hour(
        start=start,
        counters={"http_requests": amount, "http_bytes_sent": other},
        gauges={
            "postgres_size_bytes": Level(amount, amount, amount * 3600, 3600),
            "influxdb_size_bytes": Level(other, other, other * 3600, 3600),
        },
        instances=1,
    )


@st.composite
def used_periods(draw: st.DrawFn) -> tuple[Meter, Period, list[Hour]]:
    """Draw a meter, a period and hours of it, in any order, some missing."""
    used_meter = meter(draw(st.sampled_from(Basis)), draw(unit_sizes))
    anchor = draw(anchors)
    period = Period.anchored(anchor, anchor)
    starts = draw(st.lists(st.sampled_from([*period.hours()]), max_size=40, unique=True))
    largest = LARGEST * used_meter.unit_size // 2
    pairs = draw(st.lists(st.tuples(st.integers(0, largest), st.integers(0, largest)), min_size=40))
    hours = [hour_of(start, *pair) for start, pair in zip(starts, pairs, strict=False)]
    return used_meter, period, hours


def exact(used_meter: Meter, period: Period, hours: list[Hour]) -> Fraction:
    """Return the quantity without any rounding."""
    amounts = [
        sum(hour.counters.get(name, 0) for name in used_meter.metrics)
        + sum(hour.gauges[name].max for name in used_meter.metrics if name in hour.gauges)
        for hour in hours
    ]
    units = [Fraction(amount, used_meter.unit_size) for amount in amounts]
    if used_meter.basis is Basis.SUM:
        return sum(units, Fraction(0))
    if used_meter.basis is Basis.AVERAGE:
        return sum(units, Fraction(0)) * 3600 / period.seconds
    return max(units, default=Fraction(0))


@given(used_periods())
def test_contributions_are_never_negative(drawn: tuple[Meter, Period, list[Hour]]) -> None:
    """No hour takes anything away, has more than nine decimals, or more digits than Stripe takes."""
    used_meter, period, hours = drawn
    for value in contributions(used_meter, hours, period).values():
        assert value >= 0
        assert value == value.quantize(Decimal("1E-9"))
        assert len(value.normalize().as_tuple().digits) <= 15


@given(used_periods())
def test_the_loss_of_rounding(drawn: tuple[Meter, Period, list[Hour]]) -> None:
    """Rounding never bills what was not used, and loses less than a nano-unit for each hour."""
    used_meter, period, hours = drawn
    billed = Fraction(quantity(contributions(used_meter, hours, period)))
    loss = exact(used_meter, period, hours) - billed
    assert 0 <= loss < NANO * max(len(hours), 1)


def test_the_loss_over_a_whole_period() -> None:
    """Even where every hour of the longest month loses the most, it is less than a millionth of a unit."""
    used_meter = meter(Basis.SUM, 2**30)
    period = Period.calendar_month(SOME_HOUR.replace(month=10))
    hours = [hour_of(start, 2**30 - 1) for start in period.hours()]
    billed = Fraction(quantity(contributions(used_meter, hours, period)))
    assert 0 < exact(used_meter, period, hours) - billed < Fraction(1, 10**6)


@given(used_periods(), st.integers(0, 10**12), st.data())
def test_a_late_report_changes_its_own_hour(
    drawn: tuple[Meter, Period, list[Hour]], late: int, data: st.DataObject
) -> None:
    """A late report changes its own hour's contribution; with a peak perhaps later ones, none before."""
    used_meter, period, hours = drawn
    start = data.draw(st.sampled_from([*period.hours()]))
    before = contributions(used_meter, hours, period)
    rest = [hour for hour in hours if hour.start != start]
    after = contributions(used_meter, [hour_of(start, late), *rest], period)
    changed = {hour for hour in before.keys() | after.keys() if before.get(hour) != after.get(hour)}
    if used_meter.basis is Basis.PEAK:
        assert all(hour >= start for hour in changed)
    else:
        assert changed <= {start}


@given(used_periods())
def test_an_hour_counts_in_one_period(drawn: tuple[Meter, Period, list[Hour]]) -> None:
    """An hour that contributes to a period contributes nothing to the next."""
    used_meter, period, hours = drawn
    following = Period.anchored(period.start, period.end)
    assert not contributions(used_meter, hours, following)
    assert len(hours) == len(contributions(used_meter, hours, period))


prices = st.builds(
    lambda included, overage: Price(included=Decimal(included), overage=Decimal(overage).scaleb(-4)),
    st.integers(0, 1000),
    st.integers(0, 10**6),
)


def cents(dollars: Fraction) -> Fraction:
    """Round half up to the cent."""
    return Fraction(floor(dollars * 100 + Fraction(1, 2)), 100)


@given(
    st.dictionaries(st.sampled_from("abcde"), prices, min_size=1),
    st.dictionaries(st.sampled_from("abcde"), st.lists(st.integers(0, 10**15 - 1), max_size=30)),
    st.integers(0, 10**7),
)
def test_rating_is_exact(meters: dict[str, Price], nanos: dict[str, list[int]], fee: int) -> None:
    """Each line is the exact overage times its price, rounded half up once; the total adds them."""
    terms = Terms(plan="x@1", label="x", base_fee=Decimal(fee).scaleb(-3), meters=meters)
    contributed = {
        name: {SOME_HOUR + n * HOUR: Decimal(value).scaleb(-9) for n, value in enumerate(values)}
        for name, values in nanos.items()
    }
    lines = rate({name: quantity(by_hour) for name, by_hour in contributed.items()}, terms)
    oracle = {"base_fee": cents(Fraction(fee, 1000))}
    for name, price in meters.items():
        assert price.included is not None
        assert price.overage is not None
        over = max(sum(nanos.get(name, [])) * NANO - Fraction(price.included), Fraction(0))
        oracle[name] = cents(over * Fraction(price.overage))
    assert oracle == {line.meter: Fraction(line.amount) for line in lines}
    assert sum(oracle.values()) == Fraction(invoice_total(lines))
