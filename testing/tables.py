"""A table for tests, everything in it, and what was asked of DynamoDB."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metering.tables.tables import TABLES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeDefinitionTypeDef, KeySchemaElementTypeDef

KEY: list[KeySchemaElementTypeDef] = [
    {"AttributeName": "pk", "KeyType": "HASH"},
    {"AttributeName": "sk", "KeyType": "RANGE"},
]
ATTRIBUTES: list[AttributeDefinitionTypeDef] = [
    {"AttributeName": "pk", "AttributeType": "S"},
    {"AttributeName": "sk", "AttributeType": "S"},
]
"""The key that all five tables have."""


def create_table(client: DynamoDBClient, name: str) -> None:
    """Create a table with the key that all five tables have, unless it is there.

    On a loaded machine a call can run into its timeout after it took effect; the next attempt then finds
    the table.
    """
    with suppress(client.exceptions.ResourceInUseException):
        client.create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST", AttributeDefinitions=ATTRIBUTES, KeySchema=KEY
        )


def create_tables(client: DynamoDBClient) -> None:
    """Create all tables, each under its own plain name (`Tables.plain`)."""
    for name in TABLES:
        create_table(client, name)


def items_of(client: DynamoDBClient, table: str = "table") -> list[dict[str, Any]]:
    """Return everything in a table, in the order of keys."""
    found: list[dict[str, Any]] = []
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        found += page["Items"]
    return sorted(found, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


@dataclass
class Calls:
    """What was asked of DynamoDB: operation and parameters, in order; and which call is to fail, once."""

    made: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    fail_at: int | None = None

    def watch(self, client: DynamoDBClient) -> Calls:
        """Note every call of a client from now on."""
        client.meta.events.register("before-call.dynamodb", self._note)
        return self

    def _note(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        if len(self.made) == self.fail_at:
            self.fail_at = None
            raise ConnectionAbortedError(f"{model.name} failed")
        self.made.append((model.name, json.loads(params["body"])))

    def of(self, *operations: str) -> list[dict[str, Any]]:
        """Return the parameters of the calls of some operations."""
        return [parameters for name, parameters in self.made if name in operations]
