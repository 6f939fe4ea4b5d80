"""What aggregate can be asked for: work on its queue, and tasks of the schedules and of the operator.

Source: docs/storage.md#recomputing-an-hour and docs/storage.md#sweeps.
"""

import uuid
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from metering.aws.messages import ON_FIRST_USE, Message, read_message
from metering.core.contract import Id
from metering.core.instants import FullHour, Instant, format_instant
from metering.tables.shards import SHARDS

type Sweep = Literal["hourly", "daily"]
type Shard = Annotated[int, Field(ge=0, lt=SHARDS)]


class Recompute(Message):
    """Recompute a customer's hour; ``touched`` is the marker's, so that a backlog is not enqueued again."""

    work: Literal["recompute"] = "recompute"
    customer_id: Id
    hour: FullHour
    touched: str

    @property
    def group(self) -> str:
        """One hour is recomputed by one worker at a time."""
        return f"{self.customer_id}#{format_instant(self.hour)}"

    @property
    def deduplication_id(self) -> str:
        """One change of the hour is worked on once."""
        return self.touched


class DispatchShard(Message):
    """Find a shard's dirty hours; ``at`` is when it was asked for, ``include_open`` as in `Dispatch`."""

    work: Literal["dispatch_shard"] = "dispatch_shard"
    shard: Shard
    at: Instant
    include_open: bool = False
    trigger: str = Field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def group(self) -> str:
        """A shard that fails is tried again by itself."""
        return f"dirty#{self.shard}"

    @property
    def deduplication_id(self) -> str:
        """Each run looks at a shard once, however soon after the last one."""
        return self.trigger


class SweepShard(Message):
    """Sweep all customers of a shard; ``hour`` is the one in which the sweep was begun."""

    work: Literal["sweep_shard"] = "sweep_shard"
    sweep: Sweep
    hour: FullHour
    shard: Shard

    @property
    def group(self) -> str:
        """A shard that fails is tried again by itself."""
        return f"fleet#{self.shard}"

    @property
    def deduplication_id(self) -> str:
        """A sweep asked for twice within an hour is enqueued once."""
        return f"{self.sweep}#{format_instant(self.hour)}#{self.shard}"


class SweepAlerts(Message):
    """Raise the alerts of one customer: the hourly sweep that was begun in ``hour``."""

    work: Literal["sweep_alerts"] = "sweep_alerts"
    customer_id: Id
    hour: FullHour

    @property
    def group(self) -> str:
        """A customer's sweeps of one kind follow each other."""
        return f"{self.customer_id}#hourly"

    @property
    def deduplication_id(self) -> str:
        """Each sweep looks at a customer once."""
        return f"{self.customer_id}#hourly#{format_instant(self.hour)}"


class Conserve(Message):
    """Check one customer's conservation: the daily sweep that was begun in ``hour``.

    ``since`` and ``until`` are the hours whose reports are to be compared, and nothing else; everything when
    they are None.
    """

    work: Literal["conserve"] = "conserve"
    customer_id: Id
    hour: FullHour
    since: FullHour | None = None
    until: FullHour | None = None

    @property
    def group(self) -> str:
        """A customer's sweeps of one kind follow each other."""
        return f"{self.customer_id}#daily"

    @property
    def deduplication_id(self) -> str:
        """Each sweep looks at a customer once, and at a part once for the hour it begins at."""
        begun = format_instant(self.hour)
        if self.since is None:
            return f"{self.customer_id}#daily#{begun}"
        return f"daily#{begun}#{format_instant(self.since)}"


type Work = Recompute | DispatchShard | SweepShard | SweepAlerts | Conserve


class Dispatch(Message):
    """Find dirty hours; ``include_open`` takes those still open as well, for demos and tests."""

    task: Literal["dispatch"] = "dispatch"
    include_open: bool = False


class SweepHourly(Message):
    """Begin the hourly sweep over the fleet."""

    task: Literal["sweep_hourly"] = "sweep_hourly"


class SweepDaily(Message):
    """Begin the daily sweep over the fleet."""

    task: Literal["sweep_daily"] = "sweep_daily"


type Task = Dispatch | SweepHourly | SweepDaily

_WORK: TypeAdapter[Work] = TypeAdapter(Annotated[Work, Field(discriminator="work")], config=ON_FIRST_USE)
_TASKS: TypeAdapter[Task] = TypeAdapter(Annotated[Task, Field(discriminator="task")], config=ON_FIRST_USE)


def read(body: str) -> Work:
    """Read a message of the queue.

    Raises
    ------
    metering.aws.messages.UnknownWorkError
        When it asks for nothing that aggregate does.
    """
    return read_message(_WORK, body)


def read_task(event: dict[str, Any]) -> Task:
    """Read what a schedule or the operator asks for; errors as in `read`."""
    return read_message(_TASKS, event)
