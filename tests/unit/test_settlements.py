"""Settlements: which periods have one, and what its lines are (docs/billing.md#settling)."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from metering.core.accounts import BillingPeriod, PeriodState
from metering.core.billed import NOTHING_BILLED, Billed
from metering.core.late_usage import LateItem, unbilled_usage
from metering.core.settlements import SettleItem, SettleKind, can_be_settled
from testing.usage import given_usage

START = datetime(2026, 3, 1, tzinfo=UTC)
BILLING = BillingPeriod(
    start=START, end=datetime(2026, 4, 1, tzinfo=UTC), plan="starter@1", state=PeriodState.CLOSING
)
METER = "mqtt_traffic"


def item(kind: SettleKind = SettleKind.BILL, amount: str = "2.00", meter: str = METER) -> SettleItem:
    """Return a line of a settlement of 30 GB."""
    return SettleItem(
        customer_id="acme",
        period_start=START,
        number=1,
        meter=meter,
        quantity=Decimal(30),
        amount=Decimal(amount),
        kind=kind,
        reason="the invoice was voided",
        who="arn:aws:iam::123456789012:user/ada",
        at=START,
    )


@pytest.mark.parametrize(
    ("changed", "billed", "known", "can"),
    [
        ({}, NOTHING_BILLED, False, True),
        ({}, Billed({}, counted=True), True, False),
        ({"sold": False}, NOTHING_BILLED, False, False),
        ({"state": PeriodState.FINALISED}, Billed({}, counted=False, void=True), True, True),
        ({"state": PeriodState.FINALISED}, Billed({}, counted=False), False, False),
    ],
)
def test_a_period_without_an_invoice_that_counts_is_settled(
    changed: dict[str, object], billed: Billed, *, known: bool, can: bool
) -> None:
    """Neither one that an invoice bills, nor one not sold, nor one final before invoices were kept."""
    assert can is can_be_settled(BILLING.model_copy(update=changed), billed, known_invoices=known)


@pytest.mark.parametrize("kind", SettleKind)
def test_a_settlement_covers_its_quantity(kind: SettleKind) -> None:
    """Billed or written off, it is unbilled no more; a line that is no meter's covers nothing."""
    usage = given_usage(BILLING, {METER: {START: Decimal(31)}})
    [left] = unbilled_usage(usage, NOTHING_BILLED, [item(kind), item(kind, meter="base_fee")])
    assert (Decimal(1), Decimal("0.10")) == (left.quantity, left.amount)


def test_what_is_written_off_or_free_needs_no_invoice_item() -> None:
    """Only what is billed and costs something is asked of Stripe."""
    asked = [item().needs_invoice_item, item(SettleKind.WRITE_OFF).needs_invoice_item]
    assert [True, False, False] == [*asked, item(amount="0.00").needs_invoice_item]


def test_no_late_item_has_the_id_of_a_settlement_s_line() -> None:
    """Both are found by their ids in invoice items' metadata."""
    late = LateItem(
        customer_id="acme",
        period_start=START,
        number=1,
        meter=METER,
        quantity=Decimal(30),
        amount=Decimal("2.00"),
    )
    assert ("acme.20260301T000000.1", "acme.20260301T000000.s1") == (late.item_id, item().item_id)


def test_a_line_survives_being_written_and_read() -> None:
    """The stored record is the line."""
    assert item() == SettleItem.model_validate_json(item().model_dump_json(exclude_defaults=True))
