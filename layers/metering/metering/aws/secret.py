"""A secret of Secrets Manager, read when it is needed and kept for five minutes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

    from metering.aws.clients import Clients

_KEPT_SECONDS = 300
"""A rotated secret is used without a deploy, five minutes later at the most."""


@dataclass(slots=True)
class Secret:
    """One secret, by its name."""

    clients: Clients
    name: str
    _provider: SecretsProvider | None = field(default=None, init=False)

    def text(self) -> str:
        """Return the secret's present text."""
        if self._provider is None:
            # Most invocations of most functions need no secret; this import is part of a cold start.
            from aws_lambda_powertools.utilities.parameters import SecretsProvider  # noqa: PLC0415

            self._provider = SecretsProvider(boto3_client=self.clients("secretsmanager"))
        return str(self._provider.get(self.name, max_age=_KEPT_SECONDS))

    def forget(self) -> None:
        """Read the secret anew when it is next needed."""
        self._provider = None
