"""Instances of the platform and their keys, as values; apart from accounts, so that no catalogue is needed.

Source: docs/storage.md#tables.
"""

import hashlib
import hmac
import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from metering.core.contract import ID_PATTERN, Id

KEY_PREFIX = "zmf_"


class Instance(BaseModel):
    """One instance of the platform: the SHA-256 digests of up to two secrets, never a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_id: Id
    instance_id: Id
    digests: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = Field(max_length=2)

    def accepts(self, secret: str) -> bool:
        """Tell whether a secret is one of the instance's, in constant time."""
        offered = secret_digest(secret)
        matches = [hmac.compare_digest(offered, digest) for digest in self.digests]
        return any(matches)


def secret_digest(secret: str) -> str:
    """Return the SHA-256 of an instance key's secret, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def make_key(customer_id: str, instance_id: str, secret: str) -> str:
    """Write an instance key: ``zmf_<customer>.<instance>.<secret>``."""
    return f"{KEY_PREFIX}{customer_id}.{instance_id}.{secret}"


def split_key(key: str) -> tuple[str, str, str] | None:
    """Read an instance key into customer, instance and secret; None when it has another form."""
    parts = key.removeprefix(KEY_PREFIX).split(".")
    if not key.startswith(KEY_PREFIX) or len(parts) != 3:  # noqa: PLR2004  its three parts
        return None
    customer_id, instance_id, secret = parts
    # Whatever is no id would reach the table as a key: too long a one is an error there, not "unknown".
    if not (re.fullmatch(ID_PATTERN, customer_id) and re.fullmatch(ID_PATTERN, instance_id) and secret):
        return None
    return customer_id, instance_id, secret
