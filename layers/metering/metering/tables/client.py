"""The one DynamoDB client, and reading a query to its end."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Item = dict[str, AttributeValueTypeDef]

RETRIES = Config(
    retries={"mode": "standard", "total_max_attempts": 5},
    connect_timeout=2,
    read_timeout=5,
    tcp_keepalive=True,
)
"""Throttling and lost connections are retried by botocore with back-off, at most five attempts in all."""


@cache
def dynamodb() -> DynamoDBClient:
    """Return the process's DynamoDB client, made on first use."""
    return boto3.client("dynamodb", config=RETRIES)


def query_all(client: DynamoDBClient, **query: Any) -> Iterator[Item]:
    """Yield every item of a strongly consistent query, page by page."""
    for page in client.get_paginator("query").paginate(ConsistentRead=True, **query):
        yield from page["Items"]


def query_prefix(client: DynamoDBClient, table: str, partition: str, prefix: str) -> Iterator[Item]:
    """Yield the items of one partition whose sort key begins with the prefix, in key order."""
    return query_all(
        client,
        TableName=table,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
        ExpressionAttributeValues={":pk": {"S": partition}, ":prefix": {"S": prefix}},
    )


def query_between(client: DynamoDBClient, table: str, partition: str, low: str, high: str) -> Iterator[Item]:
    """Yield the items of one partition whose sort key lies between the two, both included."""
    return query_all(
        client,
        TableName=table,
        KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
        ExpressionAttributeValues={":pk": {"S": partition}, ":low": {"S": low}, ":high": {"S": high}},
    )
