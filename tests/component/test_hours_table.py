"""The Hours table: what was computed from less never takes the place of what was computed from more."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from metering.core.contract import OLDEST_WINDOW
from metering.core.instants import HOUR as ONE_HOUR
from metering.core.periods import HOURS_KEPT
from metering.core.rollup import NEWEST_VERSION, Coverage, Hour, Level
from metering.tables.hours import Hours
from testing.reports import HOUR
from testing.tables import items_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from testing.tables import Calls

FULL = Hour(
    start=HOUR,
    computed_from=12,
    counters={"http_requests": 2**63 - 1},
    gauges={"active_devices": Level(1, 2, 2**63 * 3599, 3600)},
    sources={"mqtt": Coverage(7200, 2)},
    flags=frozenset({"overlap", "mqtt:went_back"}),
    instances=2,
    final=1,
)


@pytest.fixture
def hours(client: DynamoDBClient) -> Hours:
    """The table under test."""
    return Hours(client, "table")


def read(hours: Hours) -> list[Hour]:
    """Read the one hour."""
    return list(hours.between("acme", HOUR, HOUR + ONE_HOUR))


def test_an_hour_reads_back(hours: Hours, client: DynamoDBClient) -> None:
    """An hour reads back exactly, and expires 35 days after the last report of it could come."""
    assert hours.put("acme", FULL)
    assert [FULL] == read(hours)
    assert FULL == hours.hour("acme", HOUR)
    assert (timedelta(days=435), timedelta(days=400)) == (HOURS_KEPT, OLDEST_WINDOW)
    assert str(int((HOUR + HOURS_KEPT).timestamp())) == items_of(client)[0]["ttl"]["N"]


def test_an_hour_that_is_not_stored(hours: Hours) -> None:
    """An hour that nobody stored is none."""
    assert hours.hour("acme", HOUR) is None


def test_an_hour_without_a_version_is_of_the_first(hours: Hours, client: DynamoDBClient) -> None:
    """An hour stored before hours had versions is of the first; one of the newest rule says so."""
    hours.put("acme", replace(FULL, version=1))
    (item,) = items_of(client)
    assert ("v" in item, [1]) == (False, [hour.version for hour in read(hours)])
    hours.put("acme", FULL)
    (item,) = items_of(client)
    assert (str(NEWEST_VERSION), [NEWEST_VERSION]) == (item["v"]["N"], [hour.version for hour in read(hours)])


@pytest.mark.parametrize(("stored", "offered", "kept"), [(5, 6, 6), (5, 5, 5), (6, 5, 6), (9, 10, 10)])
def test_the_condition(hours: Hours, stored: int, offered: int, kept: int) -> None:
    """An hour is stored unless the stored one was computed from more; numbers compare as numbers."""
    hours.put("acme", Hour(HOUR, stored, {"http_requests": 1}))
    taken = hours.put("acme", Hour(HOUR, offered, {"http_requests": 2}))
    (found,) = read(hours)
    assert (kept, {"http_requests": 2 if taken else 1}) == (found.computed_from, found.counters)
    assert taken == (offered >= stored)


def test_equal_computations_give_equal_items(hours: Hours, client: DynamoDBClient) -> None:
    """Computing the same hour again changes no byte."""
    hours.put("acme", FULL)
    before = items_of(client)
    hours.put("acme", FULL)
    assert before == items_of(client)


def test_a_span(hours: Hours) -> None:
    """A span's hours come in order, from its start up to, not including, its end, of one customer alone."""
    for n in (3, 1, 0, 2):
        hours.put("acme", Hour(HOUR + n * ONE_HOUR, n + 1))
    hours.put("acme2", Hour(HOUR + ONE_HOUR, 9))
    found = list(hours.between("acme", HOUR + ONE_HOUR, HOUR + 3 * ONE_HOUR))
    assert [2, 3] == [hour.computed_from for hour in found]


def test_beyond_one_page(hours: Hours, calls: Calls) -> None:
    """Hours of more than one megabyte are read to their end."""
    draw = random.Random(7)
    for n in range(24):
        counters = {f"m{draw.getrandbits(64):x}": draw.getrandbits(62) for _ in range(2500)}
        hours.put("acme", Hour(HOUR + n * ONE_HOUR, 1, counters))
    assert 24 == len(list(hours.between("acme", HOUR, HOUR + 24 * ONE_HOUR)))
    assert len(calls.of("Query")) > 1


def test_reads_are_strongly_consistent(hours: Hours, calls: Calls) -> None:
    """Every read asks for strong consistency."""
    read(hours)
    assert [True] == [query["ConsistentRead"] for query in calls.of("Query", "GetItem")]
