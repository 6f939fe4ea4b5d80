"""The aggregate function through its events: dispatch by schedule, work by queue."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aggregate.messages import Recompute
from metering.core.instants import HOUR as ONE_HOUR
from metering.core.instants import format_instant
from testing.reports import document
from testing.tables import Calls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tests.component.service import Service


def records(service: Service, *hours: datetime) -> dict[str, Any]:
    """Return a batch of work, one message for each hour."""
    (record,) = service.event("recompute")["Records"]
    return {
        "Records": [
            record
            | {
                "messageId": f"message-{n}",
                "body": Recompute(customer_id="cust_8f2c", hour=hour, touched="t").model_dump_json(),
                "attributes": record["attributes"] | {"MessageGroupId": f"cust_8f2c#{format_instant(hour)}"},
            }
            for n, hour in enumerate(hours)
        ]
    }


def test_from_report_to_hour(service: Service, last_hour: datetime) -> None:
    """A posted report becomes an hour through schedule, shard and queue, and its day is to be reported."""
    service.post(document(last_hour))
    assert 2 == service.aggregate()
    (hour,) = service.tables.hours.between("cust_8f2c", last_hour, last_hour + ONE_HOUR)
    assert {"mqtt_bytes_received": 123456, "http_requests": 42} == hour.counters
    assert [] == list(service.tables.markers.dirty_of("cust_8f2c"))
    assert [last_hour.date()] == [marker.day for marker in service.tables.markers.unsent_of("cust_8f2c")]


def test_dispatch_says_how_many(service: Service, last_hour: datetime) -> None:
    """Dispatch sends its shard, then every dirty hour that is over, and leaves the markers to the workers."""
    service.post(document(last_hour))
    service.post(document(last_hour - ONE_HOUR))
    assert {"sent": 1} == service.invoke("aggregate", service.event("dispatch"))
    service.work("aggregate", *service.queued())
    hours = sorted(body["hour"] for body in service.queued())
    assert [format_instant(last_hour - ONE_HOUR), format_instant(last_hour)] == hours
    assert 2 == len(list(service.tables.markers.dirty_of("cust_8f2c")))


def test_the_queue_s_message(service: Service) -> None:
    """A queue's message whose hour is clean is done, as when it is delivered twice."""
    assert {"batchItemFailures": []} == service.invoke("aggregate", service.event("recompute"))


def test_a_failed_message_comes_again(service: Service, last_hour: datetime) -> None:
    """Of a batch the message that failed is given back, its hour stays dirty; the others are done."""
    hours = [last_hour - n * ONE_HOUR for n in range(3)]
    for hour in hours:
        service.post(document(hour))
    Calls(fail_at=0).watch(service.client)
    answer = service.invoke("aggregate", records(service, *hours))
    assert {"batchItemFailures": [{"itemIdentifier": "message-0"}]} == answer
    assert [hours[0]] == [marker.hour for marker in service.tables.markers.dirty_of("cust_8f2c")]


# The invocation fails before it has anything to count.
@pytest.mark.filterwarnings("ignore:No application metrics:UserWarning")
def test_another_task(service: Service) -> None:
    """A task that nobody knows is an error, so that a wrong schedule is noticed."""
    with pytest.raises(ValueError, match="no such task: 'dance'"):
        service.invoke("aggregate", {"task": "dance"})


def test_any_interleaving(service: Service, last_hour: datetime) -> None:
    """Deliveries in any order with recomputations between them end in the same hour."""
    ends: list[tuple[int, Mapping[str, int]]] = []
    for order in ((1, 2, 3), (3, 1, 2), (2, 2, 3, 1)):
        hour = last_hour - timedelta(hours=len(ends))
        for revision in order:
            service.post(document(hour, revision=revision, counters={"http_requests": revision}))
            service.aggregate()
        (computed,) = service.tables.hours.between("cust_8f2c", hour, hour + ONE_HOUR)
        ends.append((computed.computed_from, computed.counters))
    assert [(3, {"http_requests": 3})] * 3 == ends
