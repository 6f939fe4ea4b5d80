"""What every table module does with its table: get, put, put on a condition, query to the end.

A table module names its keys and packs its items; how DynamoDB is asked stands here once. All reads are
strongly consistent. Source: docs/storage.md#tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    type Item = dict[str, AttributeValueTypeDef]

ABSENT = "attribute_not_exists(pk)"
"""The condition that no item of this key is there."""
_REFUSED = "ConditionalCheckFailedException"


def key(partition: str, sort: str) -> Item:
    """Return the key of an item: all tables have a partition key ``pk`` and a sort key ``sk``, both texts."""
    return {"pk": {"S": partition}, "sk": {"S": sort}}


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a conditional write.

    ``held`` tells whether the condition held, so that it took place; ``before`` is the item that was there:
    always where a put was refused, else where it was asked for. ``again`` tells that the one that was refused
    was not the first attempt.
    """

    held: bool
    before: Item | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class TableAccess:
    """One table, over one client; base of every table module's class."""

    client: DynamoDBClient
    table: str

    def get(self, partition: str, sort: str) -> Item | None:
        """Return one item, or None when it is not there."""
        answer = self.client.get_item(TableName=self.table, Key=key(partition, sort), ConsistentRead=True)
        return answer.get("Item")

    def put_item(self, item: Item) -> None:
        """Put an item, whatever is there."""
        self.client.put_item(TableName=self.table, Item=item)

    def delete_item(self, where: Item) -> None:
        """Delete the item of a key, if it is there."""
        self.client.delete_item(TableName=self.table, Key=where)

    def put_if(
        self, condition: str, item: Item, *, tell_before: bool = False, **values: str | int
    ) -> Written:
        """Put an item if the condition holds of the one that is there; ``values`` fill its ``:names``.

        Where an answer is lost, botocore sends the put again, and the condition of the second attempt meets
        what the first one wrote: that has held.
        """
        told: dict[str, Any] = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        if tell_before:
            told["ReturnValues"] = "ALL_OLD"
        written = self._write_if(self.client.put_item, condition, values, Item=item, **told)
        return replace(written, held=True) if written.again and written.before == item else written

    def update_if(self, condition: str, where: Item, update: str, **values: str | int) -> Written:
        """Update the item of a key if the condition holds of it."""
        return self._write_if(self.client.update_item, condition, values, Key=where, UpdateExpression=update)

    def delete_if(self, condition: str, where: Item, **values: str | int) -> Written:
        """Delete the item of a key if the condition holds of it."""
        return self._write_if(self.client.delete_item, condition, values, Key=where)

    def items_with_prefix(self, partition: str, prefix: str) -> Iterator[Item]:
        """Yield the items of one partition whose sort key begins with the prefix, in key order."""
        return self.query("pk = :pk AND begins_with(sk, :prefix)", pk=partition, prefix=prefix)

    def items_between(self, partition: str, low: str, high: str, **more: Any) -> Iterator[Item]:
        """Yield the items of one partition whose sort key lies between the two, both included."""
        return self.query("pk = :pk AND sk BETWEEN :low AND :high", more, pk=partition, low=low, high=high)

    def query(
        self, condition: str, more: dict[str, Any] | None = None, /, **values: str | int
    ) -> Iterator[Item]:
        """Yield every item that a key condition names, page by page; ``more`` are further parameters."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            ConsistentRead=True,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=_values(values),
            **(more or {}),
        )
        for page in pages:
            yield from page["Items"]

    def _write_if(
        self, write: Callable[..., Any], condition: str, values: dict[str, str | int], **request: Any
    ) -> Written:
        if values:
            request["ExpressionAttributeValues"] = _values(values)
        try:
            answer = write(TableName=self.table, ConditionExpression=condition, **request)
        except ClientError as error:
            if error.response["Error"]["Code"] != _REFUSED:
                raise
            refused: dict[str, Any] = {**error.response}
            again = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0
            return Written(held=False, before=refused.get("Item"), again=again)
        return Written(held=True, before=answer.get("Attributes"))


def _values(values: dict[str, str | int]) -> dict[str, Any]:
    return {
        f":{name}": {"N": str(value)} if isinstance(value, int) else {"S": value}
        for name, value in values.items()
    }
