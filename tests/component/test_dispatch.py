"""Dispatch: every dirty hour that is over at once, those still open in turns."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aggregate.dispatch import STALE_AFTER, due_hours, due_shards, of_shard
from aggregate.messages import Recompute, read
from metering.aws.clients import Clients
from metering.aws.queues import NotSentError, Queue
from metering.core.instants import HOUR as ONE_HOUR
from metering.tables.shards import SHARDS, shard_of
from testing.reports import HOUR

if TYPE_CHECKING:
    from datetime import datetime

    from tests.component.service import Service

# One customer in each shard.
CUSTOMERS = list({shard_of(f"cust_{n}"): f"cust_{n}" for n in range(500)}.values())


def due(service: Service, now: datetime, *, include_open: bool = False) -> list[str]:
    """Return whose hours are due."""
    markers = service.tables.markers
    shards = due_shards(markers, now, include_open=include_open)
    return sorted(work.customer_id for shard in shards for work in of_shard(shard, markers, now))


def hours(number: int) -> list[Recompute]:
    """Return work of so many customers."""
    return [Recompute(customer_id=f"cust_{n}", hour=HOUR, touched=f"id-{n}") for n in range(number)]


def test_closed_hours_at_once(service: Service) -> None:
    """Every dirty hour that is over is due, of every shard, in any minute."""
    assert SHARDS == len(CUSTOMERS)
    for customer in CUSTOMERS:
        service.tables.markers.touch_dirty(customer, HOUR)
    for minute in range(10):
        assert sorted(CUSTOMERS) == due(service, HOUR + ONE_HOUR + timedelta(minutes=minute))


def test_the_very_end(service: Service) -> None:
    """An hour is over with its last second, not before."""
    service.tables.markers.touch_dirty("acme", HOUR)
    closing = [due(service, HOUR + ONE_HOUR - timedelta(seconds=s)) for s in (0, 1)]
    assert ["acme"] == closing[0]
    # 13:59 is no minute of this customer's shard.
    assert (59 + shard_of("acme")) % 10 != 0
    assert [] == closing[1]


def test_open_hours_in_turns(service: Service) -> None:
    """An hour still open is due once in every ten minutes, and the shards take turns."""
    for customer in CUSTOMERS:
        service.tables.markers.touch_dirty(customer, HOUR)
    minutes = {minute: due(service, HOUR + timedelta(minutes=minute)) for minute in range(20, 30)}
    assert dict.fromkeys(CUSTOMERS, 1) == Counter(name for names in minutes.values() for name in names)
    assert max(len(names) for names in minutes.values()) <= 2


def test_open_hours_on_demand(service: Service) -> None:
    """On demand the hours still open are due in any minute."""
    service.tables.markers.touch_dirty("acme", HOUR)
    for minute in range(10):
        assert ["acme"] == due(service, HOUR + timedelta(minutes=minute), include_open=True)


def test_the_message(service: Service) -> None:
    """A message runs in the order of its customer's hour, and is enqueued once for each touch."""
    service.tables.markers.touch_dirty("acme", HOUR)
    (marker,) = service.tables.markers.dirty_of("acme")
    (work,) = due_hours(service.tables.markers, shard_of("acme"), HOUR + ONE_HOUR, include_open=False)
    assert Recompute(customer_id="acme", hour=HOUR, touched=marker.touched) == work
    assert ("acme#2026-11-22T13:00:00Z", marker.touched) == (work.group, work.deduplication_id)
    assert work == read(work.model_dump_json())


def test_one_message_a_shard(service: Service) -> None:
    """A run sends one message for each shard that has something due, and none for the others."""
    named = [f"cust_{n}" for n in range(200) if shard_of(f"cust_{n}") in {3, 11}]
    assert len(named) > 10
    for customer in named:
        service.tables.markers.touch_dirty(customer, HOUR)
    assert {"sent": 2} == service.invoke("aggregate", {"task": "dispatch"})
    bodies = service.queued()
    assert [3, 11] == sorted(body["shard"] for body in bodies)
    service.work("aggregate", *bodies)
    recomputed = [body["customer_id"] for _ in range(9) for body in service.queued()]
    assert sorted(named) == sorted(recomputed)


def test_a_late_message_of_a_shard_is_dropped(service: Service) -> None:
    """Behind a backlog the shards' messages do not pile up: later runs have asked for the same."""
    service.tables.markers.touch_dirty("acme", HOUR)
    asked = HOUR + ONE_HOUR
    (work,) = due_shards(service.tables.markers, asked, include_open=False)
    late = asked + STALE_AFTER
    assert 1 == len(list(of_shard(work, service.tables.markers, late)))
    assert [] == list(of_shard(work, service.tables.markers, late + timedelta(seconds=1)))


def test_many_messages(service: Service) -> None:
    """More messages than a batch takes are all sent; sent again in five minutes they are not there twice."""
    work, queue = hours(23), Queue(Clients(), service.queue_url)
    assert [23, 23] == [queue.send(work) for _ in range(2)]
    bodies = [body for _ in range(10) for body in service.queued()]
    assert sorted(f"id-{n}" for n in range(23)) == sorted(body["touched"] for body in bodies)


def test_no_messages(service: Service) -> None:
    """Nothing to send is nothing sent."""
    assert 0 == Queue(Clients(), service.queue_url).send([])


def test_a_refused_message(service: Service) -> None:
    """A message that SQS refuses is an error after all others were sent: its marker brings it again."""

    def refuse(parsed: dict[str, Any], **_: Any) -> None:
        for row in [row for row in parsed["Successful"] if row["Id"] == "3"]:
            parsed["Successful"].remove(row)
            parsed.setdefault("Failed", []).append({"Id": "3", "Code": "Throttled", "SenderFault": False})

    # moto refuses no message of a batch, SQS may.
    clients = Clients()
    clients("sqs").meta.events.register("after-call.sqs.SendMessageBatch", refuse)
    with pytest.raises(
        NotSentError, match=r"2 messages were not taken: cust_3#.*: Throttled, cust_13#.*: Throttled"
    ):
        Queue(clients, service.queue_url).send(hours(15))
    assert 15 == sum(len(service.queued()) for _ in range(15))
