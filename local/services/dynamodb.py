"""AWS's own DynamoDB Local, for exact semantics and consumed capacity."""

import http.client
from collections.abc import Sequence
from pathlib import Path

from local.environment import REPOSITORY
from local.services.program import Program, ProgramMissing, find_program

_JAR = Path(".tools/npm/node_modules/amplify-dynamodb-simulator/emulator/DynamoDBLocal.jar")
_ANSWER_SECONDS = 2


class DynamoDbLocal(Program):
    """DynamoDB on 127.0.0.1, in memory: every start begins with no tables.

    Each pair of access key and region sees tables of its own, as between two AWS accounts.
    """

    name = "dynamodb"
    ready_within_seconds = 60.0

    def __init__(self, folder: Path, *, port: int | None = None, jar: Path | None = None) -> None:
        super().__init__(folder, port)
        self.jar = REPOSITORY / _JAR if jar is None else jar

    @property
    def url(self) -> str:
        """The endpoint for boto3."""
        return f"http://127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        if not self.jar.is_file():
            raise ProgramMissing(
                f"DynamoDB Local ({self.jar.name})",
                "npm install --ignore-scripts --prefix .tools/npm amplify-dynamodb-simulator",
            )

    def _command(self) -> Sequence[str]:
        return [
            str(find_program("java", "apt-get install openjdk-17-jre-headless")),
            "-Xmx256m",
            f"-Djava.library.path={self.jar.parent / 'DynamoDBLocal_lib'}",
            "-jar",
            str(self.jar),
            "-inMemory",
            "-disableTelemetry",
            "-port",
            str(self.port),
        ]

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (ConnectionError, TimeoutError):
            return False
        finally:
            connection.close()
        return True
