"""What Stripe does by itself, at its instant."""

import heapq
from collections.abc import Callable


class Agenda:
    """Actions due at instants, run in the order of those instants however seldom anyone looks.

    Periods that end, drafts that are finalised and events that are processed happen at their own instant,
    even when the clock jumps over many of them at once.
    """

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._added = 0

    def at(self, instant: int, action: Callable[[int], None]) -> None:
        """Run an action at an instant (epoch seconds); it is told that instant, not the time of looking.

        Actions of one instant run in the order in which they were added. An action looks for itself whether
        it is still wanted: nothing is taken off the agenda.
        """
        heapq.heappush(self._due, (instant, self._added, action))
        self._added += 1

    def run_until(self, now: int) -> None:
        """Run everything due at or before an instant, including what the actions themselves add."""
        while self._due and self._due[0][0] <= now:
            instant, _, action = heapq.heappop(self._due)
            action(instant)
