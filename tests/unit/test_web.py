"""Events of the HTTP API, the identity in them, and the one shape of our errors."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metering.aws.web import (
    ApiError,
    Identity,
    body_of,
    identity_of,
    json_answer,
    request_id,
    require_customer,
    require_instance_key,
)
from metering.core.contract import FieldError, WhoAmI

NOW = datetime(2026, 11, 22, 13, 35, 10, 999, tzinfo=UTC)
PORTAL = Identity("acme", "", "portal", NOW.replace(microsecond=0) + timedelta(hours=1))
KEY = Identity("acme", "default", "instance")


def event_of(identity: Identity) -> dict[str, Any]:
    """Return an event with what the authorizer says of an identity."""
    return {"requestContext": {"requestId": "r-1", "authorizer": {"lambda": identity.to_context()}}}


@pytest.mark.parametrize("identity", [PORTAL, KEY])
def test_the_identity_round_trips(identity: Identity) -> None:
    """What the authorizer puts into its context, all of it strings, is what the handlers read."""
    assert {str} == {type(value) for value in identity.to_context().values()}
    assert identity == identity_of(event_of(identity), NOW)


@pytest.mark.parametrize(("late", "refused"), [(-1, False), (0, True), (1, True)])
def test_the_handlers_enforce_expiry(late: int, *, refused: bool) -> None:
    """A credential that has expired since the gateway cached its answer is refused with 401."""
    assert PORTAL.expires is not None
    now = PORTAL.expires + timedelta(seconds=late)
    if not refused:
        assert PORTAL == identity_of(event_of(PORTAL), now)
        return
    with pytest.raises(ApiError) as caught:
        identity_of(event_of(PORTAL), now)
    assert (401, "expired") == (caught.value.status, caught.value.code)


def test_a_customer_sees_itself_only() -> None:
    """Another customer's credential gets 403, itself none."""
    require_customer(KEY, "acme")
    with pytest.raises(ApiError) as caught:
        require_customer(KEY, "other")
    assert (403, "forbidden") == (caught.value.status, caught.value.code)


def test_portal_sessions_only_read() -> None:
    """A portal session gets 403 where an instance key is needed."""
    require_instance_key(KEY)
    with pytest.raises(ApiError) as caught:
        require_instance_key(PORTAL)
    assert 403 == caught.value.status


def test_the_shape_of_an_error() -> None:
    """An error's body is code, message, details and request id, and the service's clock in whole seconds."""
    error = ApiError(422, "invalid_report", "wrong", [FieldError(field="revision", message="too small")])
    answer = error.answer("r-1", NOW)
    assert (422, "application/json") == (answer["statusCode"], answer["headers"]["content-type"])
    assert {
        "error": {
            "code": "invalid_report",
            "message": "wrong",
            "details": [{"field": "revision", "message": "too small"}],
            "request_id": "r-1",
        },
        "server_time": "2026-11-22T13:35:10Z",
    } == json.loads(answer["body"])


def test_details_are_always_there() -> None:
    """An error without bad fields has an empty list of details, so that readers need no second case."""
    body = json.loads(ApiError(404, "not_found", "no").answer("r-1", NOW)["body"])
    assert [] == body["error"]["details"]


def test_a_conflict_says_what_is_held() -> None:
    """An error may say which revision and digest the service holds."""
    body = json.loads(ApiError(409, "conflict", "no", revision=3, digest="ab").answer("r-1", NOW)["body"])
    assert (3, "ab") == (body["revision"], body["digest"])


def test_nothing_is_cached_on_the_way() -> None:
    """Answers may not be kept by proxies; a route's own headers come on top."""
    body = WhoAmI(customer_id="a", instance_id="b", server_time=NOW.replace(microsecond=0))
    assert "no-store" == json_answer(200, body)["headers"]["cache-control"]
    assert "no-cache" == json_answer(200, body, {"cache-control": "no-cache"})["headers"]["cache-control"]


def test_null_and_absent() -> None:
    """What is said to be None travels as null; what nobody set is absent."""
    stated = WhoAmI(
        customer_id="a", instance_id="b", server_time=NOW.replace(microsecond=0), report_every_seconds=None
    )
    unset = WhoAmI(customer_id="a", instance_id="b", server_time=NOW.replace(microsecond=0))
    assert json.loads(json_answer(200, stated)["body"])["report_every_seconds"] is None
    assert "report_every_seconds" not in json.loads(json_answer(200, unset)["body"])


def test_bodies_are_bytes() -> None:
    """A body is read as UTF-8, or from the gateway's base64; none is empty."""
    assert "é".encode() == body_of({"body": "é"})
    encoded = base64.b64encode(b"\xff\x00").decode()
    assert b"\xff\x00" == body_of({"body": encoded, "isBase64Encoded": True})
    assert b"" == body_of({}) == body_of({"body": None})


def test_base64_that_is_none() -> None:
    """A body that is announced as base64 and is none is refused, not guessed."""
    with pytest.raises(ApiError) as caught:
        body_of({"body": "%%%", "isBase64Encoded": True})
    assert (400, "bad_encoding") == (caught.value.status, caught.value.code)


def test_the_request_id() -> None:
    """The gateway's request id is passed on; an event without one has an empty one."""
    assert ["r-1", ""] == [request_id(event_of(KEY)), request_id({})]
