"""The ``late#`` items of the Customers table: usage billed after its period's invoice was final."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from metering.core.late_usage import LateItem
from metering.tables.charges import Charges

if TYPE_CHECKING:
    from metering.core.charges import Charge


@dataclass(frozen=True, slots=True)
class LateItems(Charges[LateItem]):
    """Typed access to the ``late#`` items."""

    kind: ClassVar[str] = "late"
    record: ClassVar[type[Charge]] = LateItem
