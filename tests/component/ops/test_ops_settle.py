"""``ops settle``: an operator's word on a period that no invoice bills."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from metering.core.accounts import BillingPeriod, PeriodState
from metering.core.billed import InvoiceStatus, PeriodInvoice
from metering.core.instants import format_instant
from metering.core.settlements import SettleItem
from metering.tables.charges import Charges
from tests.component.ops.desk import Desk

METER = "mqtt_traffic"
REASON = ("--reason", "the subscription was cancelled without an invoice")


@pytest.fixture
def unbilled(synced: Desk) -> Desk:
    """A desk with a customer who used 30 GB ($2.00), cancelled without an invoice, ten days ago."""
    synced.simulator.clock.advance(-20 * 86_400)
    synced.good("customers", "add", "acme", "--name", "Acme")
    customer = synced.tables.customers.customer("acme")
    assert customer is not None
    [period] = synced.tables.customers.periods("acme")
    synced.used("acme", period.span.first_hour, gib=30)
    synced.simulator.clock.advance(10 * 86_400)
    synced.stripe.v1.subscriptions.cancel(str(customer.stripe_subscription_id), {"invoice_now": False})
    cut = period.cut(synced.now.replace(minute=0, second=0, microsecond=0))
    ended: Any = cut.model_copy(update={"state": PeriodState.CLOSING})
    assert synced.tables.customers.replace_period("acme", period, ended)
    left = customer.model_copy(update={"stripe_subscription_id": None})
    assert synced.tables.customers.replace(customer, left)
    synced.simulator.clock.advance(10 * 86_400)
    return synced


def period(desk: Desk) -> BillingPeriod:
    """Return the customer's period."""
    return desk.tables.customers.periods("acme")[0]


def settle(desk: Desk, *more: str) -> tuple[str, ...]:
    """Return the command as typed."""
    return ("settle", "acme", format_instant(period(desk).start), *REASON, *more)


def settled(desk: Desk) -> list[SettleItem]:
    """Return the period's settlement."""
    return desk.tables.settlements.of_period("acme", period(desk).start)


def items(desk: Desk) -> list[Any]:
    """Return Stripe's invoice items, newest first."""
    return list(desk.stripe.v1.invoice_items.list().data)


def listed(desk: Desk) -> dict[str, Any]:
    """Return what `ops late-usage` says."""
    answer: dict[str, Any] = desk.good("late-usage", "acme", "--json").json
    return answer


def voided(desk: Desk, *, fee: int = 2900, number: int = 1) -> str:
    """Let the period have ended with an invoice of a fee that is void; return its id."""
    customer = desk.tables.customers.customer("acme")
    assert customer is not None
    item: Any = {"customer": str(customer.stripe_customer_id), "amount": fee, "currency": "usd"}
    desk.stripe.v1.invoice_items.create(item | {"description": "Starter, monthly fee"})
    wanted: Any = {"customer": str(customer.stripe_customer_id), "pending_invoice_items_behavior": "include"}
    made = desk.stripe.v1.invoices.create(wanted)
    record = PeriodInvoice(
        customer_id="acme",
        period_start=period(desk).start,
        number=number,
        invoice_id=made.id,
        status=InvoiceStatus.VOID,
        ends_period=True,
        total=Decimal("31.00"),
        quantities={METER: Decimal(30)},
        amounts={METER: Decimal("2.00")},
        seen_at=period(desk).end,
    )
    assert desk.tables.invoices.add(record)
    if period(desk).state is not PeriodState.FINALISED:
        final = period(desk).model_copy(update={"state": PeriodState.FINALISED, "invoice_id": made.id})
        assert desk.tables.customers.replace_period("acme", period(desk), final)
    return made.id


