"""Invoices that are paid, made void, given up, credited or deleted."""

from typing import Any

import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, loose


def _first(client: stripe.StripeClient, shop: Shop) -> stripe.Invoice:
    shop.subscribe()
    return client.v1.invoices.list().data[0]


def _kinds(client: stripe.StripeClient) -> list[str]:
    return [event.type for event in client.v1.events.list({"limit": 100}).data]


def test_an_invoice_is_paid_outside_of_stripe(client: stripe.StripeClient, shop: Shop) -> None:
    """What was paid by bank transfer is marked so: the invoice is paid, and nothing remains."""
    invoice = _first(client, shop)
    paid = client.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})

    assert ("paid", 2900, 0) == (paid.status, paid.amount_paid, paid.amount_remaining)
    assert NOON == paid.status_transitions.paid_at
    assert "invoice.paid" in _kinds(client)
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        client.v1.invoices.pay(invoice.id)


def test_an_invoice_is_not_paid_without_a_method(client: stripe.StripeClient, shop: Shop) -> None:
    """A payment needs a payment method, and one that is not declined."""
    invoice = _first(client, shop)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        client.v1.invoices.pay(invoice.id)
    with pytest.raises(stripe.CardError):
        client.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_chargeCustomerFail"})

    assert "paid" == client.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"}).status


