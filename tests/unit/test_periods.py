"""Periods, hours and days: half-open spans of UTC that leave no hour out and share none."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from metering.core.instants import HOUR, day_of, hour_of
from metering.core.periods import HOURS_KEPT, Period, add_months, day_hours, is_past_retention


def at(month: int, day: int, hour: int = 0, minute: int = 0, year: int = 2026) -> datetime:
    """Return an instant in UTC."""
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "start", "end"),
    [
        (at(11, 22, 13), at(11, 1), at(12, 1)),
        (at(12, 31, 23, 59), at(12, 1), at(1, 1, year=2027)),
        (at(1, 1), at(1, 1), at(2, 1)),
        (at(2, 29, 12, year=2028), at(2, 1, year=2028), at(3, 1, year=2028)),
    ],
)
def test_calendar_months(instant: datetime, start: datetime, end: datetime) -> None:
    """Without Stripe a period is the calendar month in UTC."""
    assert Period(start, end) == Period.calendar_month(instant)


def test_anchors_clamp_and_return() -> None:
    """An anchor on the 31st clamps to a shorter month's end and returns: 31 Jan, 28 Feb, 31 Mar, 30 Apr."""
    anchor = at(1, 31, 10)
    starts = [add_months(anchor, months) for months in range(5)]
    assert [at(1, 31, 10), at(2, 28, 10), at(3, 31, 10), at(4, 30, 10), at(5, 31, 10)] == starts


def test_anchors_in_a_leap_year() -> None:
    """An anchor on the 30th clamps to 29 February in a leap year."""
    assert at(2, 29, year=2028) == add_months(at(12, 30, year=2027), 2)


def test_an_anchor_on_the_leap_day() -> None:
    """An anchor on 29 February falls on the 28th in common years and on the 29th elsewhere."""
    anchor = at(2, 29, year=2028)
    assert at(2, 28, year=2029) == add_months(anchor, 12)
    assert at(3, 29, year=2029) == add_months(anchor, 13)


@pytest.mark.parametrize(
    ("instant", "start", "end"),
    [
        (at(2, 27, 23), at(1, 31, 10), at(2, 28, 10)),
        (at(2, 28, 10), at(2, 28, 10), at(3, 31, 10)),
        (at(2, 28, 9, 59), at(1, 31, 10), at(2, 28, 10)),
        (at(3, 31, 9), at(2, 28, 10), at(3, 31, 10)),
        (at(3, 31, 10), at(3, 31, 10), at(4, 30, 10)),
    ],
)
def test_the_anchored_period_of_an_instant(instant: datetime, start: datetime, end: datetime) -> None:
    """An instant lies in the anchored period that contains it, bounds half-open."""
    found = Period.anchored(at(1, 31, 10), instant)
    assert (start, end) == (found.start, found.end)


def test_only_the_first_period_is_first() -> None:
    """The period that starts at the anchor is the first, no other."""
    anchor = at(1, 15)
    assert [True, False] == [Period.anchored(anchor, at(month, 20)).first for month in (1, 2)]


def test_an_hour_belongs_by_its_first_second() -> None:
    """An hour belongs to the period that contains its first second."""
    before, after = Period(at(1, 15, 13, 30), at(2, 15, 13, 30)), Period(at(2, 15, 13, 30), at(3, 15, 13, 30))
    assert before.has_hour(at(2, 15, 13))
    assert not after.has_hour(at(2, 15, 13))
    assert after.has_hour(at(2, 15, 14))
    assert not before.has_hour(at(1, 15, 13))


def test_the_hour_of_the_first_anchor_belongs() -> None:
    """The hour that contains the start of a customer's first period belongs to that period."""
    assert Period.anchored(at(1, 15, 13, 30), at(1, 15, 13, 45)).has_hour(at(1, 15, 13))
    assert not Period.anchored(at(1, 15, 13, 30), at(1, 15, 13, 45)).has_hour(at(1, 15, 12))


def test_a_full_hour_s_period_has_exactly_its_hours() -> None:
    """A period that starts at a full hour has every hour from its start up to, not including, its end."""
    period = Period(at(1, 31, 10), at(2, 28, 10))
    hours = list(period.hours())
    assert (period.start, period.end - HOUR) == (hours[0], hours[-1])
    assert period.seconds == 3600 * len(hours)


def test_the_nominal_length() -> None:
    """A period is as long as its interval: February 28 days, a leap February 29."""
    lengths = [Period.calendar_month(at(2, 3, year=year)).seconds for year in (2026, 2028)]
    assert [28 * 86400, 29 * 86400] == lengths


def test_days_of_a_period() -> None:
    """A period's days are those that hold one of its hours."""
    assert [date(2026, 1, 31), date(2026, 2, 1)] == list(Period(at(1, 31, 10), at(2, 1, 10)).days())
    assert [date(2026, 1, 31)] == list(Period(at(1, 31, 10), at(2, 1)).days())
    late = Period(at(1, 31, 23, 30), at(2, 2))
    assert [date(2026, 2, 1)] == list(late.days())


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=1))])
def test_bounds_are_in_utc(zone: timezone | None) -> None:
    """A period with bounds in no zone, or another than UTC, is refused."""
    with pytest.raises(ValueError, match="UTC"):
        Period(datetime(2026, 1, 1, tzinfo=zone), datetime(2026, 2, 1, tzinfo=zone))


def test_a_period_ends_after_it_starts() -> None:
    """A period of no length or turned round is refused."""
    for end in (at(1, 1), at(1, 1) - HOUR):
        with pytest.raises(ValueError, match="end after"):
            Period(at(1, 1), end)


def test_days_have_twenty_four_hours() -> None:
    """A UTC day has 24 hours, in every season."""
    hours = list(day_hours(date(2026, 3, 29)))
    assert 24 == len(hours)
    assert {date(2026, 3, 29)} == {day_of(hour) for hour in hours}
    assert at(3, 29) == hours[0] == hour_of(at(3, 29, 0, 59))


@pytest.mark.parametrize(
    ("start", "first", "now", "past"),
    [
        (at(1, 15, 10), False, at(2, 19, 9, 59, year=2027), False),
        (at(1, 15, 10), False, at(2, 19, 10, year=2027), True),
        # The hour in which a period begins is the first period's, and else the one before's.
        (at(1, 15, 10, 30), True, at(2, 19, 10, year=2027), True),
        (at(1, 15, 10, 30), False, at(2, 19, 10, year=2027), False),
        (at(1, 15, 10, 30), False, at(2, 19, 11, year=2027), True),
    ],
)
def test_a_period_is_past_retention_once_its_first_hour_is(
    start: datetime, *, first: bool, now: datetime, past: bool
) -> None:
    """A period is past retention 400 days after its first hour, though its other hours are younger."""
    assert past == is_past_retention(Period(start, add_months(start, 1), first=first), now)


def test_hours_outlive_what_is_made_of_them() -> None:
    """While a period is not past retention, or takes a report, all of its hours are kept."""
    period = Period(at(1, 1), at(2, 1))
    last_moment = period.first_hour + timedelta(days=400) - timedelta(seconds=1)
    assert not is_past_retention(period, last_moment)
    assert all(last_moment < hour + HOURS_KEPT for hour in period.hours())
    # A window of the period's last hour is the youngest; a window is taken for 400 days.
    youngest = period.end - HOUR + timedelta(days=400)
    assert youngest < period.first_hour + HOURS_KEPT