def test_unbilled_usage_is_listed_with_the_command_that_settles_it(unbilled: Desk) -> None:
    """20 GB beyond the allowance are $2.00 that no invoice has; it is not late, and --bill leaves it."""
    answer = listed(unbilled)
    [row] = answer["unbilled"]
    assert ([], METER, "2.00") == (answer["late_usage"], row["meter"], row["amount"])
    assert row["command"].startswith(f"ops settle acme {format_instant(period(unbilled).start)} --bill")

    assert [] == unbilled.good("late-usage", "acme", "--bill", "--json").json["billed"]
    assert [] == items(unbilled)


def test_what_is_billed_by_a_settlement_is_charged_once(unbilled: Desk) -> None:
    """The intent has who, when and why; one invoice item is made, and one who has left gets an invoice."""
    unbilled.good(*settle(unbilled, "--bill"))
    unbilled.good(*settle(unbilled, "--bill"))

    [item] = settled(unbilled)
    [made] = items(unbilled)
    assert ("bill", METER, Decimal(30), Decimal("2.00")) == (
        item.kind.value,
        item.meter,
        item.quantity,
        item.amount,
    )
    assert (REASON[1], made.id) == (item.reason, item.stripe_item_id)
    assert item.who.startswith("arn:aws:")
    assert (200, item.item_id) == (made.amount, made.metadata["settle_item"])
    assert 1 == len(
        [one for one in unbilled.stripe.v1.invoices.list().data if one.billing_reason == "manual"]
    )
    answer = listed(unbilled)
    assert ([], ["made"]) == (answer["unbilled"], [row["state"] for row in answer["covered"]])


def test_what_is_written_off_is_charged_to_nobody(unbilled: Desk) -> None:
    """It covers its quantity, is shown as waived, and Stripe hears nothing of it."""
    changes = unbilled.changes()
    unbilled.good(*settle(unbilled, "--write-off"))

    [item] = settled(unbilled)
    assert ("write_off", Decimal(30), Decimal("2.00")) == (item.kind.value, item.quantity, item.amount)
    assert ([], changes) == (items(unbilled), unbilled.changes())
    answer = listed(unbilled)
    assert ([], ["waived"]) == (answer["unbilled"], [row["state"] for row in answer["covered"]])


@pytest.mark.parametrize("kind", ["500", "500_after", "drop_before", "drop_after"])
def test_a_crash_between_intent_and_item_bills_once(unbilled: Desk, kind: str) -> None:
    """The intent outlives a call to Stripe that failed, before or after it took effect; one item is made."""
    unbilled.fault(kind, "/v1/invoiceitems")
    unbilled.run(*settle(unbilled, "--bill"))
    assert [1] == [item.number for item in settled(unbilled)]
    unbilled.simulator.clock.advance(25 * 3600)
    unbilled.good(*settle(unbilled, "--bill"))
    unbilled.good(*settle(unbilled, "--bill"))

    assert [200] == [item.amount for item in items(unbilled)]


def test_later_usage_is_settled_for_the_rest(unbilled: Desk) -> None:
    """What was reported after a settlement is unbilled again, and settled under the next number."""
    unbilled.good(*settle(unbilled, "--bill"))
    unbilled.used("acme", period(unbilled).span.first_hour, gib=33, revision=9)
    assert ["0.30"] == [row["amount"] for row in listed(unbilled)["unbilled"]]
    unbilled.good(*settle(unbilled, "--bill"))

    assert [(1, Decimal(30)), (2, Decimal(3))] == [(one.number, one.quantity) for one in settled(unbilled)]


def test_every_line_of_a_void_invoice_is_settled(unbilled: Desk) -> None:
    """The usage is priced anew, and the fee is a line of its own, once however often it is settled."""
    voided(unbilled)
    rows = listed(unbilled)["unbilled"]
    assert ["void invoice", METER] == [row["meter"] for row in rows]
    unbilled.good(*settle(unbilled, "--bill"))
    unbilled.good(*settle(unbilled, "--bill"))

    assert [(METER, Decimal("2.00")), ("invoice_line", Decimal("29.00"))] == [
        (item.meter, item.amount) for item in settled(unbilled)
    ]
    assert [1] == [item.quantity for item in settled(unbilled) if item.meter != METER]
    assert {200, 2900} == {item.amount for item in items(unbilled) if "settle_item" in item.metadata}
    assert [] == listed(unbilled)["unbilled"]


