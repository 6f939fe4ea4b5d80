"""Contributions: what each hour adds to a period's billable quantity."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from metering.core.basis import Basis
from metering.core.billable import all_contributions, contributions, quantity
from metering.core.catalog import Meter, builtin_catalog
from metering.core.exact import plain
from metering.core.instants import HOUR
from metering.core.periods import Period
from metering.core.rollup import Hour, Level

NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
FIRST, SECOND, THIRD = (NOVEMBER.start + n * HOUR for n in range(3))
METERS = builtin_catalog().meters
PEAK = Meter(label="Devices", metrics=("active_devices",), unit="device", unit_size=1, basis=Basis.PEAK)


def counted(start: datetime, **counters: int) -> Hour:
    """Return an hour of counters."""
    return Hour(start=start, counters=counters, instances=1)


def level(start: datetime, maximum: int = 0, integral: int = 0, name: str = "active_devices") -> Hour:
    """Return an hour of one gauge."""
    return Hour(start=start, gauges={name: Level(maximum, maximum, integral, 3600)}, instances=1)


def test_a_sum_is_the_amount_over_the_unit() -> None:
    """A sum meter's contribution is the hour's amount divided by the unit: GB are 2^30 bytes."""
    hours = [counted(FIRST, mqtt_bytes_sent=2**29, mqtt_bytes_received=2**28), counted(SECOND)]
    assert {FIRST: Decimal("0.75"), SECOND: Decimal(0)} == contributions(
        METERS["mqtt_traffic"], hours, NOVEMBER
    )


def test_payload_bytes_are_not_billed() -> None:
    """Only a meter's own metrics count for it."""
    hours = [counted(FIRST, mqtt_payload_bytes_sent=2**40, http_bytes_sent=2**40)]
    assert Decimal(0) == quantity(contributions(METERS["mqtt_traffic"], hours, NOVEMBER))


def test_api_calls_are_counted_in_thousands() -> None:
    """One call is 0.001 of the meter's unit; nothing is rounded up to a whole unit."""
    assert Decimal("0.042") == quantity(
        contributions(METERS["api_calls"], [counted(FIRST, http_requests=42)], NOVEMBER)
    )


def test_an_average_divides_by_the_nominal_period() -> None:
    """20 devices for half a month are 10 device-months."""
    hours = [level(start, 20, 20 * 3600) for start in list(NOVEMBER.hours())[:360]]
    used = quantity(contributions(METERS["devices"], hours, NOVEMBER))
    assert Decimal(10) - Decimal("0.000001") < used <= Decimal(10)


def test_an_average_of_the_whole_period() -> None:
    """A level that a whole period holds is billed as that level, less a millionth at most."""
    hours = [level(start, 7, 7 * 3600) for start in NOVEMBER.hours()]
    used = quantity(contributions(METERS["devices"], hours, NOVEMBER))
    assert Decimal(7) - Decimal("0.000001") < used <= Decimal(7)


def test_what_was_not_covered_is_not_billed() -> None:
    """An hour half covered contributes half: the integral counts, never level times hour."""
    half = level(FIRST, 720, 720 * 1800)
    assert Decimal("0.5") == quantity(contributions(METERS["devices"], [half], NOVEMBER))


