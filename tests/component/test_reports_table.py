"""The Reports table keeps each journal's highest revision, on moto and on DynamoDB Local alike."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from metering.core.contract import OLDEST_WINDOW
from metering.core.instants import HOUR as ONE_HOUR
from metering.core.metrics import COUNTERS, GAUGES
from metering.tables.reports import Outcome, Reports
from testing.reports import HOUR, gauge, report, source
from testing.tables import create_table, items_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from metering.core.contract import Report
    from testing.tables import Calls

STATE = "0192f1c9-3a5b-7c4d-8e9f-001122334455"
SOURCES = ("mqtt", "http", "websocket", "external", "influxdb", "postgres", "objects", "compute", "agent")


@pytest.fixture
def reports(client: DynamoDBClient) -> Reports:
    """The table under test."""
    return Reports(client, "table")


def full_report(seed: int = 1, **changes: Any) -> Report:
    """Return a closed hour of every source and metric of the registry, with a large customer's figures."""
    draw = random.Random(seed)
    levels = {name: draw.randrange(10**11) for name in sorted(GAUGES)}
    full: dict[str, Any] = {
        "state_id": STATE,
        "revision": 61,
        "final": True,
        "counters": {name: draw.randrange(10**10) for name in sorted(COUNTERS)},
        "gauges": {
            name: gauge(level, level + draw.randrange(1000), level * 3600 + draw.randrange(10**6))
            for name, level in levels.items()
        },
        "sources": {name: source() for name in SOURCES},
    }
    return report(**full | changes)


def test_a_first_report_is_stored(reports: Reports, client: DynamoDBClient) -> None:
    """A first report is accepted, reads back as it was, and expires 400 days after its window."""
    sent = full_report()
    stored = reports.put(sent)
    assert (Outcome.ACCEPTED, 61, sent.digest(), ()) == (
        stored.outcome,
        stored.revision,
        stored.digest,
        stored.lowered,
    )
    assert [sent] == list(reports.of_hour("cust_8f2c", HOUR))
    (item,) = items_of(client)
    assert str(int((HOUR + OLDEST_WINDOW).timestamp())) == item["ttl"]["N"]
    assert f"2026-11-22T13:00:00Z#default#{STATE}" == item["sk"]["S"]


def test_a_higher_revision_takes_its_place(reports: Reports) -> None:
    """A higher revision of a journal's hour replaces the lower one; only one is kept."""
    reports.put(report(revision=1))
    stored = reports.put(report(revision=3, counters={"http_requests": 99}))
    assert (Outcome.ACCEPTED, 3) == (stored.outcome, stored.revision)
    (kept,) = reports.of_hour("cust_8f2c", HOUR)
    assert (3, {"http_requests": 99}) == (kept.revision, kept.counters)


def test_a_lower_revision_is_superseded(reports: Reports, client: DynamoDBClient) -> None:
    """A lower revision changes nothing, and the answer tells the stored revision and digest."""
    newer = report(revision=3, counters={"http_requests": 99})
    reports.put(newer)
    before = items_of(client)
    stored = reports.put(report(revision=2))
    assert (Outcome.SUPERSEDED, 3, newer.digest()) == (stored.outcome, stored.revision, stored.digest)
    assert before == items_of(client)


def test_the_same_report_is_a_duplicate(reports: Reports, client: DynamoDBClient) -> None:
    """The same revision with the same content is a duplicate and changes no byte."""
    reports.put(report(revision=3))
    before = items_of(client)
    stored = reports.put(report(revision=3))
    assert (Outcome.DUPLICATE, 3, report(revision=3).digest()) == (
        stored.outcome,
        stored.revision,
        stored.digest,
    )
    assert before == items_of(client)


def test_another_content_is_a_conflict(reports: Reports, client: DynamoDBClient) -> None:
    """The same revision with another content changes nothing, and the answer tells the stored digest."""
    first = report(revision=3)
    reports.put(first)
    before = items_of(client)
    stored = reports.put(report(revision=3, counters={"http_requests": 43}))
    assert (Outcome.CONFLICT, 3, first.digest()) == (stored.outcome, stored.revision, stored.digest)
    assert before == items_of(client)


def test_a_lowered_counter_is_a_regression(reports: Reports) -> None:
    """A higher revision that lowers counters, or leaves one out, is stored, and names them."""
    reports.put(report(revision=1, counters={"http_requests": 5, "mqtt_bytes_sent": 5, "influxdb_points": 5}))
    stored = reports.put(report(revision=2, counters={"http_requests": 4, "influxdb_points": 6}))
    assert (Outcome.ACCEPTED, ("http_requests", "mqtt_bytes_sent")) == (stored.outcome, stored.lowered)
    (kept,) = reports.of_hour("cust_8f2c", HOUR)
    assert {"http_requests": 4, "influxdb_points": 6} == kept.counters


