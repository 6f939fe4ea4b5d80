"""Random usage under random catalogues is invoiced to the cent as fractions say it must be."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.core.basis import Basis
from metering.core.billable import all_contributions
from metering.core.catalog import Catalog, Meter, Override, Plan, Price, Tier
from metering.core.instants import HOUR
from metering.core.metrics import COUNTERS, GAUGES
from metering.core.periods import Period
from metering.core.rating import BASE_FEE, invoice_total, quantities, rate, tiered_amount
from metering.core.rollup import Hour, Level

NANO = Fraction(1, 10**9)
MILLION_DIGITS = 10**15
# Ten thousand in `make test-property`, whatever the profile gives its other tests.
MANY = settings(max_examples=10_000 if settings().max_examples >= 1000 else settings().max_examples)

money = st.decimals("0", "5000", places=2).map(lambda d: Decimal(f"{d:f}"))
unit_prices = st.integers(0, 10**7).map(lambda n: Decimal(n).scaleb(-6))
allowances = st.integers(0, 2000).map(Decimal)
prices = st.one_of(
    st.builds(Price, included=allowances, overage=unit_prices),
    st.just(Price(unlimited=True)),
)
amounts = st.one_of(st.integers(0, 50), st.integers(0, 2**45), st.integers(0, 2**63 - 1))
sizes = st.sampled_from((1, 3, 7, 1000, 2**30))
anchors = st.datetimes(datetime(2027, 1, 1), datetime(2028, 12, 31)).map(  # noqa: DTZ001  made UTC below
    lambda instant: instant.replace(microsecond=0, tzinfo=UTC)
)


@st.composite
def meters(draw: st.DrawFn) -> Meter:
    """Draw a meter of one to three metrics on any basis."""
    basis = draw(st.sampled_from(Basis))
    fitting = sorted(COUNTERS if basis is Basis.SUM else GAUGES)[:4]
    chosen = draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=3, unique=True))
    return Meter(label="m", metrics=tuple(chosen), unit="u", unit_size=draw(sizes), basis=basis)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """Draw a catalogue of one plan over one to four meters."""
    made = {f"meter_{n}": meter for n, meter in enumerate(draw(st.lists(meters(), min_size=1, max_size=4)))}
    plan = Plan(label="p", base_fee=draw(money), meters={name: draw(prices) for name in made})
    return Catalog(currency="usd", meters=made, plans={"plan@1": plan})


@st.composite
def usages(draw: st.DrawFn, period: Period) -> list[Hour]:
    """Draw a few of a period's hours, in any order, each with some of the metrics."""
    count = (period.end_hour - period.first_hour) // HOUR
    numbers = draw(st.lists(st.integers(0, count - 1), max_size=6, unique=True))
    return [
        Hour(
            start=period.first_hour + number * HOUR,
            counters=draw(st.dictionaries(st.sampled_from(sorted(COUNTERS)[:4]), amounts, max_size=3)),
            gauges={
                name: Level(value, value, value * seconds, seconds)
                for name, value, seconds in draw(
                    st.lists(
                        st.tuples(st.sampled_from(sorted(GAUGES)[:4]), amounts, st.integers(0, 3600)),
                        max_size=3,
                    )
                )
            },
            instances=1,
        )
        for number in numbers
    ]


def floored(exact: Fraction) -> Fraction:
    """Round down to nine decimals, or to fifteen digits where the value is that large."""
    nanos = floor(exact / NANO)
    step = 1
    while nanos // step >= MILLION_DIGITS:
        step *= 10
    return nanos // step * step * NANO


