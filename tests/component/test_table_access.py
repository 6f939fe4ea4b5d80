"""Every call that the table modules make is answered alike by the fake, by moto and by DynamoDB Local."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from metering.tables.access import TableAccess
from testing.dynamodb import FakeDynamoDb
from testing.steps import CrashError, Steps
from testing.tables import create_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(params=["fake", "moto", "dynamodb-local"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client with an empty table called ``table``."""
    if request.param == "fake":
        yield FakeDynamoDb()
    elif request.param == "moto":
        with mock_aws():
            made = boto3.client("dynamodb")
            create_table(made, "table")
            yield made
    else:
        made = request.getfixturevalue("exact_client")
        create_table(made, "table")
        yield made


def _item(sk: str, number: int = 1, text: str = "a") -> dict[str, Any]:
    return {"pk": {"S": "p"}, "sk": {"S": sk}, "n": {"N": str(number)}, "j": {"S": text}}


def _put(client: Any, item: dict[str, Any], condition: str | None = None, **values: Any) -> bool:
    more: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
    if values:
        more["ExpressionAttributeValues"] = {f":{name}": value for name, value in values.items()}
    try:
        client.put_item(TableName="table", Item=item, **more)
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def _get(client: Any, sk: str) -> Any:
    key = {"pk": {"S": "p"}, "sk": {"S": sk}}
    return client.get_item(TableName="table", Key=key, ConsistentRead=True).get("Item")


@pytest.mark.parametrize(
    ("condition", "stored", "number", "holds"),
    [
        ("attribute_not_exists(pk)", None, None, True),
        ("attribute_not_exists(pk)", 1, None, False),
        ("n = :n", None, 1, False),
        ("n = :n", 1, 1, True),
        ("n = :n", 2, 1, False),
        ("attribute_not_exists(pk) OR n = :n", None, 0, True),
        ("attribute_not_exists(pk) OR n <= :n", 2, 2, True),
        ("attribute_not_exists(pk) OR n <= :n", 10, 9, False),
        ("attribute_not_exists(pk) OR n < :n", 2, 2, False),
        ("attribute_not_exists(pk) OR n < :n", 9, 10, True),
    ],
)
def test_a_put_is_stored_when_its_condition_holds_and_only_then(
    client: Any, condition: str, stored: int | None, number: int | None, *, holds: bool
) -> None:
    """A put is stored if its condition holds for what is there, 9 being less than 10, and else not."""
    if stored is not None:
        _put(client, _item("s", stored, "old"))
    values = {} if number is None else {"n": {"N": str(number)}}
    assert holds is _put(client, _item("s", 7, "new"), condition, **values)
    assert (_get(client, "s") == _item("s", 7, "new")) is holds


def test_a_put_over_a_text_needs_that_very_text(client: Any) -> None:
    """A put on condition of a stored text is refused for any other text."""
    _put(client, _item("s", text="old"))
    assert not _put(client, _item("s", text="new"), "j = :old", old={"S": "other"})
    assert _put(client, _item("s", text="new"), "j = :old", old={"S": "old"})


def test_a_delete_needs_its_condition_and_no_item(client: Any) -> None:
    """A delete of nothing is no error; one whose condition fails raises and leaves the item."""
    key = {"pk": {"S": "p"}, "sk": {"S": "s"}}
    client.delete_item(TableName="table", Key=key)
    _put(client, _item("s"))
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.delete_item(
            TableName="table",
            Key=key,
            ConditionExpression="j = :j",
            ExpressionAttributeValues={":j": {"S": "b"}},
        )
    assert _get(client, "s") == _item("s")


def test_a_refused_put_shows_the_item_that_is_there(client: Any) -> None:
    """A put that its condition refuses answers with the item there, where ALL_OLD asks for it."""
    _put(client, _item("s", 5))
    with pytest.raises(client.exceptions.ConditionalCheckFailedException) as refused:
        client.put_item(
            TableName="table",
            Item=_item("s", 4),
            ConditionExpression="attribute_not_exists(pk) OR n < :n",
            ExpressionAttributeValues={":n": {"N": "4"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert _item("s", 5) == refused.value.response["Item"]


def test_a_put_returns_the_item_that_it_replaced(client: Any) -> None:
    """A put that asks for ALL_OLD answers with the item that it replaced, and with none if none was there."""
    first = client.put_item(TableName="table", Item=_item("s", 1), ReturnValues="ALL_OLD")
    second = client.put_item(TableName="table", Item=_item("s", 2), ReturnValues="ALL_OLD")
    assert (None, _item("s", 1)) == (first.get("Attributes"), second["Attributes"])


def test_queries_are_in_the_order_of_sort_keys_within_one_partition(client: Any) -> None:
    """A query has one partition's items in the order of their sort keys as text: b#10 before b#2."""
    for sk in ("b#2", "a#1", "b#10", "c"):
        _put(client, _item(sk))
    _put(client, _item("b#3") | {"pk": {"S": "q"}})

    def found(items: Iterator[Any]) -> list[str]:
        return [item["sk"]["S"] for item in items]

    table = TableAccess(client, "table")
    assert ["b#10", "b#2"] == found(table.items_with_prefix("p", "b#"))
    assert ["a#1", "b#10", "b#2"] == found(table.items_between("p", "a#1", "b#2"))
    assert ["a#1", "b#10", "b#2"] == found(table.query("pk = :pk AND sk < :end", pk="p", end="b$"))
    assert ["b#3"] == found(table.query("pk = :pk", pk="q"))


@pytest.mark.parametrize(("after", "stored"), [(False, False), (True, True)])
def test_a_process_can_die_before_or_after_a_step_has_its_effect(*, after: bool, stored: bool) -> None:
    """A step at which a process dies has no effect if it dies before it, and its whole effect if after."""
    steps = Steps()
    client: Any = steps.dynamodb()
    steps.die_at(2, after=after)
    _put(client, _item("first"))
    with pytest.raises(CrashError, match="step 2, put_item table"):
        _put(client, _item("second"))
    assert stored is (_get(client, "second") is not None)


def test_a_table_that_is_there_is_created_already(exact_client: DynamoDBClient) -> None:
    """An attempt whose answer was lost and the next one make one table, and what is in it stays."""
    create_table(exact_client, "table")
    _put(exact_client, _item("s"))
    create_table(exact_client, "table")
    assert _item("s") == _get(exact_client, "s")
