"""The ``adjust#`` items of the Customers table: what operators added to a period's quantities, append-only.

Keys: ``pk`` = customer, ``sk`` = ``adjust#<period start>#<n>``; ``j`` holds the record as JSON. Source:
docs/billing.md#adjustments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.core.adjustments import Adjustment
from metering.core.instants import format_instant
from metering.tables.records import Records

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Adjustments(Records):
    """Typed access to the ``adjust#`` items."""

    def of_period(self, customer_id: str, period_start: datetime) -> list[Adjustment]:
        """A period's adjustments in the order of their numbers, strongly consistent."""
        return self._with_prefix(customer_id, f"adjust#{format_instant(period_start)}#")

    def of(self, customer_id: str) -> list[Adjustment]:
        """All of a customer's adjustments, by period and number, strongly consistent."""
        return self._with_prefix(customer_id, "adjust#")

    def add(self, adjustment: Adjustment) -> bool:
        """Append an adjustment unless its number is taken; tell whether it was new."""
        sort = f"adjust#{format_instant(adjustment.period_start)}#{adjustment.number:06d}"
        return self.add_record(adjustment.customer_id, sort, adjustment)

    def _with_prefix(self, customer_id: str, prefix: str) -> list[Adjustment]:
        items = self.items_with_prefix(customer_id, prefix)
        return [Adjustment.model_validate_json(item["j"]["S"]) for item in items]
