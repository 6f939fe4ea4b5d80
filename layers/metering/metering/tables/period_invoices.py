"""The ``invoice#`` items of the Customers table: what each look at a period's invoices found, append-only.

Keys: ``pk`` = customer, ``sk`` = ``invoice#<period start>#<n>``; ``j`` holds the record as JSON. Source:
docs/billing.md#what-billed-means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.core.billed import PeriodInvoice
from metering.core.instants import format_instant
from metering.tables.records import Records

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class PeriodInvoices(Records):
    """Typed access to the ``invoice#`` items."""

    def of_period(self, customer_id: str, period_start: datetime) -> list[PeriodInvoice]:
        """A period's records in the order of their numbers, strongly consistent."""
        items = self.items_with_prefix(customer_id, f"invoice#{format_instant(period_start)}#")
        return [PeriodInvoice.model_validate_json(item["j"]["S"]) for item in items]

    def since(self, customer_id: str, period_start: datetime) -> list[PeriodInvoice]:
        """The records of a period and of all that began after it, strongly consistent, in one read."""
        items = self.items_between(customer_id, f"invoice#{format_instant(period_start)}#", "invoice#~")
        return [PeriodInvoice.model_validate_json(item["j"]["S"]) for item in items]

    def add(self, record: PeriodInvoice) -> bool:
        """Append a record unless its number is taken; tell whether it was new."""
        sort = f"invoice#{format_instant(record.period_start)}#{record.number:06d}"
        return self.add_record(record.customer_id, sort, record)