@pytest.mark.parametrize(
    ("gauges", "lowered"),
    [
        pytest.param({"active_devices": gauge(9, 9, 8)}, ("active_devices",), id="integral"),
        pytest.param({"active_devices": gauge(9, 8, 9)}, ("active_devices",), id="maximum"),
        pytest.param({}, ("active_devices",), id="left out"),
        pytest.param({"active_devices": gauge(9, 9, 9, 1800)}, (), id="seconds"),
    ],
)
def test_a_lowered_integral_is_a_regression(
    reports: Reports, gauges: dict[str, Any], lowered: tuple[str, ...]
) -> None:
    """A higher revision that lowers a level's integral or maximum, or leaves it out, names it."""
    reports.put(report(revision=1, gauges={"active_devices": gauge(9, 9, 9)}))
    assert lowered == reports.put(report(revision=2, gauges=gauges)).lowered


def test_what_is_no_regression(reports: Reports) -> None:
    """Counters that stay or grow, and levels that fall while their integral grows, are no regression."""
    counters = {"http_requests": 5}
    reports.put(report(revision=1, counters=counters, gauges={"active_devices": gauge(9, 9, 9)}))
    higher = report(
        revision=2, counters=counters | {"influxdb_points": 1}, gauges={"active_devices": gauge(1, 9, 10)}
    )
    assert () == reports.put(higher).lowered


def test_a_report_is_read_by_the_registry_of_its_time(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report stays readable when the registry later takes one of its counters for a gauge."""
    sent = report(counters={"lora_frames": 5})
    reports.put(sent)
    monkeypatch.setattr("metering.core.contract.GAUGES", GAUGES | {"lora_frames"})
    assert [sent] == list(reports.of_hour("cust_8f2c", HOUR))


def test_journals_and_instances_side_by_side(reports: Reports) -> None:
    """Journals and instances of one hour are kept side by side; other hours and customers stay out."""
    ours = [
        report(instance_id="default", state_id="a"),
        report(instance_id="default", state_id="b"),
        report(instance_id="default2", state_id="a"),
    ]
    others = [report(HOUR + ONE_HOUR), report(HOUR - ONE_HOUR), report(customer_id="cust_8f2")]
    for sent in [*reversed(ours), *others]:
        assert Outcome.ACCEPTED is reports.put(sent).outcome
    assert ours == list(reports.of_hour("cust_8f2c", HOUR))


def test_a_span_of_hours(reports: Reports) -> None:
    """Reports of a span of hours come in the order of hours, from its start up to, not including, its end."""
    sent = [report(HOUR + n * ONE_HOUR) for n in range(4)]
    for each in reversed(sent):
        reports.put(each)
    assert sent[1:3] == list(reports.between("cust_8f2c", HOUR + ONE_HOUR, HOUR + 3 * ONE_HOUR))


def test_any_order_ends_in_the_same_item(client: DynamoDBClient) -> None:
    """Any order and repetition of deliveries ends in the same item, byte for byte."""
    deliveries = [report(revision=n, counters={"http_requests": n}) for n in (1, 2, 3)]
    ends = []
    for number, order in enumerate(permutations([*deliveries, deliveries[1]])):
        create_table(client, f"order-{number}")
        for delivered in order:
            Reports(client, f"order-{number}").put(delivered)
        ends.append(items_of(client, f"order-{number}"))
    assert [ends[0]] * len(ends) == ends


def test_beyond_one_page(reports: Reports, calls: Calls) -> None:
    """An hour of more than one megabyte is read to its end, page by page."""
    draw = random.Random(7)
    sent = [
        report(
            state_id=f"journal-{n:02}",
            counters={f"m{draw.getrandbits(64):x}": draw.getrandbits(62) for _ in range(1200)},
        )
        for n in range(50)
    ]
    for each in sent:
        reports.put(each)
    assert sent == list(reports.of_hour("cust_8f2c", HOUR))
    assert len(calls.of("Query")) > 1


def test_reads_are_strongly_consistent(reports: Reports, calls: Calls) -> None:
    """Every read asks for strong consistency."""
    list(reports.of_hour("cust_8f2c", HOUR))
    list(reports.between("cust_8f2c", HOUR, HOUR + ONE_HOUR))
    assert [True, True] == [query["ConsistentRead"] for query in calls.of("Query", "GetItem")]


@pytest.mark.parametrize("seed", range(5))
def test_one_write_unit(exact_client: DynamoDBClient, seed: int) -> None:
    """An ordinary report with every source costs one write unit, new, replacing and repeated."""
    create_table(exact_client, "table")
    units: list[float] = []
    events = exact_client.meta.events
    events.register(
        "provide-client-params.dynamodb.PutItem",
        lambda params, **_: params | {"ReturnConsumedCapacity": "TOTAL"},
    )
    events.register(
        "after-call.dynamodb.PutItem",
        lambda parsed, **_: units.append(parsed["ConsumedCapacity"]["CapacityUnits"]),
    )
    table = Reports(exact_client, "table")
    table.put(full_report(seed, revision=60))
    table.put(full_report(seed + 100, revision=61))
    assert [1.0, 1.0] == units


def test_simultaneous_revisions(exact_client: DynamoDBClient) -> None:
    """Of revisions that arrive at the same moment the highest stays."""
    create_table(exact_client, "table")
    table = Reports(exact_client, "table")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: table.put(report(revision=n)), random.Random(3).sample(range(1, 25), 24)))
    (kept,) = table.of_hour("cust_8f2c", HOUR)
    assert kept.revision == 24
