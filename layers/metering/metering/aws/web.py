"""HTTP API events and answers (payload format 2.0), and the identity that the authorizer put into them.

The handlers enforce customer, instance, scope and expiry, since one cached answer of the authorizer serves
every route (docs/contract.md#the-api).
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from metering.core.contract import ErrorAnswer, ErrorDetail, FieldError
from metering.core.instants import format_instant, parse_instant

type Scope = Literal["instance", "portal"]


class ApiError(Exception):
    """An answer that is an error; translated into the contract's error body at the edge."""

    def __init__(
        self, status: int, code: str, message: str, details: Sequence[FieldError] = (), **held: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = list(details)
        self.held = held

    def answer(self, request_id: str, now: datetime) -> dict[str, Any]:
        """Return the error as the HTTP API's answer."""
        detail = ErrorDetail(
            code=self.code, message=self.message, details=self.details, request_id=request_id
        )
        body = ErrorAnswer(error=detail, server_time=now.replace(microsecond=0), **self.held)
        return json_answer(self.status, body)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from, as the authorizer told it."""

    customer_id: str
    instance_id: str
    scope: Scope
    expires: datetime | None = None

    def to_context(self) -> dict[str, str]:
        """Return the authorizer's context: strings, as the gateway wants them."""
        context = {"customer_id": self.customer_id, "instance_id": self.instance_id, "scope": self.scope}
        return context | ({"expires": format_instant(self.expires)} if self.expires else {})


def json_answer(status: int, body: BaseModel, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a model as the HTTP API's answer; fields that were not set are left out."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json", "cache-control": "no-store"} | dict(headers or {}),
        "body": body.model_dump_json(exclude_unset=True),
    }


def request_id(event: Mapping[str, Any]) -> str:
    """Return the gateway's id of a request."""
    return str(event.get("requestContext", {}).get("requestId", ""))


def body_of(event: Mapping[str, Any]) -> bytes:
    """Return a request's body as bytes.

    Raises
    ------
    ApiError
        400 ``bad_encoding`` when the gateway's base64 cannot be read.
    """
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise ApiError(400, "bad_encoding", "the request's body is not valid base64") from None


def identity_of(event: Mapping[str, Any], now: datetime) -> Identity:
    """Return who asks, from the authorizer's context, and enforce its expiry.

    Raises
    ------
    ApiError
        401 ``expired`` when the credential has expired since the authorizer's answer was cached.
    """
    context = event["requestContext"]["authorizer"]["lambda"]
    expires = parse_instant(context["expires"]) if "expires" in context else None
    if expires is not None and expires <= now:
        raise ApiError(401, "expired", "the session has expired; ask for a new one")
    return Identity(context["customer_id"], context["instance_id"], context["scope"], expires)


def require_customer(identity: Identity, customer_id: str) -> None:
    """Let a customer see itself only.

    Raises
    ------
    ApiError
        403 ``forbidden``, the same whether the other customer exists or not.
    """
    if identity.customer_id != customer_id:
        raise ApiError(403, "forbidden", "this credential is not for that customer")


def require_instance_key(identity: Identity) -> None:
    """Keep portal sessions, which only read, from what instances do.

    Raises
    ------
    ApiError
        403 ``instance_key_required``.
    """
    if identity.scope != "instance":
        raise ApiError(403, "instance_key_required", "this route needs an instance key")
