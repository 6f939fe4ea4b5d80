"""Work that cannot be done: it fails alone, is tried five times, and ends where the alarm looks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from metering.core.instants import HOUR, format_instant
from testing.reports import report
from testing.tables import items_of
from tests.unit.test_template import RESOURCES

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_sqs import SQSClient

    from tests.component.service import Service

CUSTOMER = "cust_8f2c"


@pytest.fixture
def queues(service: Service) -> dict[str, str]:
    """The queue and its dead letters as the template has them; their URLs by the template's names."""
    made = RESOURCES["AggregateQueue"]["Properties"]
    dead = service.sqs.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    policy = made["RedrivePolicy"]
    assert {"Fn::GetAtt": ["AggregateDeadLetters", "Arn"]} == policy["deadLetterTargetArn"]
    url = service.sqs.create_queue(
        QueueName="work.fifo",
        Attributes={
            "FifoQueue": "true",
            "VisibilityTimeout": str(made["VisibilityTimeout"]),
            "RedrivePolicy": json.dumps(policy | {"deadLetterTargetArn": arn_of(service.sqs, dead)}),
        },
    )["QueueUrl"]
    return {"AggregateQueue": url, "AggregateDeadLetters": dead}


def arn_of(sqs: SQSClient, url: str) -> str:
    """Return a queue's ARN."""
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def waiting(sqs: SQSClient, url: str) -> int:
    """Return what the metric ApproximateNumberOfMessagesVisible shows."""
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


def send(sqs: SQSClient, url: str, group: str, number: int, body: dict[str, Any]) -> None:
    """Enqueue work."""
    sqs.send_message(
        QueueUrl=url,
        MessageBody=json.dumps(body),
        MessageGroupId=group,
        MessageDeduplicationId=f"{group}{number}",
    )


def deliver(service: Service, url: str) -> tuple[list[str], list[str]]:
    """Deliver a batch as the event source mapping does; return the bodies worked on, and those that failed.

    What succeeded is deleted, and what failed is visible again at once, as if its time had passed.
    """
    (record,) = service.event("recompute")["Records"]
    messages = service.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]).get(
        "Messages", []
    )
    if not messages:
        return [], []
    records = [
        record | {"body": m["Body"], "messageId": m["MessageId"], "attributes": m["Attributes"]}
        for m in messages
    ]
    answer = service.invoke("aggregate", {"Records": records})
    failed = {row["itemIdentifier"] for row in answer["batchItemFailures"]}
    for message in messages:
        if message["MessageId"] in failed:
            service.sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        else:
            service.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    bodies = {message["MessageId"]: message["Body"] for message in messages}
    return [*bodies.values()], [bodies[name] for name in bodies if name in failed]


def dirty(service: Service, hour: datetime) -> dict[str, Any]:
    """Store a report, mark its hour dirty, and return the work."""
    service.tables.reports.put(report(hour))
    service.tables.markers.touch_dirty(CUSTOMER, hour)
    return {"work": "recompute", "customer_id": CUSTOMER, "hour": format_instant(hour), "touched": "t"}


def test_a_message_that_fails_fails_alone_and_ends_as_a_dead_letter_that_is_alarmed(
    service: Service, queues: dict[str, str], last_hour: datetime
) -> None:
    """Of a batch the bad message alone is tried again, five times; then it lies where the alarm counts it."""
    url, dead = queues["AggregateQueue"], queues["AggregateDeadLetters"]
    alarm = RESOURCES["AggregateDeadLettersAlarm"]["Properties"]
    bad = {"work": "recompute", "customer_id": CUSTOMER, "hour": "no hour", "touched": "t"}
    good = [dirty(service, last_hour - HOUR), dirty(service, last_hour)]
    send(service.sqs, url, "bad", 1, bad)
    for number, work in enumerate(good):
        send(service.sqs, url, work["hour"], number, work)

    worked, failed = deliver(service, url)
    assert (3, [json.dumps(bad)]) == (len(worked), failed)
    assert 2 == len(items_of(service.client, "hours"))
    later = dirty(service, last_hour - 2 * HOUR)
    for attempt in range(2, 6):
        assert waiting(service.sqs, dead) < alarm["Threshold"]
        # A batch that fails as a whole is an error of the function: each time there is good work beside it.
        send(service.sqs, url, later["hour"], attempt, later)
        worked, failed = deliver(service, url)
        assert (2, [json.dumps(bad)]) == (len(worked), failed)
    assert ([], []) == deliver(service, url)

    assert waiting(service.sqs, dead) >= alarm["Threshold"]
    assert "ApproximateNumberOfMessagesVisible" == alarm["MetricName"]
    assert [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["AggregateDeadLetters", "QueueName"]}}] == alarm[
        "Dimensions"
    ]
    assert [{"Ref": "OperatorTopic"}] == alarm["AlarmActions"]
    (letter,) = boto3.client("sqs").receive_message(QueueUrl=dead)["Messages"]
    assert bad == json.loads(letter["Body"])


def test_what_follows_a_failure_in_its_group_waits_for_it(
    service: Service, queues: dict[str, str], last_hour: datetime
) -> None:
    """Within a group order holds: work behind a failed message is given back too, other groups are done."""
    url = queues["AggregateQueue"]
    behind, beside = dirty(service, last_hour), dirty(service, last_hour - HOUR)
    send(service.sqs, url, "group", 1, behind | {"hour": "no hour"})
    send(service.sqs, url, "group", 2, behind)
    send(service.sqs, url, "beside", 3, beside)
    worked, failed = deliver(service, url)
    assert 3 == len(worked)
    assert json.dumps(behind) in failed
    assert json.dumps(beside) not in failed
    assert [last_hour - HOUR] == [
        h.start for h in service.tables.hours.between(CUSTOMER, last_hour - HOUR, last_hour + HOUR)
    ]


def test_a_sweep_that_fails_is_tried_again_by_itself(service: Service, queues: dict[str, str]) -> None:
    """A shard whose customers cannot be read fails alone, and the rest of the sweep goes on."""
    url = queues["AggregateQueue"]
    shard = {"work": "sweep_shard", "sweep": "hourly", "hour": "2026-11-22T14:00:00Z", "shard": 3}
    send(service.sqs, url, "shard", 1, shard)
    send(service.sqs, url, "odd", 2, shard | {"sweep": "no such sweep"})
    worked, failed = deliver(service, url)
    assert 2 == len(worked)
    assert ["no such sweep"] == [json.loads(body)["sweep"] for body in failed]
