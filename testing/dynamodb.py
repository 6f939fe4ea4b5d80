# ruff: noqa: N803 - the service's own parameter names
"""DynamoDB in memory, over which the table modules run unchanged: each call of the client is one step.

It knows single items with conditions and queries of one partition, page by page, and refuses every parameter
that it does not know. ``before`` is called ahead of each call, and may raise: the call is then not made;
``after`` once it was made. A page of a query is a call of its own, as with the service: between two pages the
table may change. The suite ``tests/component/test_fake_dynamodb.py`` holds it to moto and DynamoDB Local.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from testing.conditions import Item, parse

_PAGE = 1000
_KEY_NAMES = {"pk", "sk"}


class ConditionalCheckFailedException(ClientError):  # noqa: N818  the service's own name
    """The condition did not hold; ``response["Item"]`` is the item there, where it was asked for."""


class ValidationError(ClientError):
    """The request is wrong whatever the table holds."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the client: its operation, table and key (a query: its partition)."""

    operation: str
    table: str
    key: str


@dataclass(slots=True)
class _Partition:
    items: dict[str, Item] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


def _nothing(_call: Call) -> None:
    """Watch nothing."""


@dataclass
class FakeDynamoDb:
    """A DynamoDB client over dictionaries. ``page`` is how many items one page of a query has at most."""

    page: int = _PAGE
    before: Callable[[Call], None] = _nothing
    after: Callable[[Call], None] = _nothing
    exceptions: Any = field(
        default_factory=lambda: SimpleNamespace(
            ConditionalCheckFailedException=ConditionalCheckFailedException
        )
    )
    _tables: dict[str, dict[str, _Partition]] = field(default_factory=dict)

    def items(self, table: str) -> list[Item]:
        """Every item of a table in the order of its keys, read past the steps."""
        partitions = self._tables.get(table, {})
        return [
            partition.items[sort] for _, partition in sorted(partitions.items()) for sort in partition.order
        ]

    def item(self, table: str, partition: str, sort: str) -> Item | None:
        """One item, read past the steps."""
        found = self._tables.get(table, {}).get(partition)
        return found.items.get(sort) if found else None

    def put_item(
        self,
        *,
        TableName: str,
        Item: Item,
        ReturnValues: str = "NONE",
        **condition: Any,
    ) -> dict[str, Any]:
        """Put one item, if the condition holds."""
        partition, sort = _key_of(Item)
        call = Call("put_item", TableName, f"{partition} {sort}")
        self.before(call)
        old = self._check("PutItem", TableName, partition, sort, condition)
        held = self._tables.setdefault(TableName, {}).setdefault(partition, _Partition())
        if sort not in held.items:
            insort(held.order, sort)
        held.items[sort] = dict(Item)
        self.after(call)
        return _returned("PutItem", old, ReturnValues)

    def delete_item(
        self,
        *,
        TableName: str,
        Key: Item,
        ReturnValues: str = "NONE",
        **condition: Any,
    ) -> dict[str, Any]:
        """Delete one item, if the condition holds; without a condition one that is not there is no error."""
        partition, sort = _key_of(Key)
        call = Call("delete_item", TableName, f"{partition} {sort}")
        self.before(call)
        old = self._check("DeleteItem", TableName, partition, sort, condition)
        if old is not None:
            held = self._tables[TableName][partition]
            del held.items[sort]
            del held.order[bisect_left(held.order, sort)]
        self.after(call)
        return _returned("DeleteItem", old, ReturnValues)

    def get_item(
        self,
        *,
        TableName: str,
        Key: Item,
        ConsistentRead: bool = False,
    ) -> dict[str, Any]:
        """Get one item; the answer has no ``Item`` when there is none."""
        assert ConsistentRead, "every read of ours is strongly consistent"
        partition, sort = _key_of(Key)
        call = Call("get_item", TableName, f"{partition} {sort}")
        self.before(call)
        found = self.item(TableName, partition, sort)
        self.after(call)
        return {"Item": dict(found)} if found is not None else {}

    def query(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: dict[str, Any],
        ConsistentRead: bool = False,
        ScanIndexForward: bool = True,
        Limit: int | None = None,
        ExclusiveStartKey: Item | None = None,
    ) -> dict[str, Any]:
        """Return one page of a partition's items whose sort key fits, in order."""
        assert ConsistentRead, "every read of ours is strongly consistent"
        condition, values, _ = parse(KeyConditionExpression)
        _require_used("Query", values, ExpressionAttributeValues)
        assert KeyConditionExpression.startswith("pk = :pk"), KeyConditionExpression
        partition = ExpressionAttributeValues[":pk"]["S"]
        call = Call("query", TableName, partition)
        self.before(call)
        held = self._tables.get(TableName, {}).get(partition, _Partition())
        order = held.order if ScanIndexForward else held.order[::-1]
        last = ExclusiveStartKey["sk"]["S"] if ExclusiveStartKey else None
        most = min(Limit or self.page, self.page)
        found: list[Item] = []
        more: dict[str, Any] = {}
        least = "" if "<" in KeyConditionExpression else _least(ExpressionAttributeValues)
        for sort in _from(order, last, least, forward=ScanIndexForward):
            item = held.items[sort]
            if condition(item, ExpressionAttributeValues, {}):
                found.append(dict(item))
                if len(found) == most:
                    more = {"LastEvaluatedKey": {name: item[name] for name in sorted(_KEY_NAMES)}}
                    break
            elif _past(sort, ExpressionAttributeValues, forward=ScanIndexForward):
                break
        self.after(call)
        return {"Items": found, "Count": len(found)} | more

    def get_paginator(self, operation: str) -> Any:
        """Return a paginator over queries."""
        assert operation == "query", operation
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        start: dict[str, Any] = {}
        while True:
            page = self.query(**query, **start)
            yield page
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _check(
        self, operation: str, table: str, partition: str, sort: str, condition: dict[str, Any]
    ) -> Item | None:
        """Return the item there; raise when the condition does not hold for it."""
        expression = condition.pop("ConditionExpression", None)
        values = condition.pop("ExpressionAttributeValues", {})
        names = condition.pop("ExpressionAttributeNames", {})
        on_failure = condition.pop("ReturnValuesOnConditionCheckFailure", "NONE")
        assert not condition, f"the fake does not know {sorted(condition)}"
        old = self.item(table, partition, sort)
        if expression is None:
            _require_used(operation, frozenset(), values)
            return old
        holds, used_values, used_names = parse(expression)
        _require_used(operation, used_values, values)
        _require_used(operation, used_names, names)
        if not holds(old or {}, values, names):
            answer: Any = {
                "Error": {
                    "Code": "ConditionalCheckFailedException",
                    "Message": "The conditional request failed",
                }
            }
            if on_failure == "ALL_OLD" and old is not None:
                answer["Item"] = dict(old)
            raise ConditionalCheckFailedException(answer, operation)
        return old


