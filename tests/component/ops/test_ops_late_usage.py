"""``ops late-usage``: what a final invoice lacks is listed, and billed once whatever crashes."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from metering.core.accounts import Account, BillingPeriod, PeriodState
from metering.core.catalog import builtin_catalog
from metering.core.contract import OLDEST_WINDOW
from metering.core.instants import HOUR, format_instant, hour_of
from ops.invoice_items import make_invoice_items
from ops.late_usage import Billing
from tests.component.ops.desk import Desk

BILL = ("late-usage", "acme", "--bill", "--json")
NOTHING: dict[str, list[Any]] = {"late_usage": [], "billed": [], "unbilled": []}


@pytest.fixture
def final(synced: Desk) -> Desk:
    """A desk with a customer whose period is final: 15 GB invoiced, 5 of them over the limit."""
    synced.good("customers", "add", "acme", "--name", "Acme")
    synced.simulator.clock.advance(3600)
    [period] = synced.tables.customers.periods("acme")
    synced.used("acme", period.start, gib=15)
    final = {"state": PeriodState.FINALISED, "invoice_id": "in_1", "invoiced": {"mqtt_traffic": "15"}}
    closed = BillingPeriod.model_validate(period.model_dump() | final)
    assert synced.tables.customers.replace_period("acme", period, closed)
    return synced


def _account(desk: Desk) -> Account:
    account = desk.tables.customers.account("acme")
    assert account is not None
    return account


def _start(desk: Desk) -> datetime:
    return _account(desk).periods[0].start


def _billing(desk: Desk) -> Billing:
    return Billing(desk.tables, builtin_catalog(), desk.now, desk.stripe)


def _items(desk: Desk) -> list[Any]:
    return list(desk.stripe.v1.invoice_items.list().data)


def test_what_was_invoiced_is_not_late(final: Desk) -> None:
    """A final period whose invoice has everything has no late usage, and there is nothing to bill."""
    assert {**NOTHING, "covered": []} == final.good(*BILL).json
    assert "no late usage" in final.good("late-usage").out


def test_late_usage_is_listed_with_its_price(final: Desk) -> None:
    """The list names meter, quantity, dollars and days, and changes nothing."""
    final.used("acme", _start(final) + HOUR, gib=3)
    changes = final.changes()
    [row] = final.good("late-usage", "--json").json["late_usage"]

    assert ("acme", "mqtt_traffic", "0.30") == (row["customer_id"], row["meter"], row["amount"])
    assert 3 == float(row["quantity"])
    assert _start(final).date().isoformat() in row["days"]
    assert (changes, []) == (final.changes(), final.tables.late.of_period("acme", _start(final)))


def test_late_usage_is_billed_once(final: Desk) -> None:
    """Billing puts one invoice item that names meter and days; billing again puts none."""
    final.used("acme", _start(final) + HOUR, gib=3)
    [billed] = final.good(*BILL).json["billed"]
    [item] = _items(final)
    assert (30, None, billed["late_item"]) == (item.amount, item.invoice, item.metadata["late_item"])
    assert item.description.startswith("MQTT traffic: late usage of the period from ")
    assert _start(final).date().isoformat() in item.description

    changes = final.changes()
    again = final.good(*BILL).json
    [covered] = again.pop("covered")
    assert NOTHING == again
    assert (billed["late_item"], "made") == (covered["item"], covered["state"])
    assert changes == final.changes()


def test_late_usage_reaches_the_next_invoice(final: Desk) -> None:
    """The invoice of the customer's next period has the late usage as a line."""
    final.used("acme", _start(final) + HOUR, gib=3)
    final.good(*BILL)
    final.simulator.clock.advance(32 * 86_400)

    newest = final.stripe.v1.invoices.list().data[0]
    assert 2900 + 30 == newest.total


def test_later_usage_is_billed_for_the_rest(final: Desk) -> None:
    """What comes after a late item is billed under the next number, and only the difference."""
    final.used("acme", _start(final) + HOUR, gib=3)
    final.good(*BILL)
    final.used("acme", _start(final) + 2 * HOUR, gib=2)
    final.good(*BILL)

    assert [20, 30] == [item.amount for item in _items(final)]
    assert [1, 2] == [item.number for item in final.tables.late.of_period("acme", _start(final))]


@pytest.mark.parametrize("kind", ["500", "500_after", "drop_before", "drop_after"])
def test_a_crash_between_intent_and_item_bills_once(final: Desk, kind: str) -> None:
    """The intent outlives a call to Stripe that failed, before or after it took effect; one item is made."""
    final.used("acme", _start(final) + HOUR, gib=3)
    final.fault(kind, "/v1/invoiceitems")
    final.run(*BILL)
    assert [1] == [item.number for item in final.tables.late.of_period("acme", _start(final))]
    final.simulator.clock.advance(25 * 3600)
    final.good(*BILL)
    final.good(*BILL)

    assert [30] == [item.amount for item in _items(final)]


