"""What stripe_report can be asked for: work on its queue, and tasks of the schedules and of the operator.

All work of a customer is one group, so that each has one writer; every trigger has a deduplication id of its
own. Source: docs/stripe-protocol.md#the-protocol.
"""

import uuid
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from metering.aws.messages import ON_FIRST_USE, Message, read_message
from metering.core.contract import Id
from metering.core.instants import FullHour, Instant


class _OfCustomer(Message):
    customer_id: Id
    trigger: str = Field(default_factory=lambda: str(uuid.uuid4()))
    """Each time something is asked for it is done, however soon after the last time."""

    @property
    def group(self) -> str:
        """Each customer has one writer."""
        return self.customer_id

    @property
    def deduplication_id(self) -> str:
        """One trigger is worked on once."""
        return self.trigger


class _Returning(_OfCustomer):
    """``tries`` counts how often Stripe did not let it through, ``at`` is the time of its calendar entry."""

    tries: int = 0
    at: Instant | None = None


class SendUnsent(_Returning):
    """Send what is unsent; ``include_open`` sends hours that are not over or not settled as well."""

    work: Literal["send_unsent"] = "send_unsent"
    include_open: bool = False


class Close(_OfCustomer):
    """Look at a period that the calendar of closings has at ``at``."""

    work: Literal["close"] = "close"
    period_start: Instant
    at: Instant


class CloseEnded(_Returning):
    """Look at every period that is over: an invoice was made, finalised, paid, voided or given up."""

    work: Literal["close_ended"] = "close_ended"


class Reconcile(_Returning):
    """Refresh the subscription and reconcile the open periods."""

    work: Literal["reconcile"] = "reconcile"


class Refresh(_Returning):
    """Bring the periods to what the subscription says."""

    work: Literal["refresh"] = "refresh"


class RefusedNumber(Message):
    """A number that Stripe refused after its answer, and Stripe's code."""

    meter: str
    hour: FullHour
    number: int
    code: str


class MarkRefused(_OfCustomer):
    """Mark the numbers that a report of Stripe names as refused."""

    work: Literal["mark_refused"] = "mark_refused"
    refused: tuple[RefusedNumber, ...]


type Returning = SendUnsent | CloseEnded | Reconcile | Refresh
"""Work that comes back by the calendar where Stripe did not let it through."""

type Work = Returning | Close | MarkRefused


class Dispatch(Message):
    """Find unsent days; ``include_open`` as in `SendUnsent` (such hours are overwritten later)."""

    task: Literal["dispatch"] = "dispatch"
    include_open: bool = False


class CloseDue(Message):
    """Find periods that are to be looked at now."""

    task: Literal["close"] = "close"


class ReconcileTask(Message):
    """Ask for the daily reconciliation of the fleet; or, with ``customer_id``, reconcile one period at once.

    ``period_start`` is a stored period's, None the present one; ``fix`` sends again what differs.
    """

    task: Literal["reconcile"] = "reconcile"
    customer_id: Id | None = None
    period_start: Instant | None = None
    fix: bool = False


type Task = Dispatch | CloseDue | ReconcileTask

_WORK: TypeAdapter[Work] = TypeAdapter(Annotated[Work, Field(discriminator="work")], config=ON_FIRST_USE)
_TASKS: TypeAdapter[Task] = TypeAdapter(Annotated[Task, Field(discriminator="task")], config=ON_FIRST_USE)


def read(body: str) -> Work:
    """Read a message of the queue.

    Raises
    ------
    metering.aws.messages.UnknownWorkError
        When it asks for nothing that stripe_report does.
    """
    return read_message(_WORK, body)


def read_task(event: dict[str, Any]) -> Task:
    """Read what a schedule or the operator asks for; errors as in `read`."""
    return read_message(_TASKS, event)
