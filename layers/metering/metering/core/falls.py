"""What of an hour fell: a later state of it that says less than an earlier one did.

Amounts of an hour only ever grow, so whatever falls is an error of someone, and is alarmed: a report's at
ingest, an hour's where it is recomputed. Pure. Source: docs/storage.md#writing-a-report and
docs/storage.md#recomputing-an-hour.
"""

from collections.abc import Mapping
from typing import Protocol


class _Held(Protocol):
    @property
    def integral(self) -> int: ...
    @property
    def max(self) -> int: ...


class Amounts(Protocol):
    """A report's amounts, or an hour's."""

    @property
    def counters(self) -> Mapping[str, int]:
        """By name, what was counted."""

    @property
    def gauges(self) -> Mapping[str, _Held]:
        """By name, the levels."""


def fallen(before: Amounts, after: Amounts) -> tuple[str, ...]:
    """Return the metrics of which there is less: a counter, a gauge's integral or its maximum; in order.

    A metric that is no longer told has fallen, unless it was 0. A level itself may fall at any time.
    """
    counters = {name for name, amount in before.counters.items() if after.counters.get(name, 0) < amount}
    gauges = {name for name, held in before.gauges.items() if _is_less(after.gauges.get(name), held)}
    return tuple(sorted(counters | gauges))


def _is_less(after: _Held | None, before: _Held) -> bool:
    integral, highest = (after.integral, after.max) if after else (0, 0)
    return integral < before.integral or highest < before.max
