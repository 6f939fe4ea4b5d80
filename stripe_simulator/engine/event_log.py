"""What happened in the account, put on record as Stripe's events."""

import copy
from datetime import UTC, datetime

from stripe_simulator.engine.objects import StripeObject
from stripe_simulator.engine.state import Asked, Json, State

API_VERSION = "2026-10-28.endive"


def record(state: State, kind: str, about: StripeObject, at: int, asked: Asked | None = None) -> None:
    """Put a snapshot event on record: what an object was like at that instant, for ever.

    ``asked`` is the call that caused it, None when Stripe did it by itself.
    """
    state.events.append(
        {
            "id": state.new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": at,
            "data": {"object": copy.deepcopy(state.shown(about, at))},
            "livemode": False,
            "pending_webhooks": 0,
            "request": {
                "id": asked.request_id if asked else None,
                "idempotency_key": asked.idempotency_key if asked else None,
            },
            "type": kind,
        }
    )


def record_thin(state: State, kind: str, at: int, content: Json, related: Json | None) -> None:
    """Put a thin event on record; ``content`` is answered to whoever retrieves it, not in lists."""
    event: Json = {
        "id": state.new_id("evt_test"),
        "object": "v2.core.event",
        "context": None,
        "created": iso(at),
        "data": content,
        "livemode": False,
        "reason": None,
        "type": kind,
    }
    if related is not None:
        event["related_object"] = related
    state.thin_events.append(event)


def iso(at: int) -> str:
    """An instant as the v2 API writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
