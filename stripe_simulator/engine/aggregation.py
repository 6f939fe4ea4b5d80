"""What meter events add up to."""

from collections.abc import Sequence
from decimal import Decimal

from stripe_simulator.engine.objects import Meter, Usage
from stripe_simulator.engine.periods import DAY, HOUR
from stripe_simulator.engine.state import State

WIDTH_S = {"hour": HOUR, "day": DAY}
"""Of a window, in seconds, by Stripe's word for it."""


def quantity(
    state: State, meter: Meter, customer: str, span: tuple[int, int], now: int, reported_by: int | None = None
) -> Decimal:
    """What a customer used of a meter in the span ``[start, end)``, as far as Stripe knows it at ``now``.

    Events are judged by their own timestamp; one processed less than the aggregation delay ago is not in it,
    nor one processed after ``reported_by`` where that is given.
    """
    start, end = span
    used = [
        usage
        for usage in effective(state, meter, customer, now, reported_by)
        if start <= usage.timestamp < end
    ]
    return aggregated(meter.formula, used)


def effective(
    state: State, meter: Meter, customer: str, now: int, reported_by: int | None = None
) -> list[Usage]:
    """The events that count: all of them, or on a pre-aggregated meter the last received of each window.

    The order of receipt decides, not the events' timestamps: an old event that Stripe gets to late wins
    (Stripe, "Pre-aggregated meters"). Source: docs/stripe-protocol.md#what-stripe-does
    """
    known_until = now - state.settings.aggregation_delay_s
    if reported_by is not None:
        known_until = min(known_until, reported_by)
    known = [usage for usage in state.usage[meter.id, customer] if usage.processed_at <= known_until]
    if meter.window is None:
        return known
    width = WIDTH_S[meter.window]
    # in the order of receipt, so that the last of a window is what the mapping keeps
    return list({usage.timestamp // width: usage for usage in known}.values())


def aggregated(formula: str, used: Sequence[Usage]) -> Decimal:
    """What a meter's formula (``sum``, ``count`` or ``last``) makes of events."""
    if formula == "count":
        return Decimal(len(used))
    if formula == "last":
        last = max(used, key=lambda usage: (usage.timestamp, usage.received), default=None)
        return last.value if last else Decimal(0)
    return sum((usage.value for usage in used), Decimal(0))
