"""The ``late#`` items of the Customers table: usage billed after its period's invoice was final.

Keys: ``pk`` = customer, ``sk`` = ``late#<period start>#<n>``; ``j`` holds the record as JSON. An item is the
intent, written before anything is asked of Stripe, and found again there by its id in the invoice item's
metadata. Source: docs/billing.md#late-usage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.core.instants import format_instant
from metering.core.late_usage import LateItem
from metering.tables.access import ABSENT, TableAccess, key

if TYPE_CHECKING:
    from datetime import datetime

    from metering.tables.access import Item


@dataclass(frozen=True, slots=True)
class LateItems(TableAccess):
    """Typed access to the ``late#`` items."""

    def of_period(self, customer_id: str, period_start: datetime) -> list[LateItem]:
        """A period's items in the order of their numbers, strongly consistent."""
        prefix = f"late#{format_instant(period_start)}#"
        items = self.items_with_prefix(customer_id, prefix)
        return [LateItem.model_validate_json(item["j"]["S"]) for item in items]

    def put(self, item: LateItem) -> bool:
        """Store an intent unless its number is taken; tell whether it was new."""
        sort = f"late#{format_instant(item.period_start)}#{item.number:06d}"
        record: Item = {"j": {"S": item.model_dump_json(exclude_defaults=True)}}
        return self.put_if(ABSENT, key(item.customer_id, sort) | record).held
