"""The functions in process: events in, answers out, on moto's tables and queue."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities import parameters

from metering.aws.queues import sqs
from metering.tables.client import dynamodb
from tests.component.tables import items_of

if TYPE_CHECKING:
    from types import ModuleType

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

    from metering.aws.web import Identity
    from metering.tables.customers import Customers
    from metering.tables.hours import Hours
    from metering.tables.ledger import Ledger
    from metering.tables.markers import Markers
    from metering.tables.reports import Reports

EVENTS = Path(__file__).parent.parent / "events"
PORTAL_SECRET = "a portal secret of thirty-two bytes or more"
TABLES = ("customers", "reports", "markers", "hours", "ledger")


@dataclass(frozen=True)
class LambdaContext:
    """What the runtime tells a function of its invocation."""

    function_name: str = "function"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "da658bd3-2d6f-4e7b-8ec2-937234644fdc"

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left."""
        return 30_000


@dataclass(frozen=True)
class Answer:
    """A function's answer to the gateway."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Answer:
        """Read an answer."""
        return cls(raw["statusCode"], json.loads(raw.get("body") or "{}"), raw["headers"])

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.body["error"]["code"])

    @property
    def fields(self) -> list[str]:
        """The bad fields that the error names."""
        return [detail["field"] for detail in self.body["error"]["details"]]


@dataclass(frozen=True)
class Service:
    """The deployed functions, in process: events in, answers out, on moto's tables and queue."""

    client: DynamoDBClient
    sqs: SQSClient
    queue_url: str
    customers: Customers
    reports: Reports
    markers: Markers
    hours: Hours
    ledger: Ledger

    @staticmethod
    def event(name: str, identity: Identity | None = None, **changes: Any) -> dict[str, Any]:
        """Return an event from ``tests/events``, perhaps of another identity, with top fields changed."""
        event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text()) | changes
        if identity:
            event["requestContext"]["authorizer"] = {"lambda": identity.to_context()}
        return event

    @staticmethod
    def handler(function: str) -> ModuleType:
        """Return a function's handler, as a cold start imports it."""
        name = f"{function}.handler"
        return sys.modules.get(name) or importlib.import_module(name)

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke a function."""
        return self.handler(function).handle(event, LambdaContext())

    def post(self, body: dict[str, Any] | str | bytes, identity: Identity | None = None) -> Answer:
        """Post a report: a document, a text, or bytes as the gateway encodes them."""
        event = self.event("report", identity)
        if isinstance(body, bytes):
            event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        else:
            event["body"] = body if isinstance(body, str) else json.dumps(body)
        return Answer.of(self.invoke("ingest", event))

    def get(self, name: str, identity: Identity | None = None, **changes: Any) -> Answer:
        """Ask usage_query."""
        return Answer.of(self.invoke("usage_query", self.event(name, identity, **changes)))

    def aggregate(self) -> int:
        """Dispatch all dirty hours and work the queue off; return how many messages there were."""
        self.invoke("aggregate", self.event("dispatch_open"))
        worked = 0
        while messages := self._receive():
            records = [
                self.event("recompute")["Records"][0]
                | {"body": message["Body"], "messageId": message["MessageId"]}
                for message in messages
            ]
            assert {"batchItemFailures": []} == self.invoke("aggregate", {"Records": records})
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
            worked += len(messages)
        return worked

    def queued(self) -> list[dict[str, Any]]:
        """Take the bodies of all messages in the queue."""
        return [json.loads(message["Body"]) for message in self._receive()]

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Return all items of all tables."""
        return {name: items_of(self.client, name) for name in TABLES}

    def _receive(self) -> list[Any]:
        answer = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
        return list(answer.get("Messages", ()))


def forget() -> None:
    """Drop what a Lambda process keeps between invocations, so that the next import is a cold start."""
    for function in ("authorizer", "ingest", "aggregate", "usage_query"):
        sys.modules.pop(f"{function}.handler", None)
    dynamodb.cache_clear()
    sqs.cache_clear()
    parameters.clear_caches()  # type: ignore[no-untyped-call]  # Powertools' own
