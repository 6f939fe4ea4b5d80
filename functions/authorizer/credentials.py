"""Credentials become an identity: instance keys, checked against their digests, and portal tokens."""

from collections.abc import Callable
from datetime import UTC, datetime

import jwt

from metering.aws.web import Identity
from metering.core.instances import KEY_PREFIX, Instance, split_key

ALGORITHM = "HS256"
SCHEME = "bearer "


def bearer_of(header: str) -> str | None:
    """Return the token of an ``Authorization`` header, or None when it is of another scheme."""
    if header[: len(SCHEME)].lower() != SCHEME:
        return None
    return header[len(SCHEME) :].strip() or None


def identify_key(key: str, find_instance: Callable[[str, str], Instance | None]) -> Identity | None:
    """Return the instance behind a key, or None when it is unknown, revoked or malformed."""
    parts = split_key(key)
    if parts is None:
        return None
    customer_id, instance_id, secret = parts
    instance = find_instance(customer_id, instance_id)
    if instance is None or not instance.accepts(secret):
        return None
    return Identity(customer_id, instance_id, "instance")


def identify_token(token: str, secret: str, now: datetime) -> Identity | None:
    """Return the customer behind a portal token, or None when it is forged, expired or malformed."""
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            options={"require": ["sub", "exp"], "verify_exp": False, "verify_iat": False},
        )
        expires = datetime.fromtimestamp(int(claims["exp"]), UTC)
    except (jwt.InvalidTokenError, ValueError, OverflowError):
        return None
    if expires <= now:
        return None
    return Identity(str(claims["sub"]), "", "portal", expires)


def is_key(token: str) -> bool:
    """Tell an instance key from a portal token."""
    return token.startswith(KEY_PREFIX)
