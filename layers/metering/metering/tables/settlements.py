"""The ``settle#`` items of the Customers table: what operators decided of periods that no invoice bills.

Source: docs/billing.md#settling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from metering.core.settlements import SettleItem
from metering.tables.charges import Charges

if TYPE_CHECKING:
    from metering.core.charges import Charge


@dataclass(frozen=True, slots=True)
class Settlements(Charges[SettleItem]):
    """Typed access to the ``settle#`` items."""

    kind: ClassVar[str] = "settle"
    record: ClassVar[type[Charge]] = SettleItem
