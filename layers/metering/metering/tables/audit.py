"""The Audit table: what was done by operators' commands, append-only.

Keys: ``pk`` = customer, ``sk`` = ``<when>#<a random id>``; ``j`` holds the entry as JSON. An entry is put
only where no item is, and nothing here changes or deletes one. Source: docs/storage.md#tables.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.core.audit import AuditEntry
from metering.core.instants import format_instant
from metering.tables.access import ABSENT, TableAccess, key

if TYPE_CHECKING:
    from metering.tables.access import Item


class AuditTakenError(RuntimeError):
    """The place of an audit entry is taken, which no random id should ever meet: nothing was written."""


@dataclass(frozen=True, slots=True)
class Audit(TableAccess):
    """The one writer of the Audit table."""

    def write(self, entry: AuditEntry) -> None:
        """Append an entry; what it is about is done after it.

        Raises
        ------
        AuditTakenError
            When there is an item in its place.
        """
        sort = f"{format_instant(entry.at)}#{uuid.uuid4()}"
        item: Item = key(entry.customer_id, sort) | {"j": {"S": entry.model_dump_json(exclude_defaults=True)}}
        if not self.put_if(ABSENT, item).held:
            raise AuditTakenError(f"{entry.customer_id} {sort}")

    def of(self, customer_id: str) -> list[AuditEntry]:
        """A customer's entries in the order in which they were written, for people."""
        items = self.query("pk = :pk", pk=customer_id)
        return [AuditEntry.model_validate_json(item["j"]["S"]) for item in items]
