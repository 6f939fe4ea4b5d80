"""Billing periods: anchors clamp to short months and return."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stripe_simulator.engine.periods import Cycle, configured_anchor
from tests.stripe_simulator.shop import DAY, instant


def test_an_anchor_on_the_31st_clamps_and_returns() -> None:
    """31 January is followed by 28 February and 31 March."""
    cycle = Cycle(instant("2026-01-31T13:00"), "month", 1)

    assert [cycle.boundary(number) for number in range(5)] == [
        instant("2026-01-31T13:00"),
        instant("2026-02-28T13:00"),
        instant("2026-03-31T13:00"),
        instant("2026-04-30T13:00"),
        instant("2026-05-31T13:00"),
    ]


def test_a_leap_year_has_a_29th() -> None:
    """In 2028 an anchor on the 30th falls on 29 February."""
    assert Cycle(instant("2028-01-30T00:00"), "month", 1).boundary(1) == instant("2028-02-29T00:00")


def test_a_configured_day_outlasts_a_short_first_month() -> None:
    """A cycle configured for the 31st that begins in February comes to the 31st in March."""
    anchor = configured_anchor(instant("2026-02-10T00:00"), 31, 0, 0, 0)
    cycle = Cycle(anchor, "month", 1, day=31)

    assert anchor == instant("2026-02-28T00:00")
    assert cycle.boundary(1) == instant("2026-03-31T00:00")


@pytest.mark.parametrize(
    ("now", "day", "time_of_day", "expected"),
    [
        ("2026-03-10T12:00", 15, (0, 0, 0), "2026-03-15T00:00"),
        ("2026-03-10T12:00", 10, (13, 0, 0), "2026-03-10T13:00"),
        ("2026-03-10T12:00", 10, (11, 0, 0), "2026-04-10T11:00"),
        ("2026-03-10T12:00", 10, (12, 0, 0), "2026-03-10T12:00"),
        ("2026-03-10T12:34", 11, (None, None, None), "2026-03-11T12:34"),
        ("2026-12-10T12:00", 1, (0, 0, 0), "2027-01-01T00:00"),
    ],
)
def test_a_configured_anchor_is_the_next_such_instant(
    now: str, day: int, time_of_day: tuple[int | None, int | None, int | None], expected: str
) -> None:
    """The anchor is the first match that is not past; what is not configured is taken from now."""
    assert configured_anchor(instant(now), day, *time_of_day) == instant(expected)


@pytest.mark.parametrize(("interval", "seconds"), [("day", DAY), ("week", 7 * DAY)])
def test_days_and_weeks_have_a_fixed_length(interval: str, seconds: int) -> None:
    """A period of two intervals is twice as long."""
    anchor = instant("2026-03-28T12:00")

    assert Cycle(anchor, interval, 2).period_from(anchor + 5 * seconds) == (
        anchor + 4 * seconds,
        anchor + 6 * seconds,
    )


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001  # made aware below
    st.integers(-400 * DAY, 400 * DAY),
    st.sampled_from(["day", "week", "month", "year"]),
    st.integers(1, 4),
)
def test_periods_tile_time(anchored: datetime, offset: int, interval: str, count: int) -> None:
    """Every instant lies in exactly one period, and the next period starts where it ends."""
    anchor = int(anchored.replace(microsecond=0, tzinfo=UTC).timestamp())
    cycle = Cycle(anchor, interval, count)
    start, end = cycle.period_from(anchor + offset)

    assert start <= anchor + offset < end
    assert cycle.period_from(end)[0] == end
    assert cycle.period_from(end - 1) == (start, end)
