"""The Ledger table: a day is written only over the version that was read."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from metering.core.instants import HOUR as ONE_HOUR
from metering.tables.ledger import PENDING, SENT, Day, Entry, Ledger, VersionConflictError, refused
from metering.tables.packing import pack
from testing.reports import HOUR
from testing.tables import items_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from testing.tables import Calls

DAY = HOUR.date()
ENTRIES = {
    ("devices", HOUR): Entry(1, Decimal("0.016666666"), PENDING),
    ("devices", HOUR + ONE_HOUR): Entry(3, Decimal("12.500"), SENT),
    ("storage", HOUR): Entry(2, Decimal("1E-9"), refused("meter_not_found")),
}


@pytest.fixture
def ledger(client: DynamoDBClient) -> Ledger:
    """The table under test."""
    return Ledger(client, "table")


def _stored(client: DynamoDBClient, state: str) -> bytes:
    """Store a day with one entry whose state is a text; return the packed entries."""
    rows = {"devices": {"2026-03-10T14:00:00Z": [1, "2", state, None, None]}}
    stored = pack({"entries": rows, "computed_from": {}})
    item: Any = {"pk": {"S": "acme"}, "sk": {"S": "2026-03-10"}, "n": {"N": "1"}, "b": {"B": stored}}
    client.put_item(TableName="table", Item=item)
    return stored


def test_a_day_never_written_is_empty(ledger: Ledger) -> None:
    """A day that was never written is empty, with version 0."""
    assert Day("acme", DAY) == ledger.day("acme", DAY)
    assert (0, {}, {}) == (Day("acme", DAY).version, Day("acme", DAY).entries, Day("acme", DAY).computed_from)


def test_a_day_reads_back(ledger: Ledger) -> None:
    """Numbers, values to the last digit, states and what they were computed from read back."""
    written = ledger.put(Day("acme", DAY, entries=ENTRIES, computed_from={HOUR: 7}))
    assert 1 == written.version
    assert written == ledger.day("acme", DAY)
    assert Day("acme2", DAY) == ledger.day("acme2", DAY)


@pytest.mark.parametrize("text", ["pending", "sent", "refused(400)", "refused(meter_not_found)"])
def test_a_state_is_stored_as_its_text(ledger: Ledger, client: DynamoDBClient, text: str) -> None:
    """A state lies in the item as text, a refused one with its code, and is read as the same state."""
    stored = _stored(client, text)
    day = ledger.day("acme", date(2026, 3, 10))
    [entry] = day.entries.values()
    assert text == str(entry.state)
    assert text.startswith("refused") == entry.state.is_refused
    ledger.put(day)
    [written] = items_of(client)
    assert stored == written["b"]["B"]


@pytest.mark.parametrize("text", ["", "lost", "refused", "refused()", "sent(400)"])
def test_a_state_that_is_none_is_refused(ledger: Ledger, client: DynamoDBClient, text: str) -> None:
    """A text that is no state is an error that names it, not a state of its own."""
    _stored(client, text)
    with pytest.raises(ValueError, match="is no state"):
        ledger.day("acme", date(2026, 3, 10))


def test_versions_count_up(ledger: Ledger) -> None:
    """Each write raises the version by one, whatever it changes."""
    day = Day("acme", DAY)
    versions = [(day := ledger.put(day)).version for _ in range(12)]
    assert list(range(1, 13)) == versions


@pytest.mark.parametrize("writes", [1, 2])
def test_an_older_version_is_refused(ledger: Ledger, writes: int) -> None:
    """Whoever read an older version cannot write, and what is stored stays."""
    stale = ledger.day("acme", DAY)
    if writes == 2:
        stale = ledger.put(stale)
    kept = ledger.put(replace(stale, entries=ENTRIES))
    with pytest.raises(VersionConflictError):
        ledger.put(stale)
    assert kept == ledger.day("acme", DAY)


def test_a_version_ahead_is_refused(ledger: Ledger) -> None:
    """A version that was never written cannot be written over."""
    with pytest.raises(VersionConflictError):
        ledger.put(Day("acme", DAY, version=1))


def test_reads_are_strongly_consistent(ledger: Ledger, calls: Calls) -> None:
    """Every read asks for strong consistency."""
    ledger.day("acme", DAY)
    assert [True] == [read["ConsistentRead"] for read in calls.of("Query", "GetItem")]
