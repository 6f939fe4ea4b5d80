"""The tables on moto and on AWS's own DynamoDB Local, and the functions in process on moto."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

# Imported before any test captures output: its log goes to the stream that it finds at import.
import metering.aws.observability  # noqa: F401
from local.services.dynamodb import DynamoDbLocal
from metering.aws.clients import RETRIES
from metering.core.accounts import Customer
from metering.core.instances import Instance, secret_digest
from metering.core.instants import DAY, HOUR, hour_of
from testing.tables import Calls, create_table
from tests.component.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="session")
def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start DynamoDB Local once; tests part by access key. A missing program fails by its name."""
    with DynamoDbLocal(tmp_path_factory.mktemp("dynamodb")) as started:
        yield started.url


@pytest.fixture
def exact_client(dynamodb_local: str) -> DynamoDBClient:
    """A client of DynamoDB Local that sees no other test's tables."""
    return boto3.client(
        "dynamodb",
        endpoint_url=dynamodb_local,
        aws_access_key_id=uuid.uuid4().hex,
        aws_secret_access_key="test",
        config=RETRIES,
    )


@pytest.fixture(params=["moto", "dynamodb-local"])
def client(request: pytest.FixtureRequest) -> Iterator[DynamoDBClient]:
    """A DynamoDB with one table, called ``table``; every test of it runs on moto and on DynamoDB Local."""
    if request.param == "moto":
        with mock_aws():
            made = boto3.client("dynamodb", config=RETRIES)
            create_table(made, "table")
            yield made
    else:
        made = request.getfixturevalue("exact_client")
        create_table(made, "table")
        yield made


@pytest.fixture
def calls(client: DynamoDBClient) -> Calls:
    """The calls that a test makes."""
    return Calls().watch(client)


@pytest.fixture
def service() -> Iterator[Service]:
    """The functions, built anew, and what they share."""
    with mock_aws():
        yield Service.deploy()


@pytest.fixture
def now() -> datetime:
    """The present, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def last_hour(now: datetime) -> datetime:
    """The last closed hour."""
    return hour_of(now) - HOUR


@pytest.fixture
def customer(service: Service, now: datetime) -> Customer:
    """The events' customer, on starter, in its first period for ten days, with one instance."""
    made = Customer(customer_id="cust_8f2c", name="Eight", plan="starter@1", anchor=hour_of(now) - 10 * DAY)
    service.tables.customers.add(made)
    service.tables.instances.put(
        Instance(customer_id="cust_8f2c", instance_id="default", digests=(secret_digest("secret"),))
    )
    return made
