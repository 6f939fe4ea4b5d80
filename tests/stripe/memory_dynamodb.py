"""A DynamoDB in memory, for histories by the thousand: exactly what our table modules ask of a client.

``test_memory_dynamodb.py`` runs the same calls on this one and on moto.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from botocore.exceptions import ClientError

type Item = dict[str, Any]


class ConditionalCheckFailedException(ClientError):  # noqa: N818  boto3's name
    """A write's condition did not hold."""


class CrashError(Exception):
    """The process died here."""


class Steps:
    """Counts inputs and outputs of all kinds, and lets the process die at one of them."""

    def __init__(self) -> None:
        self.taken = 0
        self._dies_at: int | None = None
        self._after = False

    def die_at(self, step: int, *, after: bool) -> None:
        """Die at the n-th step from now, counted from 1: before it has an effect, or after."""
        self._dies_at, self._after = self.taken + step, after

    def live_on(self) -> None:
        """Die at no step."""
        self._dies_at = None

    def begin(self) -> int:
        """Begin a step; return its number."""
        self.taken += 1
        if self.taken == self._dies_at and not self._after:
            self._die()
        return self.taken

    def end(self, step: int) -> None:
        """End a step: it has had its effect."""
        if step == self._dies_at and self._after:
            self._die()

    def _die(self) -> NoReturn:
        self._dies_at = None
        raise CrashError


class MemoryDynamoDb:
    """The calls of a DynamoDB client that the table modules make."""

    class exceptions:  # noqa: N801  boto3's name
        """The errors that callers catch."""

        ConditionalCheckFailedException = ConditionalCheckFailedException

    def __init__(self, steps: Steps | None = None) -> None:
        self.tables: dict[str, dict[tuple[str, str], Item]] = {}
        self.steps = steps or Steps()

    def put_item(self, *, TableName: str, Item: Item, **condition: Any) -> Item:  # noqa: N803  boto3's names
        """Store an item if the condition holds."""
        step = self.steps.begin()
        table = self.tables.setdefault(TableName, {})
        key = Item["pk"]["S"], Item["sk"]["S"]
        old = table.get(key)
        self._check(old, condition)
        table[key] = copy.deepcopy(Item)
        self.steps.end(step)
        return {"Attributes": old} if old is not None and condition.get("ReturnValues") == "ALL_OLD" else {}

    def delete_item(self, *, TableName: str, Key: Item, **condition: Any) -> Item:  # noqa: N803  boto3's names
        """Delete an item if the condition holds; one that is not there is deleted."""
        step = self.steps.begin()
        table = self.tables.setdefault(TableName, {})
        key = Key["pk"]["S"], Key["sk"]["S"]
        self._check(table.get(key), condition)
        table.pop(key, None)
        self.steps.end(step)
        return {}

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool) -> Item:  # noqa: N803  boto3's names
        """Return an item, if it is there."""
        assert ConsistentRead
        step = self.steps.begin()
        item = self.tables.get(TableName, {}).get((Key["pk"]["S"], Key["sk"]["S"]))
        self.steps.end(step)
        return {"Item": copy.deepcopy(item)} if item is not None else {}

    def get_paginator(self, operation: str) -> "MemoryDynamoDb":
        """Queries are the only calls with pages."""
        assert operation == "query"
        return self

    def paginate(
        self,
        *,
        TableName: str,  # noqa: N803  boto3's names
        KeyConditionExpression: str,  # noqa: N803
        ExpressionAttributeValues: Item,  # noqa: N803
        ConsistentRead: bool,  # noqa: N803
    ) -> Iterator[Item]:
        """Return a partition's items that fit, in the order of their sort keys, as one page."""
        assert ConsistentRead
        step = self.steps.begin()
        values = {name: value["S"] for name, value in ExpressionAttributeValues.items()}
        fits = _key_condition(KeyConditionExpression, values)
        items = [
            copy.deepcopy(item)
            for (pk, sk), item in sorted(self.tables.get(TableName, {}).items())
            if pk == values[":pk"] and fits(sk)
        ]
        self.steps.end(step)
        yield {"Items": items}

    def _check(self, old: Item | None, condition: dict[str, Any]) -> None:
        expression = condition.get("ConditionExpression")
        if expression is None or _holds(expression, old, condition.get("ExpressionAttributeValues", {})):
            return
        answer: Any = {
            "Error": {"Code": "ConditionalCheckFailedException", "Message": "The condition failed."}
        }
        if old is not None and condition.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            answer["Item"] = old
        raise ConditionalCheckFailedException(answer, "PutItem")


def _key_condition(expression: str, values: dict[str, str]) -> Any:
    rest = expression.removeprefix("pk = :pk").removeprefix(" AND ")
    if rest == "":
        return lambda _: True
    if match := re.fullmatch(r"begins_with\(sk, (:\w+)\)", rest):
        return lambda sk: sk.startswith(values[match[1]])
    if match := re.fullmatch(r"sk BETWEEN (:\w+) AND (:\w+)", rest):
        return lambda sk: values[match[1]] <= sk <= values[match[2]]
    if match := re.fullmatch(r"sk < (:\w+)", rest):
        return lambda sk: sk < values[match[1]]
    raise AssertionError(f"a key condition that no table module has: {expression}")


def _holds(expression: str, old: Item | None, values: Item) -> bool:
    return any(_term_holds(term, old, values) for term in expression.split(" OR "))


def _term_holds(term: str, old: Item | None, values: Item) -> bool:
    if term == "attribute_not_exists(pk)":
        return old is None
    match = re.fullmatch(r"(\w+) (=|<|<=) (:\w+)", term)
    assert match, f"a condition that no table module has: {term}"
    if old is None or match[1] not in old:
        return False
    stored, given = _plain(old[match[1]]), _plain(values[match[3]])
    return bool({"=": stored == given, "<": stored < given, "<=": stored <= given}[match[2]])


def _plain(value: Item) -> Any:
    return int(value["N"]) if "N" in value else value["S"]
