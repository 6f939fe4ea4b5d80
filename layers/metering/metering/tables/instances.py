"""The instances of the Customers table: whose keys are good.

Keys: ``pk`` = customer, ``sk`` = ``instance#<id>``. Apart from the customers' other records, so that the
authorizer loads no catalogue. Source: docs/storage.md#tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from metering.core.instances import Instance
from metering.tables.records import Records


@dataclass(frozen=True, slots=True)
class Instances(Records):
    """Typed access to the ``instance#`` items."""

    def instance(self, customer_id: str, instance: str) -> Instance | None:
        """One instance, strongly consistent."""
        item = self.get(customer_id, _sort(instance))
        return Instance.model_validate_json(item["j"]["S"]) if item else None

    def put(self, instance: Instance) -> None:
        """Store an instance's digests."""
        self.put_record(instance.customer_id, _sort(instance.instance_id), instance)

    def add(self, instance: Instance) -> bool:
        """Store an instance unless it is there; tell whether it was new."""
        return self.add_record(instance.customer_id, _sort(instance.instance_id), instance)

    def replace(self, old: Instance, new: Instance) -> bool:
        """Put an instance in place of the one that was read; tell whether that one was still there."""
        return self.replace_record(old.customer_id, _sort(old.instance_id), old, new)


def _sort(instance: str) -> str:
    return f"instance#{instance}"
