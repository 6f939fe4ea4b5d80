"""What is put on an invoice beside the period's own: an amount of one meter under a number of its own. Pure.

A charge is written down as an intent before anything is asked of Stripe, and keeps what Stripe made of it.
Source: docs/billing.md#late-usage and docs/billing.md#settling.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from metering.core.contract import Id
from metering.core.exact import SignedExact
from metering.core.instants import Instant


class ChargeState(StrEnum):
    """What has become of a charge; it covers its quantity whatever has."""

    INTENDED = "intended"
    """Written down; Stripe has no invoice item of it yet."""
    MADE = "made"
    """An invoice item that waits for an invoice, or lies on a draft."""
    INVOICED = "invoiced"
    """On an invoice that is final and not void."""
    WAIVED = "waived"
    """Its invoice item was deleted in Stripe, or it was written off."""
    VOID = "void"
    """The invoice that had it is void."""
    FREE = "free"
    """It costs nothing and needs no invoice item."""


class Charge(BaseModel):
    """One meter's quantity of a period that is charged, or credited, under a number of its own.

    ``quantity`` is in the meter's units, ``amount`` in dollars; both are negative for a credit.
    ``stripe_customer_id`` is whose invoice item it is to be, ``stripe_item_id`` the one that was made: it is
    made once, whatever becomes of it. Charges stored before these were kept have neither.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    metadata_name: ClassVar[str]
    """The name in an invoice item's metadata under which it bears the charge's id."""

    customer_id: Id
    period_start: Instant
    number: Annotated[int, Field(ge=1)]
    meter: str
    quantity: SignedExact
    amount: SignedExact
    days: tuple[date, ...] = ()
    stripe_customer_id: str | None = None
    stripe_item_id: str | None = None

    @property
    def item_id(self) -> str:
        """What the Stripe invoice item carries in its metadata, by which it is found again."""
        return f"{self.customer_id}.{self.period_start:%Y%m%dT%H%M%S}.{self.number}"

    @property
    def needs_invoice_item(self) -> bool:
        """Whether Stripe is to have an invoice item of it; what costs nothing needs none."""
        return bool(self.amount)