def test_storage_adds_its_three_metrics() -> None:
    """Storage is PostgreSQL, InfluxDB and objects together, in GB over the period."""
    names = ("postgres_size_bytes", "influxdb_size_bytes", "object_storage_bytes")
    gauges = {name: Level(2**30, 2**30, 2**30 * 3600, 3600) for name in names}
    used = contributions(METERS["storage"], [Hour(start=FIRST, gauges=gauges)], NOVEMBER)
    assert Decimal(3 * 10**9 // 720).scaleb(-9) == used[FIRST]


def test_a_peak_rises() -> None:
    """A peak meter's contributions are how far each hour lifts the running maximum."""
    hours = [level(FIRST, 5), level(SECOND, 3), level(THIRD, 9)]
    assert {FIRST: Decimal(5), SECOND: Decimal(0), THIRD: Decimal(4)} == contributions(PEAK, hours, NOVEMBER)


def test_a_peak_in_any_order() -> None:
    """The running maximum follows time, whatever the order in which hours are given."""
    hours = [level(THIRD, 9), level(FIRST, 5), level(SECOND, 3)]
    assert Decimal(4) == contributions(PEAK, hours, NOVEMBER)[THIRD]
    assert Decimal(9) == quantity(contributions(PEAK, hours, NOVEMBER))


def test_a_late_peak_lowers_later_rises() -> None:
    """A late report of a peak changes hours after it, and the sum stays the greatest value."""
    late = [level(FIRST, 8), level(SECOND, 3), level(THIRD, 9)]
    assert [Decimal(8), Decimal(0), Decimal(1)] == [*contributions(PEAK, late, NOVEMBER).values()]


@pytest.mark.parametrize(
    ("requests", "contribution"),
    [
        (1, "0.333333333"),
        (2, "0.666666666"),
        (0, "0"),
        (3 * 10**6, "1000000"),
        # 15 significant digits are what Stripe takes; the value is cut, never rounded up.
        (3 * 10**6 + 2, "1000000.66666666"),
        (2**63 - 1, "3074457345618250000"),
    ],
)
def test_rounded_down(requests: int, contribution: str) -> None:
    """A contribution is cut to nine decimals, and to the 15 digits that Stripe takes."""
    thirds = Meter(label="x", metrics=("http_requests",), unit="x", unit_size=3, basis=Basis.SUM)
    found = contributions(thirds, [counted(FIRST, http_requests=requests)], NOVEMBER)[FIRST]
    assert found <= Decimal(requests) / 3
    assert len(found.normalize().as_tuple().digits) <= 15
    if requests < 2**60:
        assert Decimal(contribution) == found


def test_hours_of_other_periods() -> None:
    """An hour of another period adds nothing to this one."""
    hours = [counted(NOVEMBER.start - HOUR, http_requests=1), counted(NOVEMBER.end, http_requests=1)]
    assert {} == contributions(METERS["api_calls"], hours, NOVEMBER)


def test_an_hour_without_reports_has_no_contribution() -> None:
    """An hour that nobody reported has no contribution; one that used nothing has 0."""
    assert {FIRST: Decimal(0)} == contributions(METERS["api_calls"], [counted(FIRST)], NOVEMBER)


def test_every_meter_of_the_catalogue() -> None:
    """All meters are computed from the same hours, even when those can be read only once."""
    hours = iter([counted(FIRST, http_requests=1000, mqtt_bytes_sent=2**30)])
    found = all_contributions(builtin_catalog(), hours, NOVEMBER)
    assert METERS.keys() == found.keys()
    assert (Decimal(1), Decimal(1)) == (found["api_calls"][FIRST], found["mqtt_traffic"][FIRST])


def test_the_quantity_is_exact() -> None:
    """The quantity is the sum of the contributions to the last digit, beyond ordinary decimal precision."""
    parts = {FIRST: Decimal(10**28), SECOND: Decimal("0.000000001")}
    assert Decimal("10000000000000000000000000000.000000001") == quantity(parts)


def test_a_peak_s_rise_keeps_fifteen_digits_and_loses_nothing_of_the_peak() -> None:
    """Stripe takes 15 digits; what a rise could not carry comes with a later one."""
    meter = PEAK.model_copy(update={"unit_size": 10**9})
    peaks = [123_456_789, 1_234_567 * 10**9, 1_234_567 * 10**9]
    hours = [
        Hour(NOVEMBER.start + n * HOUR, gauges={"active_devices": Level(peak, peak, 0, 3600)})
        for n, peak in enumerate(peaks)
    ]

    rises = list(contributions(meter, hours, NOVEMBER).values())

    assert all(len(plain(rise).replace(".", "").lstrip("0")) <= 15 for rise in rises)
    assert Decimal(1_234_567) == sum(rises)