def test_a_void_invoice_without_usage_is_settled_for_its_fee(unbilled: Desk) -> None:
    """Where nothing was used beyond what is covered, the fee is left, and named."""
    unbilled.used("acme", period(unbilled).span.first_hour, gib=0, revision=9)
    voided(unbilled)
    assert ["void invoice"] == [row["meter"] for row in listed(unbilled)["unbilled"]]
    unbilled.good(*settle(unbilled, "--write-off"))
    assert [Decimal("29.00")] == [item.amount for item in settled(unbilled)]


def test_of_several_void_invoices_the_newest_is_settled(unbilled: Desk) -> None:
    """Corrected at Stripe and void as well: the fee is charged once, also where it comes after the first."""
    voided(unbilled, fee=2500)
    unbilled.simulator.clock.advance(60)
    newest = voided(unbilled, number=2)
    unbilled.good(*settle(unbilled, "--bill"))
    fees = [item.invoice_line for item in settled(unbilled) if item.invoice_line]
    assert [newest in str(fees[0]), Decimal("31.00")] == [
        True,
        sum(item.amount for item in settled(unbilled)),
    ]

    unbilled.simulator.clock.advance(60)
    voided(unbilled, number=3)
    unbilled.good(*settle(unbilled, "--bill"))
    assert Decimal("31.00") == sum(item.amount for item in settled(unbilled))


def test_refused_while_a_void_invoice_is_not_written_down(acme: Desk) -> None:
    """Its fee would be missing: finalised and void between two looks, nothing is known of it yet."""
    first = period(acme)
    acme.used("acme", first.span.first_hour, gib=30)
    acme.simulator.clock.set(int((first.end + timedelta(days=5)).timestamp()))
    [invoice] = [
        one for one in acme.stripe.v1.invoices.list().data if one.period_end == first.end.timestamp()
    ]
    acme.stripe.v1.invoices.void_invoice(invoice.id)
    assert f"{invoice.id} bills this period and is not written down yet" in acme.wrong(
        1, *settle(acme, "--bill")
    )
    assert [] == settled(acme)


