"""Meter events: POST /v1/billing/meter_events.

Taking an event and counting it are two steps. What Stripe checks at once it refuses with a 400; the rest is
answered with a 200 and shows up later, if it does not count, in a report (``meter_error_reports``).
"""

import re
from decimal import Decimal

from stripe_simulator.engine import thresholds
from stripe_simulator.engine.objects import Meter, MeterEvent, Usage
from stripe_simulator.engine.periods import DAY
from stripe_simulator.engine.state import Asked, Json, Rejection, State
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.parameters import EPOCH, EXPAND, Pairs, Record, Text
from stripe_simulator.resources import meter_error_reports, meters
from stripe_simulator.resources.endpoint import Endpoint

OLDEST_S = 35 * DAY
MOST_AHEAD_S = 5 * 60
IDENTIFIER_REMEMBERED_S = DAY
MOST_DIGITS = 15

_PLAIN = re.compile(r"-?(\d+\.?\d*|\.\d+)")
_NEW = Record(
    {
        **EXPAND,
        "event_name": Text(longest=100),
        "identifier": Text(longest=100),
        "payload": Pairs(),
        "timestamp": EPOCH,
    },
    required=("event_name", "payload"),
)


def _accept(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    event = MeterEvent(
        identifier=wanted.get("identifier") or state.new_id("mev"),
        event_name=wanted["event_name"],
        payload=wanted["payload"],
        timestamp=wanted.get("timestamp", asked.now),
        created=asked.now,
        idempotency_key=asked.idempotency_key,
        request_id=asked.request_id,
    )
    for rejection in _rejections(state, event, asked.now):
        if rejection.code not in state.settings.asynchronous:
            raise StripeRefusalError(rejection.message, code=rejection.code)
    _remember(state, event)
    state.accepted.append(event)
    state.agenda.at(asked.now + asked.processed_after_s, lambda at: _process(state, event, at))
    state.agenda.run_until(asked.now)
    return {
        "object": "billing.meter_event",
        "created": event.created,
        "event_name": event.event_name,
        "identifier": event.identifier,
        "livemode": False,
        "payload": event.payload,
        "timestamp": event.timestamp,
    }


def _remember(state: State, event: MeterEvent) -> None:
    """Refuse an identifier of the last 24 hours, whatever it was sent with; forget it after that.

    The refusal has no code: the message alone tells it (seen on Stripe).
    """
    taken_at = state.identifiers.get(event.identifier)
    if taken_at is not None and event.created < taken_at + IDENTIFIER_REMEMBERED_S:
        raise StripeRefusalError(f"An event already exists with identifier {event.identifier}.")
    state.identifiers[event.identifier] = event.created


def _process(state: State, event: MeterEvent, at: int) -> None:
    """Count an event, or put its rejection on record. What was fine when it came may no longer be."""
    rejection = next(iter(_rejections(state, event, event.created)), None)
    if rejection is not None:
        meter_error_reports.gather(
            state, Rejection(rejection.meter, rejection.code, rejection.message, event, at)
        )
        return
    meter = meters.of_event_name(state, event.event_name)
    assert meter is not None
    received = state.usage[meter.id, event.payload[meter.customer_key]]
    value = Decimal(0) if meter.formula == "count" else Decimal(event.payload[meter.value_key])
    received.append(Usage(event.timestamp, value, at, len(received), event.identifier))
    thresholds.look_later(state, event.payload[meter.customer_key], at)


def _rejections(state: State, event: MeterEvent, now: int) -> list[Rejection]:
    meter = meters.of_event_name(state, event.event_name)
    codes = [*_instant_faults(event, now), *_meter_faults(state, event, meter)]
    meter_id = meter.id if meter else None
    return [Rejection(meter_id, code, message, event, now) for code, message in codes]


def _instant_faults(event: MeterEvent, now: int) -> list[tuple[str, str]]:
    oldest, newest = now - OLDEST_S, now + MOST_AHEAD_S
    if event.timestamp < oldest:
        bound = f"Expected a timestamp greater than or equal to {oldest}."
        message = f"The event timestamp cannot be more than 35 days in past. {bound}"
        return [("timestamp_too_far_in_past", message)]
    if event.timestamp > newest:
        bound = f"Expected a timestamp less than or equal to {newest}."
        message = f"The event timestamp cannot be more than 5 minutes in the future. {bound}"
        return [("timestamp_in_future", message)]
    return []


def _meter_faults(state: State, event: MeterEvent, meter: Meter | None) -> list[tuple[str, str]]:
    if meter is None:
        return [("no_meter", f"No meter found with event name {event.event_name}.")]
    if not meter.active:
        return [("archived_meter", f"The meter {meter.id} is inactive and takes no events.")]
    customer = event.payload.get(meter.customer_key)
    if not customer:
        return [
            (
                "meter_event_no_customer_defined",
                f"Customer mapping key {meter.customer_key} not found in payload.",
            )
        ]
    faults = [] if meter.formula == "count" else _value_faults(meter, event.payload.get(meter.value_key))
    if customer not in state.customers or state.customers[customer].deleted:
        faults.append(("meter_event_customer_not_found", f"No customer found with id {customer}."))
    return faults


def _value_faults(meter: Meter, value: str | None) -> list[tuple[str, str]]:
    if value is None or not _PLAIN.fullmatch(value):
        return [("meter_event_invalid_value", f"The payload's {meter.value_key} must be a number: {value}.")]
    if len(value.lstrip("-").replace(".", "").lstrip("0")) > MOST_DIGITS:
        return [
            (
                "meter_event_value_too_many_digits",
                f"The value in the event payload can have at most {MOST_DIGITS} digits. Received {value}.",
            )
        ]
    return []


ENDPOINTS = (Endpoint("POST", "/v1/billing/meter_events", _NEW, _accept),)
