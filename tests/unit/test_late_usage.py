"""Late usage: what a final invoice lacks, and its price (docs/billing.md#late-usage)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from metering.core.accounts import BillingPeriod, PeriodState
from metering.core.billed import InvoiceStatus, PeriodInvoice, billed_of
from metering.core.catalog import Override, Price
from metering.core.late_usage import LateItem, LateUsage, late_usage, unbilled_usage
from testing.usage import given_usage

START = datetime(2026, 3, 1, tzinfo=UTC)
SECOND_DAY = START + timedelta(days=1)
METER = "mqtt_traffic"
USAGE = {METER: {START: Decimal(12), SECOND_DAY: Decimal(3)}}
"""15 GB on starter: 5 over, $0.50."""


def _billing(invoiced: str, state: PeriodState = PeriodState.FINALISED) -> BillingPeriod:
    return BillingPeriod(
        start=START,
        end=START + timedelta(days=31),
        plan="starter@1",
        state=state,
        invoice_id="in_1" if state is PeriodState.FINALISED else None,
        invoiced={METER: Decimal(invoiced)},
    )


def late(
    billing: BillingPeriod,
    covered: list[LateItem],
    on_invoice: dict[tuple[str, datetime], Decimal] | None = None,
) -> list[LateUsage]:
    """Return the late usage of a period that used ``USAGE``."""
    return late_usage(given_usage(billing, USAGE), billed_of(billing, ()), covered, on_invoice)


def _late(number: int, quantity: str, amount: str = "0.00") -> LateItem:
    return LateItem(
        customer_id="acme",
        period_start=START,
        number=number,
        meter=METER,
        quantity=Decimal(quantity),
        amount=Decimal(amount),
    )


def test_late_usage_is_what_neither_the_invoice_nor_a_late_item_has() -> None:
    """15 used less 12 invoiced and 1 in late items are 2 late, $0.20, of the days with usage."""
    assert [LateUsage(METER, Decimal(2), Decimal("0.20"), (date(2026, 3, 1), date(2026, 3, 2)))] == late(
        _billing("12"), [_late(1, "0.25", "0.03"), _late(2, "0.75", "0.07")]
    )


def test_its_price_is_that_of_the_total_less_that_of_what_was_billed() -> None:
    """Below the allowance it costs nothing, and beyond it only what is beyond."""
    [found] = late(_billing("8"), [])
    assert (Decimal(7), Decimal("0.50")) == (found.quantity, found.amount)


def test_what_was_charged_beside_an_invoice_that_is_void_now_is_not_charged_again() -> None:
    """3 GB late for $0.30 beside 12 on an invoice that is void now: the 12 are $0.20 of $0.50, not $0.50."""
    void = PeriodInvoice(
        customer_id="acme",
        period_start=START,
        invoice_id="in_1",
        status=InvoiceStatus.VOID,
        ends_period=True,
        total=Decimal("29.20"),
        quantities={METER: Decimal(12)},
        amounts={METER: Decimal("0.20")},
        seen_at=SECOND_DAY,
    )
    billing = _billing("12")
    found = unbilled_usage(given_usage(billing, USAGE), billed_of(billing, [void]), [_late(1, "3", "0.30")])
    assert [(Decimal(12), Decimal("0.20"))] == [(one.quantity, one.amount) for one in found]


def test_too_much_on_the_invoice_is_a_credit() -> None:
    """20 invoiced of 15 used are -5 and -$0.50, a credit."""
    [found] = late(_billing("20"), [])
    assert (Decimal(-5), Decimal("-0.50")) == (found.quantity, found.amount)


def test_nothing_is_late_when_everything_is_billed() -> None:
    """An invoice of 14 and a late item of 1 leave nothing of the 15 late."""
    assert [] == late(_billing("14"), [_late(1, "1")])


@pytest.mark.parametrize("state", [PeriodState.OPEN, PeriodState.CLOSING])
def test_nothing_is_late_before_the_invoice_is_final(state: PeriodState) -> None:
    """A period that is open or closing has nothing late, though its invoice has nothing of the 15."""
    assert [] == late(_billing("0", state), [])


def test_an_unlimited_meter_is_never_late() -> None:
    """It has no price, so no invoice has a line of it."""
    override = Override(meters={METER: Price(unlimited=True)})
    billing = _billing("0").model_copy(update={"override": override})
    assert [] == late(billing, [])


def test_the_days_named_are_those_that_differ_from_what_was_sent() -> None:
    """Of two days the one whose hour was sent with another value is named."""
    sent = {(METER, START): Decimal(12), (METER, SECOND_DAY): Decimal(1)}
    [found] = late(_billing("13"), [], sent)
    assert (date(2026, 3, 2),) == found.days


def test_all_days_with_usage_are_named_when_everything_was_sent_and_the_invoice_lacks_it() -> None:
    """Where every hour was sent as it is and the invoice lacks it, all days with usage are named."""
    sent = {(METER, START): Decimal(12), (METER, SECOND_DAY): Decimal(3)}
    [found] = late(_billing("13"), [], sent)
    assert (date(2026, 3, 1), date(2026, 3, 2)) == found.days


def test_an_item_has_an_id_that_names_customer_period_and_number() -> None:
    """An item's id is its customer, its period's start and its number, with dots between."""
    assert "acme.20260301T000000.7" == _late(7, "1").item_id


def test_an_item_survives_being_written_and_read() -> None:
    """An item written to JSON without its defaults reads back equal."""
    item = _late(3, "-1.5")
    assert item == LateItem.model_validate_json(item.model_dump_json(exclude_defaults=True))


def test_an_items_quantity_is_never_a_float() -> None:
    """A float is refused as an item's quantity, since quantities are exact."""
    with pytest.raises(ValidationError, match="exact"):
        LateItem.model_validate(_late(1, "1").model_dump() | {"quantity": 1.5})
