"""Meters: POST and GET /v1/billing/meters."""

from stripe_simulator.engine import lookup
from stripe_simulator.engine.objects import Meter
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.pagination import page
from stripe_simulator.protocol.parameters import EXPAND, PAGING, OneOf, Record, Text
from stripe_simulator.resources.endpoint import Endpoint

_NEW = Record(
    {
        **EXPAND,
        "display_name": Text(longest=250),
        "event_name": Text(longest=100),
        "event_time_window": OneOf(("day", "hour")),
        "default_aggregation": Record({"formula": OneOf(("count", "last", "sum"))}, required=("formula",)),
        "customer_mapping": Record(
            {"event_payload_key": Text(longest=100), "type": OneOf(("by_id",))},
            required=("event_payload_key", "type"),
        ),
        "value_settings": Record({"event_payload_key": Text(longest=100)}, required=("event_payload_key",)),
    },
    required=("default_aggregation", "display_name", "event_name"),
)


def of_event_name(state: State, event_name: str) -> Meter | None:
    """The meter that events of a name go to: the active one, else the one that was deactivated last."""
    named = [meter for meter in state.meters.values() if meter.event_name == event_name]
    return max(named, key=lambda meter: (meter.active, meter.deactivated_at or 0), default=None)


def rendered(meter: Meter) -> Json:
    """A meter as Stripe answers it."""
    return {
        "id": meter.id,
        "object": "billing.meter",
        "created": meter.created,
        "customer_mapping": {"event_payload_key": meter.customer_key, "type": "by_id"},
        "default_aggregation": {"formula": meter.formula},
        "display_name": meter.display_name,
        "event_name": meter.event_name,
        "event_time_window": meter.window,
        "livemode": False,
        "status": "active" if meter.active else "inactive",
        "status_transitions": {"deactivated_at": meter.deactivated_at},
        "updated": meter.updated,
        "value_settings": {"event_payload_key": meter.value_key},
    }


def _refuse_taken_name(state: State, event_name: str) -> None:
    for meter in state.meters.values():
        if meter.active and meter.event_name == event_name:
            raise StripeRefusalError(
                f"An active meter with event name {event_name} already exists: {meter.id}.",
                code="resource_already_exists",
                param="event_name",
            )


def _create(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    _refuse_taken_name(state, wanted["event_name"])
    meter = Meter(
        id=state.new_id("mtr_test"),
        display_name=wanted["display_name"],
        event_name=wanted["event_name"],
        formula=wanted["default_aggregation"]["formula"],
        window=wanted.get("event_time_window"),
        customer_key=wanted.get("customer_mapping", {}).get("event_payload_key", "stripe_customer_id"),
        value_key=wanted.get("value_settings", {}).get("event_payload_key", "value"),
        created=asked.now,
        updated=asked.now,
    )
    state.meters[meter.id] = meter
    return rendered(meter)


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(lookup.meter(state, asked.id))


def _update(state: State, asked: Asked) -> Json:
    meter = lookup.meter(state, asked.id)
    meter.display_name = asked.parameters.get("display_name", meter.display_name)
    meter.updated = asked.now
    return rendered(meter)


def _deactivate(state: State, asked: Asked) -> Json:
    meter = lookup.meter(state, asked.id)
    if not meter.active:
        raise StripeRefusalError("This meter is already inactive.", param="id")
    meter.deactivated_at = meter.updated = asked.now
    return rendered(meter)


def _reactivate(state: State, asked: Asked) -> Json:
    meter = lookup.meter(state, asked.id)
    if meter.active:
        raise StripeRefusalError("This meter is already active.", param="id")
    _refuse_taken_name(state, meter.event_name)
    meter.deactivated_at = None
    meter.updated = asked.now
    return rendered(meter)


def _list(state: State, asked: Asked) -> Json:
    status = asked.parameters.get("status")
    found = [
        rendered(meter)
        for meter in reversed(state.meters.values())
        if status is None or (status == "active") == meter.active
    ]
    return page(found, asked.parameters, "/v1/billing/meters")


ENDPOINTS = (
    Endpoint("POST", "/v1/billing/meters", _NEW, _create),
    Endpoint("GET", "/v1/billing/meters", Record({**PAGING, "status": OneOf(("active", "inactive"))}), _list),
    Endpoint("GET", "/v1/billing/meters/{id}", Record(EXPAND), _retrieve),
    Endpoint(
        "POST", "/v1/billing/meters/{id}", Record({**EXPAND, "display_name": Text(longest=250)}), _update
    ),
    Endpoint("POST", "/v1/billing/meters/{id}/deactivate", Record(EXPAND), _deactivate),
    Endpoint("POST", "/v1/billing/meters/{id}/reactivate", Record(EXPAND), _reactivate),
)
