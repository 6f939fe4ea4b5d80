"""The composition root: a function's settings, tables and clients, put together once at a cold start.

Source: docs/architecture.md#folders.
"""

from collections.abc import Callable
from typing import Any, Protocol

from metering.aws.clients import Clients
from metering.aws.observability import Handler, observed
from metering.aws.settings import Settings, read_settings
from metering.tables.tables import Tables


class Application(Protocol):
    """What a function's ``build`` returns."""

    def handle(self, event: dict[str, Any], context: Any) -> Any:
        """Answer one invocation."""


def compose[S: Settings](
    settings: type[S], build: Callable[[S, Tables, Clients], Application], *, counts: bool = True
) -> Handler:
    """Build a function from its environment, and return what Lambda calls.

    ``counts`` is False for a function that counts no operational events.

    Raises
    ------
    metering.aws.settings.SettingsError
        Names every variable of the environment that is missing or wrong.
    """
    given, clients = read_settings(settings), Clients()
    tables = Tables(clients("dynamodb"), given.table_names)
    return observed(build(given, tables, clients).handle, counts=counts)
