"""A log of a level's changes, and what its integral over a span can be."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest an integral can be, in value x milliseconds."""

    least: int
    greatest: int

    def __contains__(self, integral: int) -> bool:
        return self.least <= integral <= self.greatest


@dataclass(frozen=True, slots=True)
class _Change:
    before: datetime
    after: datetime
    value: int


class LevelLog:
    """A level from its first note on; each change happened somewhere between two known instants.

    A change is committed by the database at an instant that its client cannot know better than "after I asked
    and before I was answered", so the log gives bounds, not a figure.
    """

    def __init__(self) -> None:
        self._changes: list[_Change] = []

    @property
    def last(self) -> int:
        """The level now; 0 before the first note."""
        return self._changes[-1].value if self._changes else 0

    def note(self, before: datetime, after: datetime, value: int) -> None:
        """The level is ``value`` from some instant in ``[before, after]`` on; notes come in order."""
        if before > after or (self._changes and before < self._changes[-1].after):
            raise ValueError("a level's changes are noted in the order in which they happened")
        self._changes.append(_Change(before, after, value))

    def integral(self, start: datetime, end: datetime, seen_after: timedelta = timedelta(0)) -> Bounds:
        """Value x milliseconds over ``[start, end)``, between its bounds.

        ``seen_after`` is how long one who looks now and then may take to see a change (the agent: its poll
        interval and the time of a look): until then it may go on counting an older level. Raises
        `ValueError` when the log does not reach back to ``start - seen_after``.
        """
        if not self._changes or self._changes[0].after > start - seen_after:
            raise ValueError("the log begins after the span")
        # A level may be seen from its change's first possible instant to the next change's last.
        spans = [
            (change.before, end if following is None else following.after + seen_after, change.value)
            for change, following in zip(self._changes, [*self._changes[1:], None], strict=True)
        ]
        edges = sorted({start, end, *(edge for first, last, _ in spans for edge in (first, last))})
        least = greatest = timedelta(0)
        for first, last in pairwise(edge for edge in edges if start <= edge <= end):
            possible = [value for since, until, value in spans if since <= first and last <= until]
            least += min(possible) * (last - first)
            greatest += max(possible) * (last - first)
        return Bounds(least // _MS, -(-greatest // _MS))
