"""Periods part time: every hour belongs to exactly one, whatever the anchor."""

import calendar
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from metering.core.accounts import Account, BillingPeriod, Customer
from metering.core.instants import HOUR
from metering.core.periods import Period, add_months

YEARS = (2024, 2032)
days = st.one_of(st.integers(1, 31), st.sampled_from((1, 28, 29, 30, 31)))
odd_seconds = st.one_of(st.just(0), st.integers(0, 3599))


def account_of(customer: Customer, periods: list[BillingPeriod]) -> Account:
    """Return an account with these periods, and without instances."""
    return Account(customer, (), tuple(periods))


@st.composite
def anchors(draw: st.DrawFn) -> datetime:
    """Draw an anchor: any day, the ends of months often, full and odd hours."""
    year, month = draw(st.integers(*YEARS)), draw(st.integers(1, 12))
    day = min(draw(days), calendar.monthrange(year, month)[1])
    return datetime(year, month, day, draw(st.integers(0, 23)), tzinfo=UTC) + timedelta(
        seconds=draw(odd_seconds)
    )


LEAP_DAY = datetime(2024, 2, 29, 13, 30, tzinfo=UTC)


def first_periods(anchor: datetime, count: int) -> list[Period]:
    """Return an anchor's first periods."""
    return [Period.anchored(anchor, add_months(anchor, months)) for months in range(count)]


@given(anchors())
@example(LEAP_DAY)
@example(datetime(2027, 1, 31, tzinfo=UTC))
def test_periods_touch(anchor: datetime) -> None:
    """Each period starts where the one before ended, on the anchor's day or the last of a shorter month."""
    periods = first_periods(anchor, 30)
    assert anchor == periods[0].start
    for before, after in pairwise(periods):
        assert before.end == after.start
        last = calendar.monthrange(after.start.year, after.start.month)[1]
        assert min(anchor.day, last) == after.start.day
        assert anchor.timetz() == after.start.timetz()
        assert timedelta(days=28) <= after.end - after.start <= timedelta(days=31)


@given(anchors())
@example(LEAP_DAY)
def test_every_hour_belongs_to_one_period(anchor: datetime) -> None:
    """The periods' hours in a row are all hours from the anchor's on: none twice, none left out."""
    hours = [hour for period in first_periods(anchor, 14) for hour in period.hours()]
    start = anchor.replace(minute=0, second=0)
    assert [start + n * HOUR for n in range(len(hours))] == hours


@given(anchors(), st.integers(0, 24 * 31 * 14))
@example(LEAP_DAY, 0)
def test_an_hour_s_period_is_found(anchor: datetime, later: int) -> None:
    """For every hour from the anchor's on, the customer's period is the one that has it, and no other has."""
    hour = anchor.replace(minute=0, second=0) + later * HOUR
    customer = Customer(customer_id="acme", name="Acme", plan="starter@1", anchor=anchor)
    found = account_of(customer, []).period_at(hour)
    having = [period for period in first_periods(anchor, 17) if period.has_hour(hour)]
    assert found is not None
    assert [found.span] == having


@given(anchors(), st.integers(1, 24 * 400))
def test_no_period_before_the_first(anchor: datetime, earlier: int) -> None:
    """Before the anchor's hour no period is found."""
    hour = anchor.replace(minute=0, second=0) - earlier * HOUR
    customer = Customer(customer_id="acme", name="Acme", plan="starter@1", anchor=anchor)
    assert account_of(customer, []).period_at(hour) is None


@given(anchors(), st.integers(0, 10**8))
def test_an_instant_lies_in_its_period(anchor: datetime, later: int) -> None:
    """An instant lies in the anchored period that is given for it."""
    instant = anchor + timedelta(seconds=later)
    period = Period.anchored(anchor, instant)
    assert period.start <= instant < period.end


@given(anchors())
def test_calendar_months_part_time(instant: datetime) -> None:
    """A calendar month holds its instant, and the next begins where it ends."""
    month = Period.calendar_month(instant)
    assert month.start <= instant < month.end
    assert month.end == Period.calendar_month(month.end).start
    assert month.seconds == 3600 * len([*month.hours()])
