"""Billing periods: an anchor and an interval make boundaries."""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HOUR = 3_600
"""Seconds."""
DAY = 86_400
"""Seconds."""

_STEP = {"day": timedelta(days=1), "week": timedelta(weeks=1)}
_MONTHS = {"month": 1, "year": 12}


def months(interval: str, count: int) -> int:
    """How many months so many intervals are; 0 for days and weeks."""
    return _MONTHS.get(interval, 0) * count


@dataclass(frozen=True)
class Cycle:
    """A billing cycle.

    Parameters
    ----------
    anchor
        A boundary, epoch seconds.
    interval
        ``day``, ``week``, ``month`` or ``year``.
    count
        How many intervals a period has.
    day
        The day of the month that boundaries fall on where the month has it; the anchor's own unless given (an
        anchor that was configured for the 31st may itself lie on the 28th).
    """

    anchor: int
    interval: str
    count: int
    day: int | None = None

    def boundary(self, number: int) -> int:
        """The instant (epoch seconds) so many periods after the anchor, or before it if negative.

        Months are counted from the anchor itself, so an anchor on the 31st clamps to the 28th in February
        and returns to the 31st in March (Stripe, "Billing cycle").
        """
        start = datetime.fromtimestamp(self.anchor, UTC)
        if self.interval in _STEP:
            return int((start + _STEP[self.interval] * (self.count * number)).timestamp())
        months = start.year * 12 + start.month - 1 + _MONTHS[self.interval] * self.count * number
        year, month = divmod(months, 12)
        day = min(self.day or start.day, calendar.monthrange(year, month + 1)[1])
        return int(start.replace(year=year, month=month + 1, day=day).timestamp())

    def period_from(self, instant: int) -> tuple[int, int]:
        """The full period ``[start, end)`` that contains an instant, however far from the anchor."""
        number = 0
        while self.boundary(number) > instant:
            number -= 1
        while self.boundary(number + 1) <= instant:
            number += 1
        return self.boundary(number), self.boundary(number + 1)


def configured_anchor(
    now: int, day_of_month: int, hour: int | None, minute: int | None, second: int | None
) -> int:
    """The first instant at or after now on a day of the month and a time of day, UTC.

    What is None is taken from now; a day that the month does not have is its last.
    """
    start = datetime.fromtimestamp(now, UTC)
    first = start.replace(
        day=1,
        hour=start.hour if hour is None else hour,
        minute=start.minute if minute is None else minute,
        second=start.second if second is None else second,
    )
    for months_ahead in (0, 1):
        year, month = divmod(start.year * 12 + start.month - 1 + months_ahead, 12)
        day = min(day_of_month, calendar.monthrange(year, month + 1)[1])
        candidate = first.replace(year=year, month=month + 1, day=day)
        if candidate >= start:
            return int(candidate.timestamp())
    raise AssertionError("the next month has every day of the month, clamped")