def test_a_crash_between_the_intents_leaves_the_period_listed(
    unbilled: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two lines is written down; the next run writes the other, and the fee is not forgotten."""
    voided(unbilled)
    put = Charges.put

    def crash(*_: Any) -> bool:
        raise RuntimeError

    monkeypatch.setattr(
        Charges, "put", lambda *given: monkeypatch.setattr(Charges, "put", crash) or put(*given)
    )
    with pytest.raises(RuntimeError):
        unbilled.run(*settle(unbilled, "--bill"))
    monkeypatch.setattr(Charges, "put", put)
    assert [METER] == [row["meter"] for row in listed(unbilled)["unbilled"]]
    unbilled.good(*settle(unbilled, "--bill"))
    assert [Decimal("2.00"), Decimal(29)] == sorted(item.amount for item in settled(unbilled))


def test_the_audit_comes_first(unbilled: Desk) -> None:
    """Who, when, what before, what after and why are written before the intents; without, nothing is."""
    with unbilled.monkeypatch.context() as patched:
        patched.setattr("metering.tables.audit.Audit.write", _fails)
        with pytest.raises(ConnectionAbortedError):
            unbilled.run(*settle(unbilled, "--bill"))
    assert ([], []) == (settled(unbilled), items(unbilled))

    unbilled.good(*settle(unbilled, "--bill"))
    [entry], [item] = unbilled.tables.audit.of("acme"), settled(unbilled)
    assert ("settle", item.who, item.at, REASON[1]) == (entry.action, entry.who, entry.at, entry.why)
    assert ([], [1]) == (entry.before, [row["number"] for row in entry.after])


def _fails(*_: object) -> None:
    raise ConnectionAbortedError


def test_refused_while_an_invoice_may_still_appear(unbilled: Desk) -> None:
    """For 72 hours after the end a draft may come, and nothing is settled."""
    soon = period(unbilled).model_copy(update={"end": unbilled.now - timedelta(71 / 24)})
    unbilled.tables.customers.put_record("acme", f"period#{format_instant(soon.start)}", soon)
    assert "its invoice may still appear until" in unbilled.wrong(1, *settle(unbilled, "--bill"))
    assert [] == settled(unbilled)


def test_refused_while_a_draft_bills_it(acme: Desk) -> None:
    """A draft of the period's subscription is named: it is to be finalised or deleted first."""
    acme.simulator.clock.advance(32 * 86_400)
    first = period(acme)
    over = first.model_copy(update={"state": PeriodState.CLOSING, "end": first.start + timedelta(hours=1)})
    past = over.model_copy(update={"end": first.end})
    assert acme.tables.customers.replace_period("acme", first, past)
    acme.settings(grace_s=30 * 86_400)
    acme.simulator.clock.set(int((first.end + timedelta(days=5)).timestamp()))
    drafts = [
        one for one in acme.stripe.v1.invoices.list().data if one.billing_reason == "subscription_cycle"
    ]
    said = acme.wrong(1, *settle(acme, "--bill"))
    assert drafts[0].id in said
    assert [] == settled(acme)


def test_refused_where_an_invoice_bills_it(unbilled: Desk) -> None:
    """A period with a counted invoice has late usage, not a settlement."""
    final = period(unbilled).model_copy(
        update={"state": PeriodState.FINALISED, "invoice_id": "in_1", "invoiced": {METER: Decimal(30)}}
    )
    assert unbilled.tables.customers.replace_period("acme", period(unbilled), final)
    assert "is billed by in_1" in unbilled.wrong(1, *settle(unbilled, "--bill"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sold": False}, "is not sold"),
        ({"state": PeriodState.FINALISED}, "was final before its invoices were kept"),
    ],
)
def test_refused_where_there_is_nothing_to_settle(unbilled: Desk, changed: dict[str, Any], said: str) -> None:
    """Time without a subscription is not sold; what was final before invoices were kept stays as it is."""
    other = period(unbilled).model_copy(update=changed)
    assert unbilled.tables.customers.replace_period("acme", period(unbilled), other)
    assert said in unbilled.wrong(1, *settle(unbilled, "--bill"))
    assert [] == listed(unbilled)["unbilled"]


def test_a_deleted_stripe_customer_is_one_sentence_and_can_be_written_off(unbilled: Desk) -> None:
    """Billing is refused before anything is written; the period can be settled without Stripe."""
    customer = unbilled.tables.customers.customer("acme")
    assert customer is not None
    gone = customer.model_copy(update={"stripe_customer_id": "cus_gone"})
    assert unbilled.tables.customers.replace(customer, gone)
    said = unbilled.wrong(1, *settle(unbilled, "--bill"))
    assert "the Stripe customer cus_gone of acme was deleted; attach another, or use --write-off" in said
    assert ([], []) == (settled(unbilled), unbilled.tables.audit.of("acme"))

    unbilled.good(*settle(unbilled, "--write-off"))
    assert [Decimal(30)] == [item.quantity for item in settled(unbilled)]


@pytest.mark.parametrize("options", [(), ("--bill", "--write-off")])
def test_one_decision_is_made(unbilled: Desk, options: tuple[str, ...]) -> None:
    """Neither and both are wrong usage."""
    assert "give either --bill or --write-off" in unbilled.wrong(2, *settle(unbilled, *options))