def test_an_intent_without_its_item_is_made_up_for(final: Desk) -> None:
    """A process killed after the intent leaves it to the next run, though nothing is late any more."""
    final.used("acme", _start(final) + HOUR, gib=3)
    billing = _billing(final)
    [late] = billing.late(_account(final))
    billing.put_intents(_account(final), late)
    assert [] == final.good("late-usage", "acme", "--json").json["late_usage"]
    final.good(*BILL)

    assert [30] == [item.amount for item in _items(final)]


def test_two_operators_at_once_bill_once(final: Desk) -> None:
    """Two operators who saw the same late usage write one intent; the second finds nothing left."""
    final.used("acme", _start(final) + HOUR, gib=3)
    billing, account = _billing(final), _account(final)
    seen = [billing.late(account)[0] for _ in range(2)]
    intents = [billing.put_intents(account, late) for late in seen]
    for items in intents:
        list(make_invoice_items(final.stripe, account.customer, items, final.tables.late, builtin_catalog()))

    assert [30] == [item.amount for item in _items(final)]
    assert intents[0] == intents[1]


def test_a_correction_downwards_is_a_credit(final: Desk) -> None:
    """Less usage than was invoiced is credited, where credits are asked for."""
    corrected = hour_of(_start(final))
    final.used("acme", corrected, gib=12, revision=99)
    final.good(*BILL, "--credits")

    [item] = _items(final)
    assert -30 == item.amount
    assert "credit" in item.description


def test_what_costs_nothing_is_noted_and_makes_no_item(final: Desk) -> None:
    """Late usage within the allowance is written down as billed, without an invoice item."""
    final.used("acme", _start(final) + HOUR, devices=3)
    final.good(*BILL)

    [item] = final.tables.late.of_period("acme", _start(final))
    assert ("devices", Decimal(0)) == (item.meter, item.amount)
    assert [] == _items(final)
    assert [] == final.good("late-usage", "--json").json["late_usage"]


@pytest.mark.parametrize("kind", ["none", "500", "500_after"])
def test_a_customer_who_has_left_gets_an_invoice(final: Desk, kind: str) -> None:
    """Without a subscription the late usage gets an invoice of its own, one, also after a failure."""
    customer = _account(final).customer
    final.stripe.v1.subscriptions.cancel(str(customer.stripe_subscription_id), {"invoice_now": False})
    left = customer.model_copy(update={"stripe_subscription_id": None})
    assert final.tables.customers.replace(customer, left)
    final.used("acme", _start(final) + HOUR, gib=3)
    if kind != "none":
        final.fault(kind, "/v1/invoices")
        final.run(*BILL)
        final.simulator.clock.advance(25 * 3600)
    final.good(*BILL)
    final.good(*BILL)
    final.simulator.clock.advance(2 * 3600)

    manual = [one for one in final.stripe.v1.invoices.list().data if one.billing_reason == "manual"]
    assert [(30, "open")] == [(one.total, one.status) for one in manual]


def test_a_customer_without_stripe_is_not_billed(final: Desk) -> None:
    """Late usage of a customer without Stripe is listed and stays."""
    customer = _account(final).customer
    alone = customer.model_copy(update={"stripe_subscription_id": None, "stripe_customer_id": None})
    assert final.tables.customers.replace(customer, alone)
    final.used("acme", _start(final) + HOUR, gib=3)

    for _ in range(2):
        answer = final.good(*BILL).json
        assert (1, []) == (len(answer["late_usage"]), answer["billed"])


def test_a_credit_needs_to_be_asked_for(final: Desk) -> None:
    """Without --credits what was billed too much is listed, and nothing is written or made of it."""
    final.used("acme", _start(final), gib=12, revision=99)
    [row] = final.good(*BILL).json["late_usage"]
    assert "-0.30" == row["amount"]
    assert ([], []) == (_items(final), final.tables.late.of_period("acme", _start(final)))


def test_credits_beyond_the_limit_are_refused_with_their_sum(final: Desk) -> None:
    """A customer's credits of one run are within the limit, or none is made; a higher limit allows them."""
    final.used("acme", _start(final), gib=12, revision=99)
    said = final.wrong(1, *BILL, "--credits", "--credit-limit", "0.29")
    assert "0.30 dollars to be credited are more than --credit-limit 0.29" in said
    assert ([], []) == (_items(final), final.tables.late.of_period("acme", _start(final)))

    final.good(*BILL, "--credits", "--credit-limit", "0.30")
    assert [-30] == [item.amount for item in _items(final)]