def oracle_quantity(meter: Meter, hours: Sequence[Hour], period: Period) -> Fraction:
    """The billable quantity as billing.md defines it, in fractions."""
    total = Fraction(0)
    seconds = (period.end - period.start) // timedelta(seconds=1)
    for hour in sorted(hours, key=lambda hour: hour.start):
        levels = [hour.gauges[name] for name in meter.metrics if name in hour.gauges]
        match meter.basis:
            case Basis.SUM:
                amount = sum(hour.counters.get(name, 0) for name in meter.metrics)
                total += floored(Fraction(amount, meter.unit_size))
            case Basis.AVERAGE:
                total += floored(Fraction(sum(lv.integral for lv in levels), seconds * meter.unit_size))
            case Basis.PEAK:
                highest = floor(Fraction(sum(lv.max for lv in levels), meter.unit_size) / NANO) * NANO
                total += floored(max(Fraction(0), highest - total))
    return total


def oracle_cents(units: Fraction, price: Price) -> int:
    """Dollars for what exceeds the allowance, half a cent up."""
    if price.included is None or price.overage is None:
        return 0
    over = max(Fraction(0), units - Fraction(price.included))
    return floor(over * Fraction(price.overage) * 100 + Fraction(1, 2))


def in_cents(amount: Decimal) -> int:
    """An amount that has whole cents and nothing beyond."""
    assert isinstance(amount, Decimal)
    assert amount.as_tuple().exponent == -2
    return int(amount.scaleb(2))


@MANY
@given(st.data(), catalogs(), anchors, st.dictionaries(st.integers(0, 3), prices, max_size=2))
def test_the_invoice_is_the_contributions_priced_to_the_cent(
    data: st.DataObject, catalog: Catalog, anchor: datetime, own: Mapping[int, Price]
) -> None:
    """For any usage, catalogue and override, each line and the total are those of exact fractions."""
    period = Period.anchored(anchor, anchor)
    hours = data.draw(usages(period))
    override = Override(
        meters={f"meter_{n}": price for n, price in own.items() if f"meter_{n}" in catalog.meters}
    )
    terms = catalog.terms("plan@1", override)
    lines = rate(quantities(all_contributions(catalog, hours, period)), terms)
    expected = {BASE_FEE: floor(Fraction(terms.base_fee) * 100 + Fraction(1, 2))}
    for name, meter in catalog.meters.items():
        expected[name] = oracle_cents(oracle_quantity(meter, hours, period), terms.meters[name])
    assert expected == {line.meter: in_cents(line.amount) for line in lines}
    assert sum(expected.values()) == in_cents(invoice_total(lines))


@MANY
@given(
    st.lists(st.tuples(st.integers(1, 50), unit_prices), max_size=4),
    unit_prices,
    st.integers(0, 10**15).map(lambda n: Decimal(n).scaleb(-9)),
)
def test_tiers_add_up(steps: list[tuple[int, Decimal]], last: Decimal, units: Decimal) -> None:
    """Any graduated tiers price each unit in the tier it falls into, and the line is rounded once."""
    tiers, top = list[Tier](), 0
    for width, price in steps:
        top += width
        tiers.append(Tier(Decimal(top), price))
    tiers.append(Tier(None, last))
    exact, below = Fraction(0), Fraction(0)
    for tier in tiers:
        end = Fraction(units) if tier.up_to is None else min(Fraction(units), Fraction(tier.up_to))
        exact += max(Fraction(0), end - below) * Fraction(tier.unit_amount)
        below = max(below, end)
    assert floor(exact * 100 + Fraction(1, 2)) == in_cents(tiered_amount(units, tiers))


@pytest.mark.parametrize(
    ("units", "cents"),
    [
        ("10", 0),
        ("10.000000001", 0),
        ("10.049999999", 0),
        ("10.05", 1),
        ("10.050000001", 1),
        ("10.149999999", 1),
        ("10.15", 2),
        ("20", 100),
        ("20.024999999", 100),
        ("20.025", 101),
    ],
)
def test_rounding_at_the_edges_of_tiers(units: str, cents: int) -> None:
    """At a tier's edge, and a billionth of a unit beside half a cent, the cent is the one that is owed."""
    tiers = (Tier(Decimal(10), Decimal(0)), Tier(Decimal(20), Decimal("0.10")), Tier(None, Decimal("0.20")))
    assert cents == in_cents(tiered_amount(Decimal(units), tiers))
