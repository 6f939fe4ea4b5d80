"""The wire to the billing service: one request, one reply, whatever happens in between.

httpx is imported here alone, and this module only where a billing URL is set: it costs 15 MB. Source:
docs/agent-design.md#configuration and docs/agent-design.md#budget.
"""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
from pydantic import SecretStr

from agent.version import VERSION

_LONGEST_REPLY = 64 * 1024


class Destination(Protocol):
    """What the agent's settings say of the service: its address, our key, how to get there.

    ``billing_ca_file`` is the PEM file of an authority of its own, ``billing_proxy`` a proxy's address.
    """

    @property
    def billing_api_url(self) -> str | None: ...  # noqa: D102  the class says it
    @property
    def instance_key(self) -> SecretStr | None: ...  # noqa: D102  the class says it
    @property
    def billing_ca_file(self) -> Path | None: ...  # noqa: D102  the class says it
    @property
    def billing_proxy(self) -> str | None: ...  # noqa: D102  the class says it


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and body; without any answer the status is 0 and ``trouble`` says why."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    trouble: str = ""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, or an empty one where it is none."""
        try:
            said = json.loads(self.body)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}


class Wire:
    """A connection to the billing service that carries the instance key; kept open between requests."""

    def __init__(self, base_url: str, client: httpx.Client) -> None:
        self._base_url = base_url
        self._client = client

    @classmethod
    def to_service(cls, settings: Destination, key: SecretStr | None = None) -> Self:
        """The wire that the settings describe: key (the instance's unless given), proxy and authority.

        Raises
        ------
        ssl.SSLError, OSError
            When ``BILLING_CA_FILE`` holds no certificate.
        """
        assert settings.billing_api_url is not None
        key = key or settings.instance_key
        assert key is not None
        authority = settings.billing_ca_file
        client = httpx.Client(
            headers={
                "Authorization": f"Bearer {key.get_secret_value()}",
                "User-Agent": f"zemfyre-billing-agent/{VERSION}",
            },
            verify=ssl.create_default_context(cafile=authority) if authority else True,
            proxy=settings.billing_proxy,
            timeout=httpx.Timeout(10.0, connect=5.0),
            limits=httpx.Limits(max_connections=1),
            # The agent goes where its own settings say; a proxy of the environment is not one of them.
            trust_env=False,
        )
        return cls(settings.billing_api_url, client)

    def ask(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send one request and read the reply, at most 64 KiB of it."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            with self._client.stream(
                method, self._base_url + path, content=body, headers=headers
            ) as response:
                read = b""
                for piece in response.iter_bytes():
                    read += piece
                    if len(read) > _LONGEST_REPLY:
                        return Reply(0, trouble="the answer is longer than any of the service's")
                return Reply(response.status_code, response.headers, read)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Reply(0, trouble=f"no answer: {type(error).__name__}: {error}"[:300])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
