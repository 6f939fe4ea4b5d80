"""Markers: touched anew with every change, cleared only by whoever read the newest touch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from metering.core.instants import HOUR as ONE_HOUR
from metering.tables.markers import Markers
from metering.tables.shards import SHARDS, shard_of
from testing.reports import HOUR

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from testing.tables import Calls

DAY = HOUR.date()
ACME = "acme"
# One name begins with the other, and both fall into one shard: a prefix without its end would mix them up.
NEIGHBOUR = next(name for n in range(1000) if shard_of(name := f"acme{n}") == shard_of(ACME))


@pytest.fixture
def markers(client: DynamoDBClient) -> Markers:
    """The table under test."""
    return Markers(client, "table")


def test_a_dirty_hour(markers: Markers) -> None:
    """A touched hour is dirty: found by itself, its customer and its shard, and gone when cleared."""
    markers.touch_dirty(ACME, HOUR)
    marker = markers.dirty_hour(ACME, HOUR)
    assert marker is not None
    assert (ACME, HOUR) == (marker.customer_id, marker.hour)
    assert [marker] == list(markers.dirty_of(ACME)) == list(markers.dirty(shard_of(ACME)))
    assert markers.clear_dirty(marker)
    assert markers.dirty_hour(ACME, HOUR) is None


def test_an_unsent_day(markers: Markers) -> None:
    """A touched day is unsent, is found by its customer and by its shard, and is gone when cleared."""
    markers.touch_unsent(ACME, DAY)
    (marker,) = markers.unsent_of(ACME)
    assert (ACME, DAY) == (marker.customer_id, marker.day)
    assert [marker] == list(markers.unsent(shard_of(ACME)))
    assert markers.clear_unsent(marker)
    assert [] == list(markers.unsent_of(ACME))


def test_a_marker_touched_meanwhile_survives(markers: Markers) -> None:
    """A marker is cleared only if nothing touched it since it was read."""
    markers.touch_dirty(ACME, HOUR)
    markers.touch_unsent(ACME, DAY)
    (dirty,), (unsent,) = markers.dirty_of(ACME), markers.unsent_of(ACME)
    markers.touch_dirty(ACME, HOUR)
    markers.touch_unsent(ACME, DAY)
    assert (False, False) == (markers.clear_dirty(dirty), markers.clear_unsent(unsent))
    (dirty_again,), (unsent_again,) = markers.dirty_of(ACME), markers.unsent_of(ACME)
    assert dirty.touched != dirty_again.touched
    assert unsent.touched != unsent_again.touched
    assert (True, True) == (markers.clear_dirty(dirty_again), markers.clear_unsent(unsent_again))


def test_clearing_twice(markers: Markers) -> None:
    """Clearing what is gone tells so and is no error."""
    markers.touch_dirty(ACME, HOUR)
    (marker,) = markers.dirty_of(ACME)
    assert [True, False] == [markers.clear_dirty(marker), markers.clear_dirty(marker)]


def test_hours_of_one_customer(markers: Markers) -> None:
    """A customer's dirty hours come in order, without those of one whose name begins alike."""
    for customer, n in ((ACME, 2), (NEIGHBOUR, 1), (ACME, 0)):
        markers.touch_dirty(customer, HOUR + n * ONE_HOUR)
        markers.touch_unsent(customer, DAY)
    assert [HOUR, HOUR + 2 * ONE_HOUR] == [marker.hour for marker in markers.dirty_of(ACME)]
    assert 3 == len(list(markers.dirty(shard_of(ACME))))
    assert [ACME] == [marker.customer_id for marker in markers.unsent_of(ACME)]


def test_kinds_do_not_mix(markers: Markers) -> None:
    """A dirty hour is no unsent day, and an unsent day no dirty hour."""
    markers.touch_dirty(ACME, HOUR)
    assert [] == [marker for shard in range(SHARDS) for marker in markers.unsent(shard)]
    markers.touch_unsent(ACME, DAY)
    assert 1 == len([marker for shard in range(SHARDS) for marker in markers.dirty(shard)])


def test_every_customer_has_its_shard() -> None:
    """Shards are 0 to 15, all are used, and a customer's never changes."""
    assert set(range(16)) == {shard_of(f"cust_{n}") for n in range(1000)}
    assert [2, 4] == [shard_of("acme"), shard_of("cust_8f2c")]


def test_reads_are_strongly_consistent(markers: Markers, calls: Calls) -> None:
    """Every read asks for strong consistency."""
    markers.dirty_hour(ACME, HOUR)
    for found in (markers.dirty_of(ACME), markers.unsent_of(ACME), markers.dirty(0), markers.unsent(0)):
        assert [] == list(found)
    assert [True] * 5 == [read["ConsistentRead"] for read in calls.of("Query", "GetItem")]
