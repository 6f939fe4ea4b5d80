"""The functions in process: events in, answers out, on moto's tables and queues."""

from __future__ import annotations

import base64
import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from aggregate.app import AggregateSettings
from aggregate.app import build as build_aggregate
from authorizer.app import AuthorizerSettings
from authorizer.app import build as build_authorizer
from ingest.app import IngestSettings
from ingest.app import build as build_ingest
from metering.aws.clients import RETRIES, Clients
from metering.aws.observability import observed
from metering.tables.tables import TABLES, Tables
from stripe_report.app import StripeReportSettings
from stripe_report.app import build as build_stripe_report
from testing.tables import create_tables, items_of
from usage_query.app import QuerySettings
from usage_query.app import build as build_usage_query

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

    from metering.aws.observability import Handler
    from metering.aws.web import Identity

EVENTS = Path(__file__).parent.parent / "events"
PORTAL_SECRET = "a portal secret of thirty-two bytes or more"
STRIPE_KEY = "sk_test_neverInAnyLog"
_FUNCTIONS: dict[str, tuple[type[Any], Any]] = {
    "authorizer": (AuthorizerSettings, build_authorizer),
    "ingest": (IngestSettings, build_ingest),
    "aggregate": (AggregateSettings, build_aggregate),
    "stripe_report": (StripeReportSettings, build_stripe_report),
    "usage_query": (QuerySettings, build_usage_query),
}


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
    """The deployed functions, in process: events in, answers out, on moto's tables and queues.

    ``settings`` are the functions' variables, as the template gives them.
    """

    client: DynamoDBClient
    sqs: SQSClient
    tables: Tables
    settings: dict[str, str]
    _built: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def deploy(cls, **settings: str) -> Service:
        """Make the tables, queues, channels and secrets that all functions share; inside moto."""
        client, sqs = boto3.client("dynamodb", config=RETRIES), boto3.client("sqs")
        create_tables(client)
        secrets = boto3.client("secretsmanager")
        secrets.create_secret(Name="portal", SecretString=PORTAL_SECRET)
        secrets.create_secret(Name="stripe", SecretString=STRIPE_KEY)
        boto3.client("events").create_event_bus(Name="alerts")
        topic = boto3.client("sns").create_topic(Name="operator")["TopicArn"]
        fifo: Any = {"FifoQueue": "true"}
        given = {f"{name}_table": name for name in TABLES} | {
            "aggregate_queue_url": sqs.create_queue(QueueName="aggregate.fifo", Attributes=fifo)["QueueUrl"],
            "stripe_queue_url": sqs.create_queue(QueueName="stripe.fifo", Attributes=fifo)["QueueUrl"],
            "alert_bus": "alerts",
            "operator_topic_arn": topic,
            "portal_secret_name": "portal",
            "stripe_secret_name": "stripe",
        }
        return cls(client, sqs, Tables.plain(client), given | settings)

    @property
    def queue_url(self) -> str:
        """The queue of aggregate."""
        return self.settings["aggregate_queue_url"]

    @staticmethod
    def event(name: str, identity: Identity | None = None, **changes: Any) -> dict[str, Any]:
        """Return an event from ``tests/events``, perhaps of another identity, with top fields changed."""
        event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text()) | changes
        if identity:
            event["requestContext"]["authorizer"] = {"lambda": identity.to_context()}
        return event

    def app(self, function: str) -> Any:
        """Return a function as a cold start builds it: once."""
        if function not in self._built:
            settings, build = _FUNCTIONS[function]
            self._built[function] = build(settings.model_validate(self.settings), self.tables, Clients())
        return self._built[function]

    def handler(self, function: str) -> Handler:
        """Return what Lambda calls."""
        return observed(self.app(function).handle, counts=function != "authorizer")

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke a function."""
        return self.handler(function)(event, LambdaContext())

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

    def work(self, function: str, *bodies: dict[str, Any]) -> Any:
        """Work messages off as the function's queue gives them."""
        record = self.event("recompute")["Records"][0]
        return self.invoke(function, {"Records": [record | {"body": json.dumps(body)} for body in bodies]})

    def aggregate(self) -> int:
        """Dispatch all dirty hours and work the queue off; return how many messages there were."""
        self.invoke("aggregate", self.event("dispatch_open"))
        worked = 0
        while messages := self._receive("aggregate"):
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

    def queued(self, function: str = "aggregate") -> list[dict[str, Any]]:
        """Take the bodies of all messages in a function's queue."""
        return [json.loads(message["Body"]) for message in self._receive(function)]

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Return all items of all tables."""
        return {name: items_of(self.client, name) for name in TABLES}

    def _receive(self, function: str) -> list[Any]:
        url = self.settings[f"{function.removesuffix('_report')}_queue_url"]
        answer = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        return list(answer.get("Messages", ()))


def start(function: str) -> Handler:
    """Import a function's handler as a cold start does, with the environment there is."""
    handler: Handler = importlib.import_module(f"{function}.handler").handle
    return handler
