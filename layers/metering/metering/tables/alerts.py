"""The alerts of the Customers table: put as pending by one worker, marked sent once they are published.

Keys: ``pk`` = customer, ``sk`` = ``alert#<key>`` (``alert#<period>#<meter>#<threshold>``,
``alert#silent#<instance>#<last hour>`` and ``alert#back#…`` likewise). Attributes: ``j`` the alert as JSON,
``s`` its state, ``ttl``. Source: design pages "storage" and "billing", section "Alerts".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from metering.core.alerts import Alert
from metering.core.contract import OLDEST_WINDOW, format_instant
from metering.tables.client import query_between, query_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient

    from metering.tables.client import Item

_PREFIX = "alert#"
_LAST = "alert#~"
"""Beyond every alert: no key has a tilde."""
_PENDING, _SENT = "pending", "sent"
_SILENCE_KEPT = timedelta(days=60)
"""Silences are read at every sweep, so they are kept for less than the alerts of a period."""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert, and whether it was published."""

    alert: Alert
    sent: bool


@dataclass(frozen=True, slots=True)
class Alerts:
    """Typed access to the alerts of the Customers table."""

    client: DynamoDBClient
    table: str

    def put_pending(self, alert: Alert) -> bool:
        """Store an alert as pending unless there is one of its key; tell whether it was new."""
        try:
            self.client.put_item(
                TableName=self.table, Item=_item(alert), ConditionExpression="attribute_not_exists(pk)"
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def mark_sent(self, alert: Alert) -> None:
        """Record that an alert was published; one that has expired meanwhile stays gone."""
        try:
            self.client.update_item(
                TableName=self.table,
                Key=_key(alert),
                UpdateExpression="SET s = :sent",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues={":sent": {"S": _SENT}},
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return

    def of(self, customer: str) -> Iterator[StoredAlert]:
        """All alerts of a customer, strongly consistent: by period, then returns, then silences."""
        return map(_stored, query_prefix(self.client, self.table, customer, _PREFIX))

    def of_period(self, customer: str, start: datetime) -> Iterator[StoredAlert]:
        """A period's alerts by its start, strongly consistent, in key order."""
        prefix = f"{_PREFIX}{format_instant(start)}#"
        return map(_stored, query_prefix(self.client, self.table, customer, prefix))

    def since(self, customer: str, start: datetime) -> Iterator[StoredAlert]:
        """The alerts of the periods from that start on, and all of silence, in key order."""
        low = f"{_PREFIX}{format_instant(start)}"
        return map(_stored, query_between(self.client, self.table, customer, low, _LAST))


def _key(alert: Alert) -> Item:
    return {"pk": {"S": alert.customer_id}, "sk": {"S": f"{_PREFIX}{alert.key}"}}


def _item(alert: Alert) -> Item:
    kept = _SILENCE_KEPT if alert.period is None else OLDEST_WINDOW
    return _key(alert) | {
        "j": {"S": alert.model_dump_json(exclude_defaults=True)},
        "s": {"S": _PENDING},
        "ttl": {"N": str(int((alert.at + kept).timestamp()))},
    }


def _stored(item: Item) -> StoredAlert:
    return StoredAlert(Alert.model_validate_json(item["j"]["S"]), item["s"]["S"] == _SENT)
