"""One call of the API: where it is, what it takes, what it does."""

from collections.abc import Callable
from dataclasses import dataclass

from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.parameters import Record


@dataclass(frozen=True)
class Endpoint:
    """A method and a path, which may hold one ``{id}``; the parameters taken there; and the operation."""

    method: str
    path: str
    parameters: Record
    operation: Callable[[State, Asked], Json]
