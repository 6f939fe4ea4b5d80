"""The real programs of the demo and the tests, each on loopback and on a port of its own.

Each is a context manager with ``start``, ``stop`` (SIGTERM, then SIGKILL), ``kill`` (SIGKILL at once, as a
power cut) and ``restart``; ``start`` returns when the program answers. Source: design page "local".
"""

from local.services.dynamodb import DynamoDbLocal
from local.services.mosquitto import Mosquitto
from local.services.postgres import PostgreSQL
from local.services.program import (
    NotReady,
    PortInUse,
    Program,
    ProgramDied,
    ProgramMissing,
    ServiceError,
    find_program,
    free_port,
)

__all__ = [
    "DynamoDbLocal",
    "Mosquitto",
    "NotReady",
    "PortInUse",
    "PostgreSQL",
    "Program",
    "ProgramDied",
    "ProgramMissing",
    "ServiceError",
    "find_program",
    "free_port",
]
