"""Which of one instance's journals count together: the best set of which no two saw the same time.

Several journals of one hour are an agent that began anew, a copy that ran beside the original, or both. What
two of them saw at the same time must not count twice, and what none of them saw is never guessed: for each
metric some journals count whole, the others not at all. Pure. Source:
docs/contract.md#several-journals-of-one-hour; docs/decisions/0015-the-best-set-of-journals.md.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

SEAM_SECONDS = 60
"""Two journals that share so many seconds conflict, however long they are."""
SEAM_SHARE = 4
"""They conflict as well when they share this part of the shorter one: a quarter."""

type Weight = tuple[int, ...]
"""What a journal counted of a metric, and over how many seconds."""

_SECONDS_AT, _AMOUNT_AT = 32, 64
"""A chain of journals is compared as one whole number: its amount from bit 64 on, its seconds from bit 32 on,
and below them how far its first journal is from the last place, since of equal chains the earlier counts."""
_PLACE = (1 << _SECONDS_AT) - 1


class Span(NamedTuple):
    """What a journal observed, in seconds from the hour's start; ``state_id`` is its name."""

    start: int
    until: int
    state_id: str

    @property
    def seconds(self) -> int:
        """How long it observed. A journal that has just begun observed nothing, and conflicts with none."""
        return self.until - self.start

    @property
    def seam(self) -> int:
        """Less than this may be shared with another one: 60 s or a quarter of it, in quarters of a second."""
        return min(SEAM_SECONDS * SEAM_SHARE, self.seconds)


def follows(later: Span, earlier: Span) -> bool:
    """Tell whether a journal comes after another without a conflict: what they share is a seam at most.

    They conflict when they share 60 seconds or a quarter of the shorter one; one that lies inside another
    shares all of itself.
    """
    shared = SEAM_SHARE * (earlier.until - later.start)
    return shared < earlier.seam and shared < later.seam


class Journals:
    """One instance's journals of an hour, and which of them count.

    Of two journals that do not conflict one comes first. If a first does not conflict with a second, nor that
    with a third, the first and the third share nothing, since a seam is less than a quarter of the second: so
    a set without conflicts is a chain in which each follows the one before, and the best is found from its
    end, in n log n.

    Parameters
    ----------
    spans
        What each observed, one for each ``state_id``; journals are named by their index in it.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._order = sorted((i for i, span in enumerate(spans) if span.seconds), key=lambda i: spans[i])
        self._steps = _steps([spans[index] for index in self._order])
        self.overlap = any(not follows(spans[b], spans[a]) for a, b in pairwise(self._order))

    def counting(self, weights: Mapping[int, Weight]) -> list[int]:
        """Return the journals that count for a metric, in the order in which they ended.

        Of all sets without a conflict the one with the greatest amount; of equal ones that with most seconds,
        then that whose first journal has the least (start, until, state_id), then its second, and so on.

        Parameters
        ----------
        weights
            What each journal that tells the metric counted of it.
        """
        told = set(weights)
        if self.overlap:
            told -= {*self._order} - {*self._best_chain(weights)}
        return sorted(told, key=self._ending)

    def _best_chain(self, weights: Mapping[int, Weight]) -> Iterator[int]:
        """Yield the best chain. A journal is tried after all that may follow it, so that their best is known.

        Of the chains that may follow, those are kept that no other outdoes by letting an earlier one end
        later and being worth more: with rising ``joins`` they are worth less, so that the first beyond an end
        is the best.
        """
        told = [
            None if weight is None else (weight[0] << _AMOUNT_AT) + (weight[1] << _SECONDS_AT)
            for weight in map(weights.get, self._order)
        ]
        best, after = [0] * len(told), [0] * len(told)
        joins: list[int] = []
        chains: list[int] = []
        for place, until, joined in self._steps:
            worth = told[place]
            if worth is None:
                continue
            if joined is None:
                at = bisect_right(joins, until)
                after[place] = then = chains[at] if at < len(chains) else 0
                best[place] = worth + (then | _PLACE) - place
                continue
            chain = best[place]
            at = end = bisect_left(joins, joined)
            if at < len(chains):
                if chains[at] > chain:
                    continue
                end += joins[at] == joined
            while at and chains[at - 1] < chain:
                at -= 1
            joins[at:end] = [joined]
            chains[at:end] = [chain]
        chain = max(best, default=0)
        while chain:
            place = _PLACE - (chain & _PLACE)
            yield self._order[place]
            chain = after[place]

    def _ending(self, index: int) -> tuple[int, int, str]:
        span = self._spans[index]
        return span.until, span.start, span.state_id


def _steps(spans: Sequence[Span]) -> list[tuple[int, int, int | None]]:
    """Return in which order places are tried (until, None) and taken in as what may follow (0, joins).

    A journal may follow if it starts later than the other's end less the other's seam, which is the order
    here, and if it and its seam together ``join`` later than the other's end. In quarters of a second.
    """
    steps: list[tuple[int, bool, tuple[int, int, int | None]]] = []
    for place, span in enumerate(spans):
        start, until = SEAM_SHARE * span.start, SEAM_SHARE * span.until
        steps.append((span.seam - until, False, (place, until, None)))
        steps.append((-start, True, (place, 0, start + span.seam)))
    # No two first halves of a step are equal: a journal is tried before it may follow another.
    return [step for _, _, step in sorted(steps, key=lambda step: step[:2])]
