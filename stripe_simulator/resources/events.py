"""Events: snapshots under GET /v1/events, thin ones under GET /v2/core/events."""

from collections.abc import Mapping
from datetime import UTC, datetime

from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import StripeRefusalError, no_such
from stripe_simulator.protocol.pagination import page, within
from stripe_simulator.protocol.parameters import EXPAND, PAGING, SPAN, Record, Text, Whole, Words
from stripe_simulator.resources.endpoint import Endpoint

_INSTANTS = Record({name: Text() for name in ("gt", "gte", "lt", "lte")})
_THIN_DEFAULT_LIMIT = 20


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    types = wanted.get("types") or ([wanted["type"]] if "type" in wanted else None)
    found = [
        event
        for event in reversed(state.events)
        if (types is None or event["type"] in types) and within(event["created"], wanted.get("created", {}))
    ]
    return page(found, wanted, "/v1/events")


def _retrieve(state: State, asked: Asked) -> Json:
    for event in state.events:
        if event["id"] == asked.id:
            return event
    raise no_such("event", asked.id)


def _list_thin(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    found = [
        {name: value for name, value in event.items() if name != "data"}
        for event in reversed(state.thin_events)
        if event["type"] in wanted.get("types", [event["type"]])
        and wanted.get("object_id") in {None, event.get("related_object", {}).get("id")}
        and _within_instants(event["created"], wanted.get("created", {}))
    ]
    limit, start = wanted.get("limit", _THIN_DEFAULT_LIMIT), int(wanted.get("page", "0"))
    next_page = f"/v2/core/events?page={start + limit}&limit={limit}" if start + limit < len(found) else None
    if next_page is not None:
        kinds = "".join(f"&types[{place}]={kind}" for place, kind in enumerate(wanted.get("types", [])))
        next_page += kinds + (f"&object_id={wanted['object_id']}" if "object_id" in wanted else "")
    return {"data": found[start : start + limit], "next_page_url": next_page, "previous_page_url": None}


def _within_instants(created: str, span: Mapping[str, str]) -> bool:
    at = datetime.fromisoformat(created)
    bounds = {name: _instant(text) for name, text in span.items()}
    return (
        ("gt" not in bounds or at > bounds["gt"])
        and ("gte" not in bounds or at >= bounds["gte"])
        and ("lt" not in bounds or at < bounds["lt"])
        and ("lte" not in bounds or at <= bounds["lte"])
    )


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise StripeRefusalError(f"Invalid timestamp: {text}", param="created") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _retrieve_thin(state: State, asked: Asked) -> Json:
    for event in state.thin_events:
        if event["id"] == asked.id:
            return event
    raise no_such("event", asked.id)


_LIST = Record({**PAGING, "type": Text(), "types": Words(most=20), "created": SPAN})
_LIST_THIN = Record(
    {
        "limit": Whole(least=1, most=100),
        "object_id": Text(),
        "types": Words(most=20),
        "created": _INSTANTS,
        "page": Text(),
    }
)
ENDPOINTS = (
    Endpoint("GET", "/v1/events", _LIST, _list),
    Endpoint("GET", "/v1/events/{id}", Record(EXPAND), _retrieve),
    Endpoint("GET", "/v2/core/events", _LIST_THIN, _list_thin),
    Endpoint("GET", "/v2/core/events/{id}", Record({}), _retrieve_thin),
)
