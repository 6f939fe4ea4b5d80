"""Sending work to a FIFO queue: ordered within a group, each deduplication id once in five minutes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import batched
from typing import TYPE_CHECKING, Any

import boto3

from metering.tables.client import RETRIES

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_BATCH = 10
"""The most messages that SQS takes in one call."""


@dataclass(frozen=True, slots=True)
class Message:
    """One unit of work: a JSON body, the group in whose order it runs, and its deduplication id."""

    body: dict[str, Any]
    group: str
    deduplication: str


class NotSentError(Exception):
    """Some messages were not taken; whoever reads the markers next sends them again."""


@cache
def sqs() -> "SQSClient":
    """Return the process's SQS client, made on first use."""
    return boto3.client("sqs", config=RETRIES)


def send_all(client: "SQSClient", queue_url: str, messages: Iterable[Message]) -> int:
    """Send messages in batches; return how many were sent.

    Raises
    ------
    NotSentError
        After everything was tried, when SQS refused some.
    """
    sent, refused = 0, list[str]()
    for batch in batched(messages, _BATCH, strict=False):
        answer = client.send_message_batch(QueueUrl=queue_url, Entries=[*_entries(batch)])
        sent += len(answer.get("Successful", ()))
        refused += [f"{batch[int(row['Id'])].group}: {row['Code']}" for row in answer.get("Failed", ())]
    if refused:
        raise NotSentError(f"{len(refused)} messages were not taken: {', '.join(refused[:3])}")
    return sent


def _entries(batch: tuple[Message, ...]) -> Iterator[Any]:
    for number, message in enumerate(batch):
        yield {
            "Id": str(number),
            "MessageBody": json.dumps(message.body, sort_keys=True),
            "MessageGroupId": message.group,
            "MessageDeduplicationId": message.deduplication,
        }