def _key_of(item: Item) -> tuple[str, str]:
    partition, sort = item["pk"]["S"], item["sk"]["S"]
    if not (partition and sort):
        raise _invalid("PutItem", "One or more parameter values are not valid: an empty key")
    return partition, sort


def _require_used(operation: str, used: frozenset[str], given: dict[str, Any]) -> None:
    if used != given.keys():
        raise _invalid(operation, f"placeholders used {sorted(used)}, given {sorted(given)}")


def _invalid(operation: str, message: str) -> ValidationError:
    return ValidationError({"Error": {"Code": "ValidationException", "Message": message}}, operation)


def _returned(operation: str, old: Item | None, return_values: str) -> dict[str, Any]:
    if return_values not in {"NONE", "ALL_OLD"}:
        raise _invalid(operation, f"ReturnValues {return_values}")
    return {"Attributes": dict(old)} if return_values == "ALL_OLD" and old is not None else {}


def _least(values: dict[str, Any]) -> str:
    return min((value["S"] for name, value in values.items() if name != ":pk"), default="")


def _from(order: list[str], last: str | None, least: str, *, forward: bool) -> Iterator[str]:
    """Yield sort keys after the last one, from where a forward query can begin."""
    if not forward:
        yield from (sort for sort in order if last is None or sort < last)
        return
    index = bisect_left(order, max(least, last or ""))
    if last is not None and index < len(order) and order[index] == last:
        index += 1
    yield from order[index:]


def _past(sort: str, values: dict[str, Any], *, forward: bool) -> bool:
    """Tell whether no later key of a forward query can fit: it is beyond every bound and prefix."""
    bounds = [value["S"] for name, value in values.items() if name != ":pk"]
    return forward and bool(bounds) and sort > max(bounds) and not sort.startswith(max(bounds))
