"""Invoice items: amounts besides the subscription, credits among them."""

from decimal import Decimal
from typing import Any

import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import HOUR, NOON, Shop, instant, loose

PERIOD_END = instant("2026-04-10T12:00")


def _item(client: stripe.StripeClient, shop: Shop, **more: Any) -> stripe.InvoiceItem:
    return client.v1.invoice_items.create(loose({"customer": shop.customer, "currency": "usd", **more}))


def test_an_item_waits_for_the_next_invoice(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """Items are pending until the subscription's next invoice takes them, and first on it."""
    shop.subscribe()
    item = _item(
        client, shop, amount=250, description="Late MQTT traffic", metadata={"late": "late#2026-02#1"}
    )
    assert item.invoice is None
    assert client.v1.invoices.create_preview({"customer": shop.customer}).total == 3150

    clock.set(PERIOD_END)
    invoice = client.v1.invoices.list().data[0]
    line = invoice.lines.data[0]
    assert (invoice.total, line.amount, line.description) == (3150, 250, "Late MQTT traffic")
    assert line.metadata["late"] == "late#2026-02#1"
    assert line.parent is not None
    assert line.parent.invoice_item_details is not None
    assert line.parent.invoice_item_details.invoice_item == item.id
    assert client.v1.invoice_items.retrieve(item.id).invoice == invoice.id


def test_an_item_is_billed_once(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """An item that is on an invoice is on no other."""
    shop.subscribe()
    _item(client, shop, amount=250)
    clock.set(instant("2026-05-10T12:00"))

    assert [one.total for one in client.v1.invoices.list().data] == [2900, 3150, 2900]


def test_a_negative_amount_is_a_credit(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """A credit lowers the invoice's total."""
    shop.subscribe()
    _item(client, shop, amount=-900)
    clock.set(PERIOD_END)

    assert client.v1.invoices.list().data[0].total == 2000


def test_an_item_may_be_a_quantity_at_a_price(client: stripe.StripeClient, shop: Shop) -> None:
    """Quantity times unit amount is rounded half up to the cent."""
    item = _item(
        client, shop, quantity_decimal=Decimal("2.5"), unit_amount_decimal=Decimal("10.2"), description="GB"
    )

    assert (item.amount, item.quantity_decimal, item.quantity) == (26, Decimal("2.5"), 2)


def test_items_are_found_again_by_their_metadata(client: stripe.StripeClient, shop: Shop) -> None:
    """A customer's items can be listed, pending or not, with their metadata."""
    shop.subscribe()
    item = _item(client, shop, amount=1, metadata={"late": "1"}, period={"start": NOON - HOUR, "end": NOON})
    pending = client.v1.invoice_items.list({"customer": shop.customer, "pending": True}).data

    assert [(one.id, one.metadata and one.metadata["late"], one.period.start) for one in pending] == [
        (item.id, "1", NOON - HOUR)
    ]
    assert client.v1.invoice_items.list({"customer": shop.customer, "pending": False}).data == []


def test_a_one_off_invoice_takes_the_pending_items(client: stripe.StripeClient, shop: Shop) -> None:
    """A customer without a subscription is billed by an invoice of its own."""
    _item(client, shop, amount=1200, description="Late usage")
    without = client.v1.invoices.create({"customer": shop.customer})
    invoice = client.v1.invoices.create(
        {
            "customer": shop.customer,
            "pending_invoice_items_behavior": "include",
            "collection_method": "send_invoice",
            "days_until_due": 30,
        }
    )
    assert (without.total, invoice.total, invoice.status) == (0, 1200, "draft")

    final = client.v1.invoices.finalize_invoice(invoice.id)
    assert (final.status, final.due_date, final.billing_reason) == ("open", NOON + 30 * 86_400, "manual")


def test_a_one_off_draft_waits_unless_told_to_advance(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Only auto_advance finalises a one-off draft by itself."""
    waits = client.v1.invoices.create({"customer": shop.customer})
    goes = client.v1.invoices.create({"customer": shop.customer, "auto_advance": True})
    clock.advance(HOUR)

    assert client.v1.invoices.retrieve(waits.id).status == "draft"
    assert client.v1.invoices.retrieve(goes.id).status == "paid"


def test_an_item_may_be_put_on_a_draft_but_not_on_a_final_invoice(
    client: stripe.StripeClient, shop: Shop
) -> None:
    """Items join a draft; a finalised invoice takes none."""
    draft = client.v1.invoices.create({"customer": shop.customer})
    _item(client, shop, amount=5, invoice=draft.id)
    assert client.v1.invoices.finalize_invoice(draft.id).total == 5

    with pytest.raises(stripe.InvalidRequestError) as refused:
        _item(client, shop, amount=5, invoice=draft.id)
    assert (refused.value.code, refused.value.param) == ("invoice_not_editable", "invoice")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({}, "amount"),
        ({"amount": 1, "unit_amount_decimal": 1}, "amount"),
        ({"amount": 1, "quantity": 2}, "quantity"),
        ({"unit_amount_decimal": 1, "quantity": 2, "quantity_decimal": 2}, "quantity"),
        ({"amount": 1, "customer": "cus_nobody"}, "customer"),
        ({"amount": 1, "invoice": "in_none"}, "invoice"),
        ({"amount": 1, "subscription": "sub_none"}, "subscription"),
        ({"amount": "1.5"}, "amount"),
        ({"amount": 1, "period": {"start": 1}}, "period[end]"),
    ],
)
def test_an_item_is_refused(
    client: stripe.StripeClient, shop: Shop, more: dict[str, Any], param: str
) -> None:
    """An item has one amount, in whole cents, and names what exists."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _item(client, shop, **more)

    assert refused.value.param == param
    assert client.v1.invoice_items.list().data == []
