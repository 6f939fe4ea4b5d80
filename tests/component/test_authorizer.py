"""The authorizer through its events: a credential in, an identity or a refusal out."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from metering.core.instants import format_instant
from tests.component.service import PORTAL_SECRET

if TYPE_CHECKING:
    from datetime import datetime

    from metering.core.accounts import Customer
    from tests.component.service import Service

REFUSED = {"isAuthorized": False}


def ask(service: Service, authorization: str | None) -> dict[str, Any]:
    """Ask the authorizer with a header, or without one."""
    event = service.event("authorizer")
    event["headers"].pop("authorization")
    answer: dict[str, Any] = service.invoke(
        "authorizer",
        event | {"headers": event["headers"] | ({"authorization": authorization} if authorization else {})},
    )
    return answer


def test_an_instance_key(service: Service, customer: Customer) -> None:
    """The event's key is the customer's instance, without an end."""
    context = {"customer_id": "cust_8f2c", "instance_id": "default", "scope": "instance"}
    assert {"isAuthorized": True, "context": context} == service.invoke(
        "authorizer", service.event("authorizer")
    )


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer zmf_cust_8f2c.default.wrong",
        "Bearer zmf_cust_8f2c.other.secret",
        "Bearer zmf_cust_0000.default.secret",
        "Bearer zmf_cust_8f2c.default",
        "Bearer zmf_" + "a" * 3000 + ".default.secret",
        "Basic zmf_cust_8f2c.default.secret",
        "zmf_cust_8f2c.default.secret",
        "Bearer ",
        "Bearer not.a.token",
    ],
)
def test_refusals(service: Service, customer: Customer, authorization: str | None) -> None:
    """Any other credential is refused, and none is an error."""
    assert REFUSED == ask(service, authorization)


def test_a_revoked_key(service: Service, customer: Customer) -> None:
    """A key is refused as soon as its digest is gone from the table."""
    instance = service.tables.instances.instance("cust_8f2c", "default")
    assert instance is not None
    service.tables.instances.put(instance.model_copy(update={"digests": ()}))
    assert REFUSED == ask(service, "Bearer zmf_cust_8f2c.default.secret")


def test_a_portal_token(service: Service, now: datetime) -> None:
    """A portal token is its customer, reads only, and carries its expiry for the handlers to enforce."""
    expires = now + timedelta(hours=1)
    token = jwt.encode({"sub": "cust_8f2c", "exp": int(expires.timestamp())}, PORTAL_SECRET)
    context = {
        "customer_id": "cust_8f2c",
        "instance_id": "",
        "scope": "portal",
        "expires": format_instant(expires),
    }
    assert {"isAuthorized": True, "context": context} == ask(service, f"Bearer {token}")


def test_an_expired_token(service: Service, now: datetime) -> None:
    """A portal token that has ended is refused."""
    ended = int((now - timedelta(seconds=1)).timestamp())
    token = jwt.encode({"sub": "cust_8f2c", "exp": ended}, PORTAL_SECRET)
    assert REFUSED == ask(service, f"Bearer {token}")


def test_no_secret_in_the_log(
    service: Service, customer: Customer, capfd: pytest.CaptureFixture[str]
) -> None:
    """A refused credential is logged without the credential."""
    ask(service, "Bearer zmf_cust_8f2c.default.wr0ng-s3cret")
    out, err = capfd.readouterr()
    assert "wr0ng-s3cret" not in out + err
