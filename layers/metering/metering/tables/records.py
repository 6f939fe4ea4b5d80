"""Records kept as JSON, so that an operator can read them in the console: profiles, instances, periods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.tables.access import ABSENT, TableAccess, key

if TYPE_CHECKING:
    from pydantic import BaseModel

    from metering.tables.access import Item


@dataclass(frozen=True, slots=True)
class Records(TableAccess):
    """A table whose items hold one record each, as JSON in ``j``."""

    def put_record(self, partition: str, sort: str, record: BaseModel) -> None:
        """Put a record, whatever is there."""
        self.put_item(_item(partition, sort, record))

    def add_record(self, partition: str, sort: str, record: BaseModel) -> bool:
        """Put a record unless there is one; tell whether it was new."""
        return self.put_if(ABSENT, _item(partition, sort, record)).held

    def replace_record(self, partition: str, sort: str, old: BaseModel, new: BaseModel) -> bool:
        """Put a record in place of the one that was read; tell whether that one was still there."""
        return self.put_if("j = :old", _item(partition, sort, new), old=_json(old)).held


def _item(partition: str, sort: str, record: BaseModel) -> Item:
    return key(partition, sort) | {"j": {"S": _json(record)}}


def _json(record: BaseModel) -> str:
    return record.model_dump_json(exclude_defaults=True)
