"""The Audit table: entries are put where none is, and nothing changes them (docs/storage.md#tables)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from metering.core.audit import AuditEntry
from metering.tables.audit import Audit, AuditTakenError
from testing.tables import Calls, items_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ENTRY = AuditEntry(
    customer_id="acme",
    at=datetime(2026, 11, 22, 14, tzinfo=UTC),
    who="arn:aws:iam::123456789012:user/ada",
    action="settle",
    before=[],
    after=[{"number": 1, "quantity": "3.5"}],
    why="the invoice was voided",
)


def test_an_entry_is_read_as_it_was_written(client: DynamoDBClient) -> None:
    """Who, when, what before, what after and why come back, in the order of time."""
    audit, later = Audit(client, "table"), ENTRY.model_copy(update={"at": ENTRY.at.replace(hour=15)})
    audit.write(later)
    audit.write(ENTRY)
    assert [ENTRY, later] == audit.of("acme")


def test_entries_of_one_second_are_all_kept(client: DynamoDBClient) -> None:
    """The same written twice is there twice: nothing is overwritten."""
    audit = Audit(client, "table")
    audit.write(ENTRY)
    audit.write(ENTRY)
    assert 2 == len(items_of(client))


def test_a_taken_place_stays_as_it_is(client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an item is, none is put: the writer fails and the old entry stays."""
    monkeypatch.setattr(uuid, "uuid4", lambda: "the same")
    audit = Audit(client, "table")
    audit.write(ENTRY)
    with pytest.raises(AuditTakenError):
        audit.write(ENTRY.model_copy(update={"why": "another reason"}))
    assert [ENTRY] == audit.of("acme")


def test_the_writer_puts_and_nothing_else(client: DynamoDBClient, calls: Calls) -> None:
    """An entry is one conditional put."""
    Audit(client, "table").write(ENTRY)
    [(operation, asked)] = calls.made
    assert ("PutItem", "attribute_not_exists(pk)") == (operation, asked["ConditionExpression"])