def test_a_void_invoice_keeps_its_lines(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """A void invoice still shows what was on it; what was billed on it comes back on no other."""
    shop.subscribe()
    shop.use("12", timestamp=NOON)
    clock.set(NOON + 31 * DAY + 2 * HOUR)
    invoice = client.v1.invoices.list().data[0]
    void = client.v1.invoices.void_invoice(invoice.id)

    assert ("void", 2920, clock.now()) == (void.status, void.total, void.status_transitions.voided_at)
    assert 3 == len(void.lines.data)
    assert "invoice.voided" in _kinds(client)
    assert 2900 == client.v1.invoices.create_preview({"customer": shop.customer}).total
    with pytest.raises(stripe.InvalidRequestError, match="This invoice is void"):
        client.v1.invoices.void_invoice(invoice.id)


def test_a_draft_is_not_made_void(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """Only an invoice that is final is made void or uncollectible; a subscription's draft is not deleted."""
    shop.subscribe()
    clock.set(NOON + 31 * DAY)
    draft = client.v1.invoices.list().data[0]
    for refused in (
        client.v1.invoices.void_invoice,
        client.v1.invoices.mark_uncollectible,
        client.v1.invoices.delete,
    ):
        with pytest.raises(stripe.InvalidRequestError) as error:
            refused(draft.id)
        assert "invoice_not_editable" == error.value.code


def test_a_bad_debt_may_still_be_paid(client: stripe.StripeClient, shop: Shop) -> None:
    """An uncollectible invoice counts as billed; it can be paid or made void later."""
    invoice = _first(client, shop)
    given_up = client.v1.invoices.mark_uncollectible(invoice.id)
    assert ("uncollectible", NOON) == (given_up.status, given_up.status_transitions.marked_uncollectible_at)
    assert [invoice.id] == [one.id for one in client.v1.invoices.list({"status": "uncollectible"}).data]
    assert "invoice.marked_uncollectible" in _kinds(client)

    assert "paid" == client.v1.invoices.pay(invoice.id, {"paid_out_of_band": True}).status


def test_a_credit_note_takes_money_off_an_open_invoice(client: stripe.StripeClient, shop: Shop) -> None:
    """A credit note changes what is to pay and nothing else; the whole sum makes the invoice paid."""
    invoice = _first(client, shop)
    note = client.v1.credit_notes.create({"invoice": invoice.id, "amount": 900})
    assert ("issued", "pre_payment", 900) == (note.status, note.type, note.total)
    assert "credit_note.created" in _kinds(client)

    credited = client.v1.invoices.retrieve(invoice.id)
    assert ("open", 2900, 2000) == (credited.status, credited.total, credited.amount_remaining)
    assert 900 == credited.pre_payment_credit_notes_amount
    assert [1] == [line.quantity for line in credited.lines.data]
    with pytest.raises(stripe.InvalidRequestError, match="must not be more"):
        client.v1.credit_notes.create({"invoice": invoice.id, "amount": 2001})

    client.v1.credit_notes.create({"invoice": invoice.id, "amount": 2000})
    assert "paid" == client.v1.invoices.retrieve(invoice.id).status
    assert 2 == len(client.v1.credit_notes.list({"invoice": invoice.id}).data)


def test_a_credit_note_gives_back_what_was_paid(client: stripe.StripeClient, shop: Shop) -> None:
    """On a paid invoice a credit note says where the money goes: here, the customer's balance."""
    invoice = _first(client, shop)
    client.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    with pytest.raises(stripe.InvalidRequestError, match="must equal"):
        client.v1.credit_notes.create({"invoice": invoice.id, "amount": 900})

    note = client.v1.credit_notes.create({"invoice": invoice.id, "amount": 900, "credit_amount": 900})
    assert "post_payment" == note.type
    credited = client.v1.invoices.retrieve(invoice.id)
    assert ("paid", 2900, 900) == (
        credited.status,
        credited.amount_paid,
        credited.post_payment_credit_notes_amount,
    )
    assert -900 == client.v1.customers.retrieve(shop.customer).balance


def test_a_void_credit_note_takes_nothing_off(client: stripe.StripeClient, shop: Shop) -> None:
    """A credit note of an open invoice can be taken back."""
    invoice = _first(client, shop)
    note = client.v1.credit_notes.create({"invoice": invoice.id, "amount": 900})

    assert "void" == client.v1.credit_notes.void_credit_note(note.id).status
    assert 2900 == client.v1.invoices.retrieve(invoice.id).amount_remaining


def test_a_deleted_invoice_item_is_billed_no_more(client: stripe.StripeClient, shop: Shop) -> None:
    """A pending item that is deleted is gone: retrieved no more, listed no more, on no invoice."""
    item = client.v1.invoice_items.create({"customer": shop.customer, "currency": "usd", "amount": 500})
    gone = client.v1.invoice_items.delete(item.id)
    assert (item.id, True) == (gone.id, gone.deleted)
    assert "invoiceitem.deleted" in _kinds(client)

    assert [] == client.v1.invoice_items.list({"customer": shop.customer}).data
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoice_items.retrieve(item.id)
    assert (404, "resource_missing") == (refused.value.http_status, refused.value.code)
    shop.subscribe()
    assert 2900 == client.v1.invoices.list().data[0].total


def test_an_item_of_a_final_invoice_stays(client: stripe.StripeClient, shop: Shop) -> None:
    """What is on a final invoice cannot be deleted."""
    item = client.v1.invoice_items.create({"customer": shop.customer, "currency": "usd", "amount": 500})
    shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoice_items.delete(item.id)

    assert "invoice_not_editable" == refused.value.code


def test_a_one_off_draft_is_deleted_with_its_items(client: stripe.StripeClient, shop: Shop) -> None:
    """A draft of no subscription can be deleted; what was on it is gone too."""
    client.v1.invoice_items.create({"customer": shop.customer, "currency": "usd", "amount": 500})
    draft = client.v1.invoices.create(
        loose({"customer": shop.customer, "pending_invoice_items_behavior": "include"})
    )
    assert client.v1.invoices.delete(draft.id).deleted

    assert [] == client.v1.invoices.list().data
    assert [] == client.v1.invoice_items.list().data


def test_a_deleted_customer_is_its_id_alone(client: stripe.StripeClient, shop: Shop) -> None:
    """A deleted customer is still answered, as deleted; lists leave it out; nothing new is made for it."""
    subscription = shop.subscribe()
    client.v1.customers.delete(shop.customer)

    retrieved: Any = client.v1.customers.retrieve(shop.customer)
    assert {"id": shop.customer, "object": "customer", "deleted": True} == retrieved.to_dict()
    assert [] == client.v1.customers.list().data
    assert "canceled" == client.v1.subscriptions.retrieve(subscription.id).status
    assert ["customer.deleted", "customer.subscription.deleted"] == _kinds(client)[:2]
    assert [shop.customer] == [one.customer for one in client.v1.invoices.list().data]
    for refused in (
        lambda: client.v1.customers.update(shop.customer, {"name": "Acme"}),
        lambda: client.v1.invoice_items.create({"customer": shop.customer, "currency": "usd", "amount": 1}),
        shop.subscribe,
    ):
        with pytest.raises(stripe.InvalidRequestError) as error:
            refused()
        assert "resource_missing" == error.value.code


def test_usage_of_a_deleted_customer_is_reported(client: stripe.StripeClient, shop: Shop) -> None:
    """An event of a deleted customer is answered with a 200 and reported as one of nobody."""
    client.v1.customers.delete(shop.customer)
    shop.use("1")

    [report] = client.v2.core.events.list({"types": ["v1.billing.meter.error_report_triggered"]}).data
    data: Any = client.v2.core.events.retrieve(report.id)
    assert "meter_event_customer_not_found" == data.data.reason.error_types[0].code


def test_second_subscriptions_have_invoices_of_their_own(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Two subscriptions of one customer with the same anchor have an invoice each at the period's end."""
    support = client.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "Support"},
            "unit_amount": 5000,
            "recurring": {"interval": "month"},
        }
    )
    ours, other = shop.subscribe(), shop.subscribe(items=[{"price": support.id}])
    shop.use("30", timestamp=NOON)
    clock.set(NOON + 31 * DAY + HOUR)

    totals = {
        subscription.id: client.v1.invoices.list({"subscription": subscription.id}).data[0].total
        for subscription in (ours, other)
    }
    assert {ours.id: 3100, other.id: 5000} == totals


def test_every_subscription_with_a_price_on_a_meter_bills_its_usage(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Usage is the customer's, not a subscription's: two that price a meter bill it twice."""
    made = [shop.subscribe(), shop.subscribe()]
    shop.use("30", timestamp=NOON)
    clock.set(NOON + 31 * DAY + HOUR)

    totals = [client.v1.invoices.list({"subscription": one.id}).data[0].total for one in made]
    assert [3100, 3100] == totals
