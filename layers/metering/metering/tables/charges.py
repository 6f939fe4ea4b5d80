"""What the ``late#`` and ``settle#`` items of the Customers table have in common.

Keys: ``pk`` = customer, ``sk`` = ``<kind>#<period start>#<n>``; ``j`` holds the record as JSON. An item is
the intent, written before anything is asked of Stripe, and found again there by its id in the invoice item's
metadata; once that is made, the item keeps its id. Source: docs/billing.md#late-usage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from metering.core.charges import Charge
from metering.core.instants import format_instant
from metering.tables.records import Records

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Charges[C: Charge](Records):
    """Typed access to one kind of charges; a subclass says which."""

    kind: ClassVar[str]
    record: ClassVar[type[Charge]]

    def of_period(self, customer_id: str, period_start: datetime) -> list[C]:
        """A period's items in the order of their numbers, strongly consistent."""
        items = self.items_with_prefix(customer_id, f"{self.kind}#{format_instant(period_start)}#")
        return [cast("C", self.record.model_validate_json(item["j"]["S"])) for item in items]

    def put(self, item: C) -> bool:
        """Store an intent unless its number is taken; tell whether it was new."""
        return self.add_record(item.customer_id, self._sort(item), item)

    def keep_stripe_item(self, item: C, stripe_item_id: str) -> C:
        """Write down which invoice item Stripe made of an intent; return the item as it is stored then."""
        made = item.model_copy(update={"stripe_item_id": stripe_item_id})
        self.replace_record(item.customer_id, self._sort(item), item, made)
        return made

    def _sort(self, item: C) -> str:
        return f"{self.kind}#{format_instant(item.period_start)}#{item.number:06d}"
