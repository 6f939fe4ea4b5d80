"""Summaries of meter events: GET /v1/billing/meters/{id}/event_summaries."""

from collections.abc import Iterable

from stripe_simulator.engine import lookup
from stripe_simulator.engine.aggregation import WIDTH_S, aggregated, effective
from stripe_simulator.engine.objects import Usage
from stripe_simulator.engine.periods import HOUR
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import invalid_parameter
from stripe_simulator.protocol.pagination import page
from stripe_simulator.protocol.parameters import EPOCH, PAGING, OneOf, Record, Text
from stripe_simulator.resources.endpoint import Endpoint

_MINUTE = 60


def _summaries(state: State, asked: Asked) -> Json:
    meter = lookup.meter(state, asked.id)
    wanted = asked.parameters
    customer = lookup.customer(state, wanted["customer"], "customer").id
    start, end = wanted["start_time"], wanted["end_time"]
    width = WIDTH_S.get(wanted.get("value_grouping_window", ""))
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


ENDPOINTS = (
    Endpoint(
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
