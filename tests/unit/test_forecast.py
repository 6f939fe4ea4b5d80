"""The forecast: sums go on at the last week's pace, levels stay, peaks hold."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from metering.core.basis import Basis
from metering.core.billable import contributions
from metering.core.catalog import Meter, builtin_catalog
from metering.core.forecast import forecast, last_value
from metering.core.instants import DAY, HOUR
from metering.core.periods import Period
from metering.core.rollup import Hour, Level

NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
START = NOVEMBER.start
METERS = builtin_catalog().meters
PEAK = Meter(label="Devices", metrics=("active_devices",), unit="device", unit_size=1, basis=Basis.PEAK)


def hours(count: int, calls: Callable[[int], int], devices: int = 0, since: datetime = START) -> list[Hour]:
    """Return hours in a row, with calls that depend on the hour's number."""
    return [
        Hour(
            start=since + n * HOUR,
            counters={"http_requests": calls(n)},
            gauges={"active_devices": Level(devices, devices, devices * 3600, 3600)},
            instances=1,
        )
        for n in range(count)
    ]


def projected(meter: Meter, given: list[Hour], now: datetime) -> Decimal | None:
    """Return the forecast of a meter over November."""
    return forecast(meter, contributions(meter, given, NOVEMBER), given, NOVEMBER, now)


@pytest.mark.parametrize("meter", [METERS["api_calls"], METERS["devices"], PEAK], ids=lambda m: m.basis)
def test_too_early(meter: Meter) -> None:
    """With less than a full day there is no forecast, on any basis; with a full one there is."""
    assert projected(meter, [], START + 2 * DAY) is None
    assert projected(meter, hours(23, lambda _: 1000), START + 23 * HOUR + timedelta(minutes=59)) is None
    assert projected(meter, hours(24, lambda _: 1000), START + 24 * HOUR) is not None


def test_a_constant_pace() -> None:
    """At a constant pace the forecast is the pace for the whole period."""
    assert Decimal(720) == projected(METERS["api_calls"], hours(240, lambda _: 1000), START + 10 * DAY)


def test_the_last_seven_full_days() -> None:
    """Only the last seven full days tell the pace: what was before counts as used, not as pace."""
    given = hours(240, lambda n: 100_000 if n < 72 else 1000)
    assert Decimal(7200 + 168 + 480) == projected(METERS["api_calls"], given, START + 10 * DAY)


def test_fewer_than_seven_days() -> None:
    """With fewer full days than seven the mean is of those there are."""
    given = hours(48, lambda n: 1000 if n < 24 else 3000)
    assert Decimal(96 + 28 * 48) == projected(METERS["api_calls"], given, START + 2 * DAY)


def test_a_day_without_use_counts() -> None:
    """A full day without reports is a day of 0 in the mean."""
    given = [*hours(24, lambda _: 1000), *hours(24, lambda _: 1000, since=START + 2 * DAY)]
    assert Decimal(48 + 27 * 16) == projected(METERS["api_calls"], given, START + 3 * DAY)


def test_the_first_day_counts_only_when_full() -> None:
    """A customer who began at noon has its first full day the day after."""
    noon = START + 12 * HOUR
    assert projected(METERS["api_calls"], hours(30, lambda _: 1000, since=noon), noon + 30 * HOUR) is None
    full = projected(METERS["api_calls"], hours(36, lambda _: 1000, since=noon), noon + 36 * HOUR)
    assert Decimal(36 + 28 * 24) == full


def test_a_level_stays() -> None:
    """An average goes on at the last value for the rest of the period."""
    given = [
        *hours(240, lambda _: 0, devices=10),
        *hours(120, lambda _: 0, devices=40, since=START + 10 * DAY),
    ]
    found = projected(METERS["devices"], given, START + 15 * DAY)
    assert found is not None
    assert abs(Decimal(10) / 3 + Decimal(40) / 6 + Decimal(20) - found) < Decimal("0.000001")


def test_a_peak_holds() -> None:
    """A peak's forecast is the greater of the peak to date and the last value."""
    given = [*hours(24, lambda _: 0, devices=9), *hours(24, lambda _: 0, devices=4, since=START + DAY)]
    assert Decimal(9) == projected(PEAK, given, START + 2 * DAY)


@pytest.mark.parametrize("minute", [0, 1, 30, 59])
def test_the_open_hour_counts_once(minute: int) -> None:
    """The hour still open is not counted as used and again as remaining."""
    now = START + 10 * DAY + timedelta(minutes=minute)
    given = hours(241, lambda n: 1000 if n < 240 else 1000 * minute // 60)
    assert Decimal(720) == projected(METERS["api_calls"], given, now)


def test_an_open_hour_of_much_use() -> None:
    """A forecast is never below what has been used already."""
    given = hours(720, lambda n: 0 if n < 719 else 50_000)
    assert Decimal(50) == projected(METERS["api_calls"], given, NOVEMBER.end - timedelta(minutes=1))


def test_after_the_end_nothing_remains() -> None:
    """Once the period is over its forecast is what was used."""
    given = hours(720, lambda _: 1000, devices=3)
    later = NOVEMBER.end + DAY
    assert Decimal(720) == projected(METERS["api_calls"], given, later)
    devices = projected(METERS["devices"], given, later)
    assert devices is not None
    assert Decimal("2.999999") < devices <= Decimal(3)


def test_an_odd_anchor() -> None:
    """With bounds inside an hour, what remains is the period's own hours: a constant pace is exact."""
    half = timedelta(minutes=30)
    period = Period(START + half, NOVEMBER.end + half)
    ours = list(period.hours())
    given = hours(240, lambda _: 1000, since=ours[0])
    contributed = contributions(METERS["api_calls"], given, period)
    found = forecast(METERS["api_calls"], contributed, given, period, ours[240])
    assert Decimal(len(ours)) == found


def test_the_newest_value_of_each_metric() -> None:
    """A level is each metric's newest value: a source that fell silent keeps its last one."""
    both = {name: Level(2**30, 2**30, 0, 0) for name in ("postgres_size_bytes", "influxdb_size_bytes")}
    given = [
        Hour(start=START, gauges=both),
        Hour(start=START + HOUR, gauges={"postgres_size_bytes": Level(2**31, 2**31, 0, 0)}),
        Hour(start=START + 2 * HOUR),
    ]
    assert Decimal(3) == last_value(METERS["storage"], given)
    assert Decimal(0) == last_value(METERS["storage"], [])


def test_the_level_does_not_drop_while_instances_are_still_to_report() -> None:
    """At an hour's start one of two instances has reported: the hour before tells the level."""
    both = Hour(START, gauges={"active_devices": Level(20, 20, 72_000, 7_200)}, instances=2)
    one = Hour(START + HOUR, gauges={"active_devices": Level(8, 8, 80, 10)}, instances=1)
    assert Decimal(20) == last_value(METERS["devices"], [both, one])
    assert Decimal(8) == last_value(METERS["devices"], [both, one, replace(one, start=START + 2 * HOUR)])
