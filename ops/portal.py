"""A look at a customer's page: its address with a token that dies soon.

Source: docs/contract.md#the-api.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import jwt

from ops.deployment import Deployment

LIFETIME = timedelta(hours=1)


@dataclass(frozen=True)
class PortalPage:
    """The address of a customer's page, the token in it, and when that dies."""

    url: str
    token: str
    expires: datetime


def portal_page(deployment: Deployment, customer_id: str, now: datetime) -> PortalPage:
    """Return the page of a customer, for reading this customer alone.

    Raises
    ------
    OperatorError
        When there is no such customer.
    """
    deployment.account(customer_id)
    expires = now.replace(microsecond=0) + LIFETIME
    token = portal_token(customer_id, deployment.secret("PortalSecretName"), expires)
    return PortalPage(f"{deployment.outputs['ApiUrl'].rstrip('/')}/dashboard#token={token}", token, expires)


def portal_token(customer_id: str, secret: str, expires: datetime) -> str:
    """Mint a portal token: a JWT, HS256, as the authorizer reads it."""
    claims = {"sub": customer_id, "exp": int(expires.timestamp())}
    return jwt.encode(claims, secret, algorithm="HS256")
