"""``ops portal``: a look at a customer's page."""

from datetime import UTC, datetime, timedelta

import jwt
import typer

from metering.core.contract import format_instant
from ops.deployment import Deployment
from ops.options import AsJson, CustomerId, Stack, messages, print_json

LIFETIME = timedelta(hours=1)


def add_to(app: typer.Typer) -> None:
    """Put the command into the command line."""
    app.command("portal", epilog="Example: ops portal cust_8f2c")(portal)


def portal(customer_id: CustomerId, *, stack: Stack, as_json: AsJson = False) -> None:
    """Print the address of a customer's page with a token of one hour: read-only, this customer alone."""
    deployment = Deployment(stack)
    deployment.account(customer_id)
    expires = datetime.now(UTC).replace(microsecond=0) + LIFETIME
    token = portal_token(customer_id, deployment.secret("PortalSecretName"), expires)
    url = f"{deployment.outputs['ApiUrl'].rstrip('/')}/dashboard#token={token}"
    if as_json:
        print_json(
            {"customer_id": customer_id, "token": token, "url": url, "expires_at": format_instant(expires)}
        )
        return
    messages.print(f"the page of {customer_id}, until {format_instant(expires)}:")
    print(url)


def portal_token(customer_id: str, secret: str, expires: datetime) -> str:
    """Mint a portal token: a JWT, HS256, as the authorizer reads it."""
    claims = {"sub": customer_id, "exp": int(expires.timestamp())}
    return jwt.encode(claims, secret, algorithm="HS256")