def test_a_late_item_deleted_in_stripe_is_a_waiver(final: Desk) -> None:
    """It keeps its Stripe item's id, is shown as waived, and is never made again."""
    final.used("acme", _start(final) + HOUR, gib=3)
    [billed] = final.good(*BILL).json["billed"]
    [item] = final.tables.late.of_period("acme", _start(final))
    assert billed["invoice_item"] == item.stripe_item_id
    assert _account(final).customer.stripe_customer_id == item.stripe_customer_id

    del final.simulator.simulator.account.state.invoice_items[billed["invoice_item"]]
    final.simulator.clock.advance(25 * 3600)
    answer = final.good(*BILL).json
    assert ([], "waived") == (_items(final), answer["covered"][0]["state"])
    assert [] == answer["late_usage"]


def test_one_who_returns_under_another_stripe_customer_is_not_billed_again(final: Desk) -> None:
    """What was made under the old Stripe customer stays there."""
    final.used("acme", _start(final) + HOUR, gib=3)
    final.good(*BILL)
    customer = _account(final).customer
    another = final.stripe.v1.customers.create({"metadata": {"customer_id": "acme"}})
    returned = customer.model_copy(update={"stripe_customer_id": another.id})
    assert final.tables.customers.replace(customer, returned)
    final.simulator.clock.advance(25 * 3600)

    assert [] == final.good(*BILL).json["billed"]
    assert [customer.stripe_customer_id] == [item.customer for item in _items(final)]


def test_nothing_is_written_down_for_a_deleted_stripe_customer(final: Desk) -> None:
    """It is said in one sentence; under another Stripe customer the usage is late as before, and billed."""
    final.used("acme", _start(final) + HOUR, gib=3)
    customer = _account(final).customer
    final.stripe.v1.customers.delete(str(customer.stripe_customer_id))
    assert "was deleted; attach another" in final.wrong(1, *BILL)
    assert [] == final.tables.late.of_period("acme", _start(final))

    _as_another(final)
    assert ["0.30"] == [one["amount"] for one in final.good(*BILL).json["billed"]]


def test_a_deleted_former_stripe_customer_holds_up_nothing(final: Desk) -> None:
    """An item was made for it; later usage of the same period is billed to the present Stripe customer."""
    final.used("acme", _start(final) + HOUR, gib=3)
    final.good(*BILL)
    final.stripe.v1.customers.delete(str(_account(final).customer.stripe_customer_id))
    _as_another(final)
    final.used("acme", _start(final) + 2 * HOUR, gib=4)
    assert ["0.40"] == [one["amount"] for one in final.good(*BILL).json["billed"]]


def _as_another(desk: Desk) -> None:
    """Let the customer be another Stripe customer."""
    customer = _account(desk).customer
    other = desk.stripe.v1.customers.create({"name": "Acme"}).id
    changed = customer.model_copy(update={"stripe_customer_id": other, "stripe_subscription_id": None})
    assert desk.tables.customers.replace(customer, changed)


def test_a_late_item_of_before_its_stripe_item_was_kept_is_found(final: Desk) -> None:
    """An item stored without Stripe's ids is found by its metadata, and keeps them from then on."""
    final.used("acme", _start(final) + HOUR, gib=3)
    final.good(*BILL)
    [item] = final.tables.late.of_period("acme", _start(final))
    old = item.model_copy(update={"stripe_item_id": None, "stripe_customer_id": None})
    final.tables.late.put_record("acme", f"late#{format_instant(item.period_start)}#000001", old)
    final.simulator.clock.advance(25 * 3600)

    assert "made" == final.good("late-usage", "--json").json["covered"][0]["state"]
    final.good(*BILL)
    assert [30] == [one.amount for one in _items(final)]
    [again] = final.tables.late.of_period("acme", _start(final))
    assert item.stripe_item_id == again.stripe_item_id


def test_an_invoiced_late_item_is_shown_so(final: Desk) -> None:
    """Once its invoice is final, the item is invoiced."""
    final.used("acme", _start(final) + HOUR, gib=3)
    final.good(*BILL)
    final.simulator.clock.advance(35 * 86_400)
    assert "invoiced" == final.good("late-usage", "--json").json["covered"][0]["state"]


def test_a_period_whose_hours_expire_is_left_out(final: Desk) -> None:
    """Once a period's first hour is past retention nothing of it is late, and nothing is credited."""
    final.used("acme", _start(final) + HOUR, gib=3)
    account, later = _account(final), _account(final).periods[0].span.first_hour + OLDEST_WINDOW
    before = Billing(final.tables, builtin_catalog(), later - timedelta(seconds=1))
    assert 1 == len(before.late(account))
    assert [] == Billing(final.tables, builtin_catalog(), later).late(account)
