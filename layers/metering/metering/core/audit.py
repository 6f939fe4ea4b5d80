"""What an operator did, as a record that is written before it is done. Source: docs/storage.md#tables."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from metering.core.contract import Id
from metering.core.instants import Instant


class AuditEntry(BaseModel):
    """Who changed what of a customer, when and why; ``before`` and ``after`` are the records, as JSON.

    ``who`` is the AWS identity of the operator, ``action`` the command. An entry says what was about to be
    done: a crash may have come in between, so that the same is entered again by the next run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customer_id: Id
    at: Instant
    who: Annotated[str, Field(min_length=1)]
    action: str
    before: Any = None
    after: Any = None
    why: str
