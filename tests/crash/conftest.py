"""DynamoDB Local for processes that are killed."""

from collections.abc import Iterator

import pytest

from local.services.dynamodb import DynamoDbLocal


@pytest.fixture(scope="session")
def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start DynamoDB Local once; tests part by access key. A missing program fails by its name."""
    with DynamoDbLocal(tmp_path_factory.mktemp("dynamodb")) as started:
        yield started.url
