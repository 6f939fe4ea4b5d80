"""How journals were combined by the first rule of rollup: in groups, of which the greatest counts.

Kept for the hours that were made by it: they are checked by the rule they were made by, and those of final
periods stay as they were billed. Nothing new is made by it. Source:
docs/storage.md#the-version-of-an-hour; docs/decisions/0007-a-span-inside-another-overlaps-it.md.
"""

from collections.abc import Mapping, Sequence

from metering.core.journals import Span, Weight

DISJOINT_BELOW_SECONDS = 60
"""Spans that overlap by less than this count as disjoint, unless one holds the other."""


class JournalGroups:
    """One instance's journals of an hour, in groups that overlap directly or through others.

    Parameters
    ----------
    spans
        What each observed; journals are named by their index in it.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        groups: list[list[int]] = []
        for index, span in enumerate(spans):
            touching = [group for group in groups if any(_overlap(span, spans[other]) for other in group)]
            apart = [group for group in groups if group not in touching]
            groups = [*apart, [other for group in touching for other in group] + [index]]
        self._groups = sorted(groups, key=lambda group: max(spans[index].until for index in group))
        self.overlap = len(groups) < len(spans)

    def counting(self, weights: Mapping[int, Weight]) -> list[int]:
        """Return of each group the journal with the greatest weight, in the order in which groups ended."""
        told = ([index for index in group if index in weights] for group in self._groups)
        return [max(group, key=lambda index: weights[index]) for group in told if group]


def _overlap(a: Span, b: Span) -> bool:
    shared = min(a.until, b.until) - max(a.start, b.start)
    return shared >= DISJOINT_BELOW_SECONDS or _within(a, b) or _within(b, a)


def _within(inner: Span, outer: Span) -> bool:
    return inner.seconds > 0 and outer.start <= inner.start and inner.until <= outer.until
