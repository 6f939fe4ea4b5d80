"""A lost answer: botocore sends a write again, and the second attempt finds what the first one wrote.

Source: docs/storage.md#tables.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

from metering.core.accounts import Customer
from metering.core.adjustments import Adjustment
from metering.core.audit import AuditEntry
from metering.core.instances import Instance, secret_digest
from metering.tables.adjustments import Adjustments
from metering.tables.audit import Audit
from metering.tables.customers import Customers
from metering.tables.instances import Instances

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

AT = datetime(2026, 11, 22, 14, tzinfo=UTC)


def _sent_again(attempts: int, **_: Any) -> int | None:
    """Return the seconds after which botocore sends again: after each first attempt, whose answer is lost."""
    return 0 if attempts == 1 else None


@pytest.fixture
def lossy(client: DynamoDBClient) -> DynamoDBClient:
    """A DynamoDB that does each write, and whose first answer to each is lost."""
    client.meta.events.register_first("needs-retry.dynamodb.PutItem", cast("Any", _sent_again))
    return client


def test_an_audit_entry_whose_answer_was_lost_is_written_once(lossy: DynamoDBClient) -> None:
    """The operator's command goes on: the entry in its place is its own."""
    entry = AuditEntry(
        customer_id="acme", at=AT, who="ada", action="settle", before=[], after=[{"number": 1}], why="void"
    )
    audit = Audit(lossy, "table")
    audit.write(entry)
    assert [entry] == audit.of("acme")


def test_a_new_record_whose_answer_was_lost_is_new(lossy: DynamoDBClient) -> None:
    """An instance's key, shown once, is not taken for someone else's; an adjustment is told as made."""
    instance = Instance(customer_id="acme", instance_id="i0", digests=(secret_digest("secret"),))
    adjustment = Adjustment(
        customer_id="acme",
        period_start=AT,
        number=1,
        meter="mqtt_traffic",
        quantity=Decimal(5),
        first_hour=AT,
        last_hour=AT,
        reason="a courtesy",
        who="ada",
        at=AT,
    )
    assert Instances(lossy, "table").add(instance)
    assert Adjustments(lossy, "table").add(adjustment)
    assert not Adjustments(lossy, "table").add(adjustment.model_copy(update={"who": "bob"}))


def test_of_two_who_add_the_same_record_one_is_told_that_it_is_new(client: DynamoDBClient) -> None:
    """Where no answer was lost, what is there is somebody else's, however alike."""
    instance = Instance(customer_id="acme", instance_id="i0", digests=(secret_digest("secret"),))
    instances = Instances(client, "table")
    assert [True, False] == [instances.add(instance), instances.add(instance)]


def test_a_replaced_profile_whose_answer_was_lost_is_replaced(lossy: DynamoDBClient) -> None:
    """Nobody is told that someone else changed the profile meanwhile."""
    customers = Customers(lossy, "table")
    read = Customer(customer_id="acme", name="Acme", plan="starter@1")
    wanted = read.model_copy(update={"plan": "professional@1"})
    assert customers.add(read)
    assert customers.replace(read, wanted)
    assert not customers.replace(read, read.model_copy(update={"name": "Other"}))
    assert wanted == customers.customer("acme")
