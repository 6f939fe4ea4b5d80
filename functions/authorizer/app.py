"""The HTTP API's Lambda authorizer: a credential in, an identity or a refusal out."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from authorizer.credentials import bearer_of, identify_key, identify_token, is_key
from metering.aws.clients import Clients
from metering.aws.observability import logger
from metering.aws.secret import Secret
from metering.aws.settings import Settings
from metering.aws.web import Identity
from metering.tables.instances import Instances
from metering.tables.tables import Tables


class AuthorizerSettings(Settings):
    """What the authorizer reads from its environment."""

    customers_table: str
    portal_secret_name: str


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Knows instance keys by their digests, and portal tokens by the secret that signs them."""

    instances: Instances
    portal_secret: Secret

    def handle(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Answer the gateway in its simple form (payload 2.0)."""
        token = bearer_of(event.get("headers", {}).get("authorization", ""))
        identity = self._identify(token, datetime.now(UTC)) if token else None
        if identity is None:
            logger.info("credential refused", extra={"source_ip": _source_ip(event)})
            return {"isAuthorized": False}
        return {"isAuthorized": True, "context": identity.to_context()}

    def _identify(self, token: str, now: datetime) -> Identity | None:
        if is_key(token):
            return identify_key(token, self.instances.instance)
        return identify_token(token, self.portal_secret.text(), now)


def build(settings: AuthorizerSettings, tables: Tables, clients: Clients) -> Authorizer:
    """Put the authorizer together."""
    return Authorizer(tables.instances, Secret(clients, settings.portal_secret_name))


def _source_ip(event: dict[str, Any]) -> str:
    return str(event.get("requestContext", {}).get("http", {}).get("sourceIp", ""))
