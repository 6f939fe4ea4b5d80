"""The fake answers as DynamoDB does: the same calls, side by side, on moto and on DynamoDB Local.

The property tests stand on the fake; whatever it answered otherwise than the service would be proof of
nothing.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from testing.conditions import UnsupportedExpressionError
from testing.dynamodb import FakeDynamoDb
from testing.tables import create_table, items_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

CALLS = 250
PUTS: list[dict[str, Any]] = [
    {},
    {"ReturnValues": "ALL_OLD"},
    {"ConditionExpression": "attribute_not_exists(pk)"},
    {"ConditionExpression": "attribute_exists(pk)"},
    {"ConditionExpression": "n = :n"},
    {"ConditionExpression": "j = :j"},
    {"ConditionExpression": "attribute_not_exists(pk) OR n = :n"},
    {"ConditionExpression": "attribute_not_exists(pk) OR n <= :n"},
    {
        "ConditionExpression": "attribute_not_exists(pk) OR n < :n",
        "ReturnValues": "ALL_OLD",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    },
    {"ConditionExpression": "NOT (n > :n) AND j <> :j"},
]
DELETES: list[dict[str, Any]] = [
    {},
    {"ReturnValues": "ALL_OLD"},
    {"ConditionExpression": "touched = :touched"},
    {"ConditionExpression": "#j = :j", "ExpressionAttributeNames": {"#j": "j"}},
]
QUERIES = [
    "pk = :pk",
    "pk = :pk AND begins_with(sk, :low)",
    "pk = :pk AND sk BETWEEN :low AND :high",
    "pk = :pk AND sk < :low",
    "pk = :pk AND sk >= :low",
]
_NOT_READ = {"ResponseMetadata", "ScannedCount", "ConsumedCapacity"}
SORTS = ["a", "a#1", "a#2", "ab", "b", "b#1", "c"]


def answer(call: Callable[..., Any], **parameters: Any) -> Any:
    """Return what a call answers that our code could see: its values, or its error with the item."""
    try:
        answered = call(TableName="table", **parameters)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response.get("Item")
    return {name: value for name, value in answered.items() if name not in {*_NOT_READ}}


def a_key(chance: random.Random) -> dict[str, Any]:
    """One of a few keys, so that calls meet."""
    return {"pk": {"S": chance.choice("xy")}, "sk": {"S": chance.choice(SORTS)}}


def values_for(expression: str, chance: random.Random) -> dict[str, Any]:
    """Values for the placeholders that an expression uses."""
    known = {
        ":n": {"N": str(chance.choice((1, 2, 9, 10, 11)))},
        ":j": {"S": chance.choice("pq")},
        ":touched": {"S": chance.choice("tu")},
    }
    return {name: value for name, value in known.items() if name in expression}


def a_put(chance: random.Random) -> dict[str, Any]:
    """A put under one of the conditions in use, of an item that may lack any of the attributes."""
    item = a_key(chance) | {"b": {"B": bytes([chance.randrange(256)])}}
    for name, value in (
        ("n", {"N": str(chance.choice((1, 2, 9, 10, 11)))}),
        ("j", {"S": chance.choice("pq")}),
    ):
        if chance.random() < 0.8:
            item[name] = value
    if chance.random() < 0.5:
        item["touched"] = {"S": chance.choice("tu")}
    form = chance.choice(PUTS)
    values = values_for(form.get("ConditionExpression", ""), chance)
    return {"Item": item, **form} | ({"ExpressionAttributeValues": values} if values else {})


def a_delete(chance: random.Random) -> dict[str, Any]:
    """A delete under one of the conditions in use."""
    form = chance.choice(DELETES)
    values = values_for(form.get("ConditionExpression", ""), chance)
    return {"Key": a_key(chance), **form} | ({"ExpressionAttributeValues": values} if values else {})


def a_query(chance: random.Random) -> dict[str, Any]:
    """A query of one partition, forwards or backwards, perhaps of a few items and from one on."""
    expression = chance.choice(QUERIES)
    low, high = sorted((chance.choice(SORTS), chance.choice(SORTS)))
    known = {":pk": {"S": chance.choice("xyz")}, ":low": {"S": low}, ":high": {"S": high}}
    query: dict[str, Any] = {
        "KeyConditionExpression": expression,
        "ExpressionAttributeValues": {name: value for name, value in known.items() if name in expression},
        "ConsistentRead": True,
        "ScanIndexForward": chance.random() < 0.8,
    }
    if chance.random() < 0.5:
        query["Limit"] = chance.choice((1, 2, 3))
    return query


@pytest.mark.parametrize("seed", range(2))
def test_the_fake_answers_as_the_service(client: DynamoDBClient, seed: int) -> None:
    """Every put, get, delete and query of ours has the same answer, error and effect on the fake."""
    chance, fake = random.Random(seed), FakeDynamoDb()
    for number in range(CALLS):
        name, parameters = chance.choice(
            [
                ("put_item", a_put(chance)),
                ("put_item", a_put(chance)),
                ("delete_item", a_delete(chance)),
                ("get_item", {"Key": a_key(chance), "ConsistentRead": True}),
                ("query", a_query(chance)),
            ]
        )
        expected = answer(getattr(client, name), **parameters)
        found = answer(getattr(fake, name), **parameters)
        assert _without_cursor(expected) == _without_cursor(found), f"call {number}: {name} {parameters}"
    assert items_of(client) == fake.items("table")


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
@pytest.mark.parametrize("form", QUERIES[:3])
def test_the_pages_of_the_fake_are_one_query(client: DynamoDBClient, form: str, page: int) -> None:
    """Page by page, the fake's paginator gives what the service's gives."""
    fake = FakeDynamoDb(page=page)
    for made in (client, fake):
        for sort in SORTS:
            made.put_item(TableName="table", Item={"pk": {"S": "x"}, "sk": {"S": sort}})
    known = {":pk": {"S": "x"}, ":low": {"S": "a"}, ":high": {"S": "b"}}
    query: dict[str, Any] = {
        "TableName": "table",
        "KeyConditionExpression": form,
        "ExpressionAttributeValues": {name: value for name, value in known.items() if name in form},
        "ConsistentRead": True,
    }
    expected, found = (
        [
            item["sk"]["S"]
            for answered in made.get_paginator("query").paginate(**query)
            for item in answered["Items"]
        ]
        for made in (client, fake)
    )
    assert expected == found


def test_a_wrong_request_fails_on_both(exact_client: DynamoDBClient) -> None:
    """A placeholder too many, one too few, and an empty key are refused as the service refuses them."""
    create_table(exact_client, "table")
    item: dict[str, Any] = {"pk": {"S": "x"}, "sk": {"S": "a"}}
    wrong: list[dict[str, Any]] = [
        {"Item": item, "ConditionExpression": "n = :n", "ExpressionAttributeValues": {":m": {"N": "1"}}},
        {"Item": item | {"sk": {"S": ""}}},
    ]
    for parameters in wrong:
        expected = answer(exact_client.put_item, **parameters)
        assert "ValidationException" == expected[0]
        assert expected == answer(FakeDynamoDb().put_item, **parameters)


@pytest.mark.parametrize("expression", ["size(b) > :n", "n = ", "contains(j, :j)", "n ~ :n"])
def test_an_unknown_expression_is_refused(expression: str) -> None:
    """What the fake does not know it refuses, instead of answering by guess."""
    with pytest.raises((UnsupportedExpressionError, ClientError, KeyError)):
        FakeDynamoDb().put_item(
            TableName="table",
            Item={"pk": {"S": "x"}, "sk": {"S": "a"}, "n": {"N": "1"}, "j": {"S": "p"}},
            ConditionExpression=expression,
            ExpressionAttributeValues={":n": {"N": "1"}},
        )


def _without_cursor(answered: Any) -> Any:
    """Leave out where a full page ended: the service may say so without there being any more."""
    if isinstance(answered, dict):
        return {name: value for name, value in answered.items() if name != "LastEvaluatedKey"}
    return answered
