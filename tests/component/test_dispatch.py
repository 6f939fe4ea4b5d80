"""Dispatch: every dirty hour that is over at once, those still open in turns."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aggregate.dispatch import due_hours
from metering.aws.queues import Message, NotSentError, send_all
from metering.core.periods import HOUR as ONE_HOUR
from metering.tables.markers import SHARDS, shard_of
from tests.reports import HOUR

if TYPE_CHECKING:
    from datetime import datetime

    from tests.component.service import Service

# One customer in each shard.
CUSTOMERS = list({shard_of(f"cust_{n}"): f"cust_{n}" for n in range(500)}.values())


def due(service: Service, now: datetime, *, include_open: bool = False) -> list[str]:
    """Return whose hours are due."""
    found = due_hours(service.markers, now, include_open=include_open)
    return sorted(message.body["customer_id"] for message in found)


def test_closed_hours_at_once(service: Service) -> None:
    """Every dirty hour that is over is due, of every shard, in any minute."""
    assert SHARDS == len(CUSTOMERS)
    for customer in CUSTOMERS:
        service.markers.touch_dirty(customer, HOUR)
    for minute in range(10):
        assert sorted(CUSTOMERS) == due(service, HOUR + ONE_HOUR + timedelta(minutes=minute))


def test_the_very_end(service: Service) -> None:
    """An hour is over with its last second, not before."""
    service.markers.touch_dirty("acme", HOUR)
    closing = [due(service, HOUR + ONE_HOUR - timedelta(seconds=s)) for s in (0, 1)]
    assert ["acme"] == closing[0]
    # 13:59 is no minute of this customer's shard.
    assert (59 + shard_of("acme")) % 10 != 0
    assert [] == closing[1]


def test_open_hours_in_turns(service: Service) -> None:
    """An hour still open is due once in every ten minutes, and the shards take turns."""
    for customer in CUSTOMERS:
        service.markers.touch_dirty(customer, HOUR)
    minutes = {minute: due(service, HOUR + timedelta(minutes=minute)) for minute in range(20, 30)}
    assert dict.fromkeys(CUSTOMERS, 1) == Counter(name for names in minutes.values() for name in names)
    assert max(len(names) for names in minutes.values()) <= 2


def test_open_hours_on_demand(service: Service) -> None:
    """On demand the hours still open are due in any minute."""
    service.markers.touch_dirty("acme", HOUR)
    for minute in range(10):
        assert ["acme"] == due(service, HOUR + timedelta(minutes=minute), include_open=True)


def test_the_message(service: Service) -> None:
    """A message runs in the order of its customer's hour, and is enqueued once for each touch."""
    service.markers.touch_dirty("acme", HOUR)
    (marker,) = service.markers.dirty_of("acme")
    expected = Message(
        {"customer_id": "acme", "hour": "2026-11-22T13:00:00Z"}, "acme#2026-11-22T13:00:00Z", marker.touched
    )
    assert [expected] == list(due_hours(service.markers, HOUR + ONE_HOUR, include_open=False))


def test_many_messages(service: Service) -> None:
    """More messages than a batch takes are all sent; sent again in five minutes they are not there twice."""
    messages = [Message({"n": n}, f"group-{n}", f"id-{n}") for n in range(23)]
    assert [23, 23] == [send_all(service.sqs, service.queue_url, messages) for _ in range(2)]
    bodies = [body for _ in range(10) for body in service.queued()]
    assert list(range(23)) == sorted(body["n"] for body in bodies)


def test_no_messages(service: Service) -> None:
    """Nothing to send is nothing sent."""
    assert 0 == send_all(service.sqs, service.queue_url, [])


def test_a_refused_message(service: Service) -> None:
    """A message that SQS refuses is an error after all others were sent: its marker brings it again."""

    def refuse(parsed: dict[str, Any], **_: Any) -> None:
        for row in [row for row in parsed["Successful"] if row["Id"] == "3"]:
            parsed["Successful"].remove(row)
            parsed.setdefault("Failed", []).append({"Id": "3", "Code": "Throttled", "SenderFault": False})

    # moto refuses no message of a batch, SQS may.
    service.sqs.meta.events.register("after-call.sqs.SendMessageBatch", refuse)
    messages = [Message({"n": n}, f"group-{n}", f"id-{n}") for n in range(15)]
    with pytest.raises(
        NotSentError, match="2 messages were not taken: group-3: Throttled, group-13: Throttled"
    ):
        send_all(service.sqs, service.queue_url, messages)
    assert 15 == sum(len(service.queued()) for _ in range(15))
