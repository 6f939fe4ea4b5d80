"""What meter events add up to, and GET /v1/billing/meters/{id}/event_summaries."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from stripe_simulator.engine.objects import Meter, Usage
from stripe_simulator.engine.state import DAY, HOUR, Asked, Json, Route, State
from stripe_simulator.protocol.errors import invalid_parameter
from stripe_simulator.protocol.pagination import page
from stripe_simulator.protocol.parameters import EPOCH, PAGING, OneOf, Record, Text
from stripe_simulator.resources import customers, meters

_WIDTH_S = {"hour": HOUR, "day": DAY}
_MINUTE = 60


def quantity(state: State, meter: Meter, customer: str, start: int, end: int, now: int) -> Decimal:
    """What a customer used of a meter in the span ``[start, end)``, as far as Stripe knows it at ``now``.

    Events are judged by their own timestamp; one processed less than the aggregation delay ago is not in it.
    """
    used = [usage for usage in effective(state, meter, customer, now) if start <= usage.timestamp < end]
    return aggregated(meter.formula, used)


def effective(state: State, meter: Meter, customer: str, now: int) -> list[Usage]:
    """The events that count: all of them, or on a pre-aggregated meter the last received of each window.

    The order of receipt decides, not the events' timestamps: an old event that Stripe gets to late wins
    ("Pre-aggregated meters", the design's stripe.md).
    """
    known_until = now - state.settings.aggregation_delay_s
    known = [usage for usage in state.usage[meter.id, customer] if usage.processed_at <= known_until]
    if meter.window is None:
        return known
    width = _WIDTH_S[meter.window]
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


def _summaries(state: State, asked: Asked) -> Json:
    meter = meters.find(state, asked.id)
    wanted = asked.parameters
    customer = customers.find(state, wanted["customer"], "customer").id
    start, end = wanted["start_time"], wanted["end_time"]
    width = _WIDTH_S.get(wanted.get("value_grouping_window", ""))
    _check_span(start, end, width)
    used = [usage for usage in effective(state, meter, customer, asked.now) if start <= usage.timestamp < end]
    windows = [(start, end)] if width is None else _used_windows(used, width)
    found = [
        {
            "id": f"mtrusg_test_{meter.id[-6:]}{customer[-6:]}{window_start}x{window_end}",
            "object": "billing.meter_event_summary",
            # Stripe's own answer is a float here, and only here
            "aggregated_value": float(
                aggregated(
                    meter.formula, [usage for usage in used if window_start <= usage.timestamp < window_end]
                )
            ),
            "end_time": window_end,
            "livemode": False,
            "meter": meter.id,
            "start_time": window_start,
        }
        for window_start, window_end in windows
    ]
    return page(found, wanted, f"/v1/billing/meters/{meter.id}/event_summaries")


def _used_windows(used: Iterable[Usage], width: int) -> list[tuple[int, int]]:
    """The windows that have events, newest first; Stripe leaves the others out."""
    starts = sorted({usage.timestamp // width * width for usage in used}, reverse=True)
    return [(start, start + width) for start in starts]


def _check_span(start: int, end: int, width: int | None) -> None:
    unit, name = (_MINUTE, "minute") if width is None else (width, "hour" if width == HOUR else "day")
    for param, instant in (("start_time", start), ("end_time", end)):
        if instant % unit:
            raise invalid_parameter(f"{param} must be aligned with {name} boundaries.", param)
    if start >= end:
        raise invalid_parameter("end_time must be greater than start_time.", "end_time")


ROUTES = (
    Route(
        "GET",
        "/v1/billing/meters/{id}/event_summaries",
        Record(
            {
                **PAGING,
                "customer": Text(),
                "start_time": EPOCH,
                "end_time": EPOCH,
                "value_grouping_window": OneOf(("day", "hour")),
            },
            required=("customer", "end_time", "start_time"),
        ),
        _summaries,
    ),
)
