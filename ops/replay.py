"""Replaying a span: every hour is made again from its raw reports and compared with the one that is stored.

Hours have one writer, the aggregate function. So an hour that differs is marked dirty, and the service
recomputes it as it does after a report; where nothing changed nothing is marked. Source:
docs/storage.md#recomputing-an-hour: everything above the reports is a pure function of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from metering.core.conservation import Difference, hour_differences
from metering.tables.hour_pairs import hour_pairs, made_as
from metering.tables.tables import Tables
from ops.errors import OperatorError


@dataclass(frozen=True, slots=True)
class Span:
    """A customer's hours in ``[start, end)``."""

    customer_id: str
    start: datetime
    end: datetime

    def check(self) -> None:
        """Look at the bounds, which the operator typed.

        Raises
        ------
        OperatorError
            When the span is empty or does not begin and end at full hours.
        """
        for instant in (self.start, self.end):
            if instant.minute or instant.second or instant.microsecond:
                raise OperatorError(f"{instant} is no full hour")
        if self.start >= self.end:
            raise OperatorError("the span is empty: --from must lie before --to, which is not part of it")


@dataclass(frozen=True, slots=True)
class Replayed:
    """One hour that was made again: where it differs from the stored one, and whether it was marked.

    An hour without any report is not marked: there is nothing to make it of.
    """

    hour: datetime
    differences: tuple[Difference, ...] = ()
    marked: bool = False


def replay(span: Span, tables: Tables, *, dry_run: bool) -> Iterator[Replayed]:
    """Yield each hour of a span that has reports or is stored, in order, marking those that differ.

    ``dry_run`` marks nothing. Hours in which reports land meanwhile are read again before they differ.

    Raises
    ------
    OperatorError
        As `Span.check` says.
    """
    span.check()
    customer = span.customer_id
    for pair in hour_pairs(customer, span.start, span.end, tables):
        if not hour_differences(pair.recomputed, pair.stored):
            yield Replayed(pair.hour)
            continue
        stored = tables.hours.hour(customer, pair.hour)
        recomputed = made_as(stored, pair.hour, tables.reports.of_hour(customer, pair.hour))
        differences = tuple(hour_differences(recomputed, stored))
        marked = bool(differences and recomputed.instances) and not dry_run
        if marked:
            tables.markers.touch_dirty(customer, pair.hour)
        yield Replayed(pair.hour, differences, marked)
