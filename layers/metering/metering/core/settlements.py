"""Settling a period that no invoice bills: what is charged or written off by an operator's word. Pure.

Source: docs/billing.md#settling.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from metering.core.accounts import BillingPeriod, PeriodState
from metering.core.billed import Billed, PeriodInvoice, billed_of
from metering.core.charges import Charge
from metering.core.instants import Instant
from metering.core.stripe_names import SETTLE_ITEM

INVOICE_LINE = "invoice_line"
"""In place of a meter: a line of a void invoice that is neither a meter's nor the monthly fee."""


class SettleKind(StrEnum):
    """What an operator decided of usage that no invoice has."""

    BILL = "bill"
    WRITE_OFF = "write_off"


class SettleItem(Charge):
    """One line of a period's settlement: a meter's quantity, or a line of a void invoice.

    ``meter`` is a meter, ``base_fee`` or ``invoice_line``; the last two have the quantity 1 and keep the void
    invoice's line: its id and its text. ``who`` is the AWS identity of the operator.
    """

    metadata_name: ClassVar[str] = SETTLE_ITEM

    kind: SettleKind
    reason: Annotated[str, Field(min_length=1)]
    who: str
    at: Instant
    invoice_line: str | None = None
    text: str | None = None

    @property
    def item_id(self) -> str:
        """What the Stripe invoice item carries in its metadata; no late item has the same."""
        return f"{self.customer_id}.{self.period_start:%Y%m%dT%H%M%S}.s{self.number}"

    @property
    def needs_invoice_item(self) -> bool:
        """Whether Stripe is to have an invoice item of it: none where it was written off."""
        return self.kind is SettleKind.BILL and bool(self.amount)


UNBILLED_AFTER = timedelta(hours=72)
"""After a period's end: the longest grace of a draft. A period without an invoice by then has none."""


def is_unbilled(billing: BillingPeriod, records: Sequence[PeriodInvoice], now: datetime) -> bool:
    """Tell whether a period is over and its invoices do not bill all of it, though their time has come.

    Parameters
    ----------
    billing, records
        A period of one who has or had a subscription, and what is written down of its invoices.
    """
    billed = billed_of(billing, records)
    due = now >= billing.end + UNBILLED_AFTER or (billed.void and now >= billing.end)
    # Beside an invoice that counts a draft may be left that nobody finalises: what is on it is unbilled.
    waits = billing.sold and billed.counted and billing.state is not PeriodState.FINALISED
    return due and (waits or can_be_settled(billing, billed, known_invoices=bool(records)))


def can_be_settled(billing: BillingPeriod, billed: Billed, *, known_invoices: bool) -> bool:
    """Tell whether a period is one that no invoice bills.

    Parameters
    ----------
    billing, billed
        The period, and what its invoices say. A period that is not sold has nothing to settle.
    known_invoices
        Whether anything is known of its invoices: a period that was final before that was kept is left as it
        is.
    """
    left_as_it_is = billing.state is PeriodState.FINALISED and not known_invoices
    return billing.sold and not billed.counted and not left_as_it_is
