"""The Customers table: profiles, instances, periods and the fleet's directory."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from metering.core.accounts import BillingPeriod, Customer
from metering.core.instances import Instance, secret_digest
from metering.tables.customers import Customers
from metering.tables.instances import Instances
from metering.tables.shards import shard_of
from testing.reports import HOUR
from testing.tables import items_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from testing.tables import Calls

ACME = Customer(customer_id="acme", name="Acme", plan="starter@1", anchor=HOUR)
INSTANCE = Instance(customer_id="acme", instance_id="default", digests=(secret_digest("s3cret"),))


@pytest.fixture
def customers(client: DynamoDBClient) -> Customers:
    """The table under test."""
    return Customers(client, "table")


def period(number: int, plan: str = "starter@1") -> BillingPeriod:
    """Return one of several periods in a row."""
    length = timedelta(days=30)
    return BillingPeriod(start=HOUR + number * length, end=HOUR + (number + 1) * length, plan=plan)


def test_a_customer_reads_back(customers: Customers) -> None:
    """A customer reads back as it was added, and stands in its shard's directory."""
    assert customers.add(ACME)
    assert ACME == customers.customer("acme")
    assert ["acme"] == list(customers.fleet(shard_of("acme")))


def test_adding_again_changes_nothing(customers: Customers) -> None:
    """Adding a customer that exists tells so and leaves its profile; a lost directory entry is made again."""
    customers.add(ACME)
    assert not customers.add(ACME.model_copy(update={"name": "Other"}))
    assert ACME == customers.customer("acme")
    assert ["acme"] == list(customers.fleet(shard_of("acme")))


def test_a_profile_is_replaced_by_whoever_read_it_last(customers: Customers) -> None:
    """Of two changes made from one reading, the second is told that the profile is another now."""
    customers.add(ACME)
    moved = ACME.model_copy(update={"plan": "professional@1"})
    assert customers.replace(ACME, moved)
    assert not customers.replace(ACME, ACME.model_copy(update={"name": "Other"}))
    assert moved == customers.customer("acme")


@pytest.fixture
def instances(client: DynamoDBClient) -> Instances:
    """The instances, in the same table."""
    return Instances(client, "table")


def test_an_instance_is_replaced_by_whoever_read_it_last(customers: Customers, instances: Instances) -> None:
    """Two operators that rotate one key at once do not undo each other unseen."""
    assert instances.add(INSTANCE)
    assert not instances.add(INSTANCE.model_copy(update={"digests": ()}))
    revoked = INSTANCE.model_copy(update={"digests": ()})
    assert instances.replace(INSTANCE, revoked)
    assert not instances.replace(INSTANCE, INSTANCE)
    assert revoked == instances.instance(INSTANCE.customer_id, INSTANCE.instance_id)


def test_what_is_not_there(customers: Customers, instances: Instances) -> None:
    """Customers, instances and accounts that do not exist are None; there are no periods."""
    assert (None, None, None, []) == (
        customers.customer("acme"),
        instances.instance("acme", "default"),
        customers.account("acme"),
        customers.periods("acme"),
    )


def test_instances(customers: Customers, client: DynamoDBClient, instances: Instances) -> None:
    """An instance reads back; the table never holds its secret."""
    instances.put(INSTANCE)
    assert INSTANCE == instances.instance("acme", "default")
    assert "s3cret" not in str(items_of(client))


def test_a_period_is_written_once(customers: Customers) -> None:
    """A period's snapshot is never overwritten by adding it again; periods come in order."""
    assert [True, True, False] == [
        customers.add_period("acme", period(1)),
        customers.add_period("acme", period(0)),
        customers.add_period("acme", period(1, plan="professional@1")),
    ]
    assert [period(0), period(1)] == customers.periods("acme")


def test_an_account_is_everything_of_one_customer(
    customers: Customers, client: DynamoDBClient, instances: Instances
) -> None:
    """An account is profile, instances and periods; alerts, late usage and other customers stay out."""
    customers.add(ACME)
    customers.add(ACME.model_copy(update={"customer_id": "acme2"}))
    instances.put(INSTANCE)
    instances.put(INSTANCE.model_copy(update={"instance_id": "aaa"}))
    customers.add_period("acme", period(0))
    for sort in ("alert#2026#devices#80", "late#2026-11-22T13:00:00Z#1"):
        client.put_item(TableName="table", Item={"pk": {"S": "acme"}, "sk": {"S": sort}})
    account = customers.account("acme")
    assert account is not None
    assert (ACME, (period(0),)) == (account.customer, account.periods)
    assert ["aaa", "default"] == [instance.instance_id for instance in account.instances]


def test_instances_without_a_profile(customers: Customers, instances: Instances) -> None:
    """Without a profile there is no account, whatever else is there."""
    instances.put(INSTANCE)
    assert customers.account("acme") is None


def test_reads_are_strongly_consistent(customers: Customers, calls: Calls, instances: Instances) -> None:
    """Every read asks for strong consistency, so that a revoked key is revoked."""
    customers.customer("acme")
    instances.instance("acme", "default")
    customers.account("acme")
    customers.periods("acme")
    list(customers.fleet(0))
    assert [True] * 5 == [read["ConsistentRead"] for read in calls.of("Query", "GetItem")]
