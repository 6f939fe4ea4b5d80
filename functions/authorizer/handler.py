"""The HTTP API's Lambda authorizer: a credential in, an identity or a refusal out."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.typing import LambdaContext

from authorizer.credentials import bearer_of, identify_key, identify_token, is_key
from metering.aws.observability import logger
from metering.aws.settings import Settings, read_settings
from metering.aws.web import Identity
from metering.tables.client import dynamodb
from metering.tables.customers import Customers


class AuthorizerSettings(Settings):
    """What the authorizer reads from its environment."""

    customers_table: str
    portal_secret_name: str


SETTINGS = read_settings(AuthorizerSettings)
_SECRET_SECONDS = 300


@logger.inject_lambda_context
def handle(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer the gateway in its simple form (payload 2.0)."""
    token = bearer_of(event.get("headers", {}).get("authorization", ""))
    identity = _identify(token, datetime.now(UTC)) if token else None
    if identity is None:
        logger.info("credential refused", extra={"source_ip": _source_ip(event)})
        return {"isAuthorized": False}
    return {"isAuthorized": True, "context": identity.to_context()}


def _identify(token: str, now: datetime) -> Identity | None:
    if is_key(token):
        return identify_key(token, Customers(dynamodb(), SETTINGS.customers_table).instance)
    secret = parameters.get_secret(SETTINGS.portal_secret_name, max_age=_SECRET_SECONDS)
    return identify_token(token, str(secret), now)


def _source_ip(event: dict[str, Any]) -> str:
    return str(event.get("requestContext", {}).get("http", {}).get("sourceIp", ""))
