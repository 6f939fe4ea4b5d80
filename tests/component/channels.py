"""What the three channels carried: the bus and the topic end in queues, the e-mails in moto's outbox."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from aggregate.publish import Publisher
from metering.aws.clients import Clients

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

REGION = "us-east-1"
SENDER, CUSTOMER = "billing@zemfyre.example", "accounts@acme.example"


@dataclass(frozen=True)
class Channels:
    """Three channels on moto, and what came through them."""

    clients: Clients
    publisher: Publisher
    sqs: SQSClient
    bus_queue: str
    topic_queue: str

    @classmethod
    def open(cls, sender: str = SENDER) -> Channels:
        """Make a bus, a topic and a verified sender; inside moto."""
        clients = Clients()
        sqs, bus = boto3.client("sqs"), boto3.client("events")
        queues = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("bus", "topic")]
        arns = [
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            for url in queues
        ]
        bus.create_event_bus(Name="told")
        bus.put_rule(Name="all", EventBusName="told", EventPattern='{"source": ["zemfyre.billing"]}')
        bus.put_targets(Rule="all", EventBusName="told", Targets=[{"Id": "queue", "Arn": arns[0]}])
        topic = boto3.client("sns").create_topic(Name="told")["TopicArn"]
        boto3.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns[1])
        boto3.client("sesv2").create_email_identity(EmailIdentity=SENDER)
        return cls(clients, Publisher(clients, "told", topic, sender), sqs, *queues)

    def bus(self) -> list[dict[str, Any]]:
        """Take the events of the bus, in order of ids."""
        events = [json.loads(body) for body in self._taken(self.bus_queue)]
        return sorted(events, key=lambda event: str(event["detail"]["alert_id"]))

    def topic(self) -> list[dict[str, Any]]:
        """Take the messages of the topic, in order of ids."""
        messages = [json.loads(body) for body in self._taken(self.topic_queue)]
        return sorted(messages, key=lambda message: str(message["MessageAttributes"]["alert_id"]["Value"]))

    @staticmethod
    def emails() -> list[Any]:
        """Return the e-mails sent so far."""
        return list(ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages)

    def ids(self) -> tuple[list[str], list[str]]:
        """Take both queues; return the ids on the bus and on the topic."""
        return (
            [event["detail"]["alert_id"] for event in self.bus()],
            [message["MessageAttributes"]["alert_id"]["Value"] for message in self.topic()],
        )

    def _taken(self, queue: str) -> list[str]:
        bodies: list[str] = []
        while messages := self.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            bodies += [message["Body"] for message in messages]
            for message in messages:
                self.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return bodies
