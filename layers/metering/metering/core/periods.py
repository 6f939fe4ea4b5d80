"""Billing periods, hours and days, as half-open spans of UTC.

Source: docs/billing.md#periods; docs/storage.md#keeping.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

from metering.core.contract import OLDEST_WINDOW
from metering.core.instants import DAY, HOUR, SECOND, day_of, hour_of

MORE_THAN_A_PERIOD = timedelta(days=35)
HOURS_KEPT = OLDEST_WINDOW + MORE_THAN_A_PERIOD
"""How long hours are kept: so much longer than reports that, whenever a report of a period may still come and
whenever its usage is still worked out, all of the period's hours are there."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """One billing period ``[start, end)``.

    ``first`` marks a customer's first period, to which the hour that contains its start belongs as well.
    ``nominal_end`` is where a period would have ended that was cut short, by a cancellation at once or a new
    billing anchor.
    """

    start: datetime
    end: datetime
    first: bool = False
    nominal_end: datetime | None = None

    def __post_init__(self) -> None:
        if self.start.tzinfo is not UTC or self.end.tzinfo is not UTC:
            raise ValueError("a period's bounds must be in UTC")
        if self.start >= self.end:
            raise ValueError(f"a period must end after it starts: {self.start} .. {self.end}")
        if self.nominal_end is not None and self.nominal_end < self.end:
            raise ValueError(f"a period cannot be cut after its end: {self.nominal_end} .. {self.end}")

    @property
    def seconds(self) -> int:
        """Length of the nominal period: what an average is divided by. Periods are never shortened."""
        return ((self.nominal_end or self.end) - self.start) // SECOND

    @property
    def first_hour(self) -> datetime:
        """The first hour that belongs to the period."""
        floor = hour_of(self.start)
        return floor if self.first or floor == self.start else floor + HOUR

    @property
    def end_hour(self) -> datetime:
        """The first hour that no longer belongs to it; periods that touch share no hour and leave none."""
        floor = hour_of(self.end)
        return floor if floor == self.end else floor + HOUR

    def has_hour(self, hour: datetime) -> bool:
        """Tell whether the hour, named by its first second, belongs to the period."""
        return self.first_hour <= hour < self.end_hour

    def hours(self) -> Iterator[datetime]:
        """Every hour of the period, in order."""
        return steps(self.first_hour, self.end_hour, HOUR)

    def days(self) -> Iterator[date]:
        """Every UTC day that holds an hour of the period, in order."""
        first = day_of(self.first_hour)
        return (step.date() for step in steps(_midnight(first), self.end_hour, DAY))

    @classmethod
    def calendar_month(cls, instant: datetime) -> Self:
        """Return the UTC month that contains the instant: the period of a customer without Stripe."""
        start = datetime(instant.year, instant.month, 1, tzinfo=UTC)
        return cls(start, add_months(start, 1))

    @classmethod
    def anchored(cls, anchor: datetime, instant: datetime) -> Self:
        """Return the monthly period of an anchor that contains the instant, as Stripe counts them.

        Anchors on the 29th to 31st clamp to a shorter month's last day and return. The period that starts at
        the anchor is the first; an instant before it, but in the hour of the anchor, belongs to it.
        """
        months = (instant.year - anchor.year) * 12 + instant.month - anchor.month
        while months > 0 and add_months(anchor, months) > instant:
            months -= 1
        months = max(months, 0)
        return cls(add_months(anchor, months), add_months(anchor, months + 1), first=months == 0)


def is_past_retention(period: Period, now: datetime) -> bool:
    """Tell whether a period's first hour is so old that its reports are gone, or about to go.

    From then on nothing is made of its hours any more: they expire one by one, so that what is left of them
    says less than was used.
    """
    return period.first_hour <= now - OLDEST_WINDOW


def add_months(anchor: datetime, months: int) -> datetime:
    """Move an anchor by whole months; a day that the month lacks becomes its last day."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    month += 1
    return anchor.replace(year=year, month=month, day=min(anchor.day, calendar.monthrange(year, month)[1]))


def day_hours(day: date) -> Iterator[datetime]:
    """The 24 hours of a UTC day."""
    start = _midnight(day)
    return steps(start, start + DAY, HOUR)


def steps(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    """Instants from start up to, not including, end."""
    while start < end:
        yield start
        start += step


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
