"""Sending work to a FIFO queue: ordered within a group, each deduplication id once in five minutes.

What work there is, each function's ``messages.py`` says. Source: docs/architecture.md#the-way-of-an-hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from metering.aws.clients import Clients

_BATCH = 10
"""The most messages that SQS takes in one call."""


class Queued(Protocol):
    """One unit of work: what is to be done, the group in whose order, and its deduplication id."""

    @property
    def group(self) -> str:
        """Work of one group is done one after the other."""

    @property
    def deduplication_id(self) -> str:
        """The same work asked for again within five minutes is enqueued once."""

    def model_dump_json(self) -> str:
        """Return the message's body."""


class NotSentError(Exception):
    """Some messages were not taken; whoever reads the markers next sends them again."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One FIFO queue, by its URL."""

    clients: Clients
    url: str

    def send(self, work: Iterable[Queued]) -> int:
        """Send work in batches; return how many messages were sent.

        Raises
        ------
        NotSentError
            After everything was tried, when SQS refused some.
        """
        sent, refused = 0, list[str]()
        for batch in batched(work, _BATCH, strict=False):
            answer = self.clients("sqs").send_message_batch(QueueUrl=self.url, Entries=[*_entries(batch)])
            sent += len(answer.get("Successful", ()))
            refused += [f"{batch[int(row['Id'])].group}: {row['Code']}" for row in answer.get("Failed", ())]
        if refused:
            raise NotSentError(f"{len(refused)} messages were not taken: {', '.join(refused[:3])}")
        return sent


def _entries(batch: tuple[Queued, ...]) -> Iterator[Any]:
    for number, work in enumerate(batch):
        yield {
            "Id": str(number),
            "MessageBody": work.model_dump_json(),
            "MessageGroupId": work.group,
            "MessageDeduplicationId": work.deduplication_id,
        }
