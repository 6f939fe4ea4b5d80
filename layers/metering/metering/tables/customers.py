"""The Customers table: profiles, instances, periods, and the directory of the fleet.

Keys: ``pk`` = customer with ``sk`` = ``profile``, ``instance#<id>`` or ``period#<start>``; ``pk`` =
``fleet#<shard>`` with ``sk`` = customer for the directory. ``j`` holds the record as JSON, so that it can be
read in the console. ``late#`` and ``closing#`` items have modules of their own. Source: design page
"storage".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.core.accounts import BillingPeriod, Customer, Instance, PeriodState
from metering.core.contract import format_instant
from metering.tables.client import query_all, query_between, query_prefix
from metering.tables.closings import Closing, Closings
from metering.tables.late import LateItems
from metering.tables.markers import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient
    from pydantic import BaseModel

    from metering.tables.client import Item

_PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class Account:
    """All of a customer's records, read at one moment."""

    customer: Customer
    instances: tuple[Instance, ...]
    periods: tuple[BillingPeriod, ...]


@dataclass(frozen=True, slots=True)
class Customers:
    """Typed access to the Customers table."""

    client: DynamoDBClient
    table: str

    @property
    def closings(self) -> Closings:
        """The calendar of closings, which lies in the same table."""
        return Closings(self.client, self.table)

    @property
    def late(self) -> LateItems:
        """The late usage billed, which lies in the same table."""
        return LateItems(self.client, self.table)

    def customer(self, customer: str) -> Customer | None:
        """A customer's profile, strongly consistent."""
        item = self._get(customer, _PROFILE)
        return Customer.model_validate_json(item["j"]["S"]) if item else None

    def add(self, customer: Customer) -> bool:
        """Store a new customer and its directory entry; tell whether it was new."""
        added = self._put_new(customer.customer_id, _PROFILE, customer)
        shard = f"fleet#{shard_of(customer.customer_id)}"
        self.client.put_item(TableName=self.table, Item=_key(shard, customer.customer_id))
        return added

    def replace(self, old: Customer, new: Customer) -> bool:
        """Put a profile in place of the one that was read; tell whether that one was still there."""
        return self._replace(old.customer_id, _PROFILE, old, new)

    def instance(self, customer: str, instance: str) -> Instance | None:
        """One instance, strongly consistent."""
        item = self._get(customer, f"instance#{instance}")
        return Instance.model_validate_json(item["j"]["S"]) if item else None

    def put_instance(self, instance: Instance) -> None:
        """Store an instance's digests."""
        self._put(instance.customer_id, f"instance#{instance.instance_id}", instance)

    def add_instance(self, instance: Instance) -> bool:
        """Store an instance unless it is there; tell whether it was new."""
        return self._put_new(instance.customer_id, f"instance#{instance.instance_id}", instance)

    def replace_instance(self, old: Instance, new: Instance) -> bool:
        """Put an instance in place of the one that was read; tell whether that one was still there."""
        return self._replace(old.customer_id, f"instance#{old.instance_id}", old, new)

    def periods(self, customer: str) -> list[BillingPeriod]:
        """A customer's period snapshots, in order, strongly consistent."""
        items = query_prefix(self.client, self.table, customer, "period#")
        return [BillingPeriod.model_validate_json(item["j"]["S"]) for item in items]

    def add_period(self, customer: str, period: BillingPeriod) -> bool:
        """Store a period's snapshot unless there is one; tell whether it was new.

        It is put on the calendar of closings first: one that is there without its period removes itself.
        """
        self.closings.put(Closing(customer, period.start, period.end))
        return self._put_new(customer, f"period#{format_instant(period.start)}", period)

    def replace_period(self, customer: str, old: BillingPeriod, new: BillingPeriod) -> bool:
        """Put a snapshot in place of the one that was read; tell whether that one was still there.

        Raises
        ------
        ValueError
            When the old one is finalised: what an invoice billed is written once.
        """
        if old.state is PeriodState.FINALISED or old.start != new.start:
            raise ValueError(f"the period {old.start} of {customer} is {old.state}; it becomes no other")
        return self._replace(customer, f"period#{format_instant(old.start)}", old, new)

    def account(self, customer: str) -> Account | None:
        """Profile, instances and periods in one strongly consistent query."""
        profile: Customer | None = None
        instances: list[Instance] = []
        periods: list[BillingPeriod] = []
        for item in query_between(self.client, self.table, customer, "instance#", _PROFILE):
            key, json = item["sk"]["S"], item["j"]["S"] if "j" in item else ""
            if key == _PROFILE:
                profile = Customer.model_validate_json(json)
            elif key.startswith("instance#"):
                instances.append(Instance.model_validate_json(json))
            elif key.startswith("period#"):
                periods.append(BillingPeriod.model_validate_json(json))
        return Account(profile, tuple(instances), tuple(periods)) if profile else None

    def fleet(self, shard: int) -> Iterator[str]:
        """The ids of one shard's customers, in order."""
        for item in query_all(
            self.client,
            TableName=self.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"fleet#{shard}"}},
        ):
            yield item["sk"]["S"]

    def _get(self, partition: str, sort: str) -> Item | None:
        answer = self.client.get_item(TableName=self.table, Key=_key(partition, sort), ConsistentRead=True)
        return answer.get("Item")

    def _put(self, partition: str, sort: str, record: BaseModel) -> None:
        self.client.put_item(TableName=self.table, Item=_item(partition, sort, record))

    def _put_new(self, partition: str, sort: str, record: BaseModel) -> bool:
        try:
            self.client.put_item(
                TableName=self.table,
                Item=_item(partition, sort, record),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _replace(self, partition: str, sort: str, old: BaseModel, new: BaseModel) -> bool:
        try:
            self.client.put_item(
                TableName=self.table,
                Item=_item(partition, sort, new),
                ConditionExpression="j = :old",
                ExpressionAttributeValues={":old": {"S": _json(old)}},
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _key(partition: str, sort: str) -> Item:
    return {"pk": {"S": partition}, "sk": {"S": sort}}


def _item(partition: str, sort: str, record: BaseModel) -> Item:
    return _key(partition, sort) | {"j": {"S": _json(record)}}


def _json(record: BaseModel) -> str:
    return record.model_dump_json(exclude_defaults=True)
