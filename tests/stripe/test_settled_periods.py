"""Periods that no invoice bills, and what is seen of them before and after an operator settled them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from metering.aws.observability import metrics
from metering.core.accounts import PeriodState, Status
from metering.core.billed import InvoiceStatus
from metering.core.instants import HOUR
from metering.core.settlements import SettleItem, SettleKind
from ops.errors import OperatorError
from ops.late_usage import Billing
from ops.settle import Decision, settle
from stripe_report.invoices import Invoice, MeteredLine
from tests.stripe.world import CUSTOMER, DAY, GIB, START, World

METER = "mqtt_traffic"
END = datetime.fromisoformat("2026-04-10T12:00:00+00:00")


@pytest.fixture(autouse=True)
def _fresh_counts() -> Iterator[None]:
    metrics.clear_metrics()
    yield
    metrics.clear_metrics()


def _counted(name: str) -> float:
    found: Any = metrics.metric_set.get(name, {"Value": []})
    return float(sum(found["Value"]))


def _invoice(status: InvoiceStatus, quantity: int, *, name: str = "in_1", until: datetime = END) -> Invoice:
    """Return an invoice of the first period, up to an instant of it."""
    amount = max(Decimal(quantity - 10), Decimal(0)) / 10
    return Invoice(
        invoice_id=name,
        status=status,
        subscription_id=None,
        our_customer_id=CUSTOMER,
        reason="subscription_threshold",
        period_start=START,
        created=until,
        finalizes_at=None,
        url=None,
        total=amount,
        lines=(MeteredLine(METER, Decimal(quantity), amount, START, until),),
    )


def _with_invoices(world: World, *invoices: Invoice) -> None:
    """Let Stripe have these invoices of the period's subscription, and no other."""
    subscription_id = world.period().subscription_id

    def found(*_: Any, **__: Any) -> list[Invoice]:
        return [replace(invoice, subscription_id=subscription_id) for invoice in invoices]

    world.gateway.reader.invoices = found  # type: ignore[method-assign]  # the test's own gateway


def _settle(world: World, quantity: int) -> None:
    item = SettleItem(
        customer_id=CUSTOMER,
        period_start=START,
        number=1,
        meter=METER,
        quantity=Decimal(quantity),
        amount=Decimal("2.00"),
        kind=SettleKind.WRITE_OFF,
        reason="a courtesy",
        who="arn:aws:iam::123456789012:user/ada",
        at=world.now,
    )
    assert world.tables.settlements.put(item)


def _used(world: World, gigabytes: int = 30) -> World:
    """Let a customer use traffic in its first hour, and its period be over for four days."""
    world.at(START + 2 * HOUR).use(START, {"mqtt_bytes_sent": gigabytes * GIB})
    world.dispatch()
    world.at(END + 4 * DAY)
    return world


def _look(world: World) -> None:
    """Look at the period as the calendar asks, until it asks for a day's rest."""
    for _ in range(10):
        world.close()
        if not (looks := world.looks()) or min(looks) >= world.now + 23 * HOUR:
            return
        world.at(max(min(looks), world.now + timedelta(seconds=1)))


def test_usage_that_no_invoice_has_is_an_alarm_until_it_is_settled(world: World) -> None:
    """Each daily look counts it; once settled it is silent, and usage that comes later is an alarm again."""
    _with_invoices(_used(world))
    _look(world)
    assert 1 <= _counted("periods_unbilled")

    _settle(world, 30)
    metrics.clear_metrics()
    _look(world.later(DAY))
    assert 0 == _counted("periods_unbilled") == _counted("invoice_after_settlement")

    world.use(START, {"mqtt_bytes_sent": 31 * GIB})
    _look(world.later(DAY))
    assert 1 <= _counted("periods_unbilled")


def test_a_period_without_usage_needs_no_settling(world: World) -> None:
    """Where nothing is unbilled, no invoice is no alarm."""
    _with_invoices(_used(world, 0))
    _look(world)
    assert 0 == _counted("periods_unbilled")


@pytest.mark.parametrize("status", [InvoiceStatus.DRAFT, InvoiceStatus.OPEN])
def test_an_invoice_that_appears_after_the_settlement_is_an_alarm(
    world: World, status: InvoiceStatus
) -> None:
    """Draft or final, it bills what was settled already."""
    _with_invoices(_used(world))
    _settle(world, 30)
    _look(world)
    assert 0 == _counted("invoice_after_settlement")

    _with_invoices(world, _invoice(status, 30))
    _look(world.later(DAY))
    assert 1 <= _counted("invoice_after_settlement")
    assert ("finalised" if status is InvoiceStatus.OPEN else "closing") == world.period().state


def test_another_invoice_of_a_settled_void_one_is_an_alarm(world: World) -> None:
    """A period whose invoice is void is still looked at: what comes in its place is told."""
    _with_invoices(_used(world), _invoice(InvoiceStatus.VOID, 30))
    _look(world)
    assert PeriodState.FINALISED is world.period().state
    _settle(world, 30)

    again = _invoice(InvoiceStatus.OPEN, 30, name="in_2")
    _with_invoices(world, _invoice(InvoiceStatus.VOID, 30), again)
    _look(world.later(2 * DAY))
    assert 1 == _counted("invoice_after_settlement")


def test_what_a_threshold_s_invoice_billed_is_not_unbilled(world: World) -> None:
    """Where no invoice ends the period, those in its middle count, and the rest is unbilled."""
    middle = _invoice(InvoiceStatus.PAID, 20, until=START + DAY)
    _with_invoices(_used(world), middle)
    _look(world)
    assert 1 <= _counted("periods_unbilled")
    assert Decimal(20) == world.billed(world.period()).quantity(METER)

    _settle(world, 10)
    metrics.clear_metrics()
    _look(world.later(DAY))
    assert 0 == _counted("periods_unbilled")


def test_a_suspended_customer_s_period_is_told_of_and_can_be_settled(world: World) -> None:
    """Unbilled usage and a draft that nobody finalises are alarms, and what others billed is written down."""
    middle = _invoice(InvoiceStatus.PAID, 20, until=START + DAY)
    _with_invoices(_used(world), middle)
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    world.customers.replace(profile, profile.model_copy(update={"status": Status.SUSPENDED}))
    _look(world)
    assert 1 <= _counted("periods_unbilled")
    assert Decimal(20) == world.billed(world.period()).quantity(METER)

    draft = _invoice(InvoiceStatus.DRAFT, 10, name="in_2", until=START + DAY)
    _with_invoices(world, middle, draft)
    _look(world.later(DAY))
    assert 1 <= _counted("drafts_stuck")


def test_a_void_invoice_s_usage_is_an_alarm_until_it_is_settled(world: World) -> None:
    """Each daily look counts it, not the one alone that found the invoice void."""
    _with_invoices(_used(world), _invoice(InvoiceStatus.VOID, 30))
    _look(world)
    assert 1 == _counted("invoices_void")
    metrics.clear_metrics()
    _look(world.later(2 * DAY))
    assert 1 <= _counted("periods_unbilled")
    _settle(world, 30)
    metrics.clear_metrics()
    _look(world.later(2 * DAY))
    assert 0 == _counted("periods_unbilled")


def test_invoices_that_are_rounded_each_are_not_mispriced(world: World) -> None:
    """15.05 and 5.05 GB are $0.51 each (0.505), together $1.01: a cent is no difference."""
    first = _invoice(InvoiceStatus.PAID, 15, until=START + DAY)
    last = _invoice(InvoiceStatus.OPEN, 5, name="in_2")
    lines = [
        MeteredLine(METER, Decimal(quantity), Decimal("0.51"), START, invoice.created)
        for quantity, invoice in (("15.05", first), ("5.05", last))
    ]
    _with_invoices(_used(world), replace(first, lines=(lines[0],)), replace(last, lines=(lines[1],)))
    _look(world)
    assert (PeriodState.FINALISED, 0) == (world.period().state, _counted("invoices_mispriced"))
    [late] = world.late(world.period())
    assert Decimal("9.90") == late.quantity

    dearer = replace(lines[1], amount=Decimal("0.53"))
    _with_invoices(world, replace(first, lines=(lines[0],)), replace(last, lines=(dearer,)))
    _look(world.later(2 * DAY))
    assert 1 <= _counted("invoices_mispriced")


def test_a_draft_that_is_left_beside_the_invoice_leaves_only_what_is_on_it_unbilled(world: World) -> None:
    """30 GB used, 20 invoiced, a draft that nobody finalises: 10 are shown as unbilled, and not settled."""
    draft = _invoice(InvoiceStatus.DRAFT, 10, name="in_2", until=START + DAY)
    _with_invoices(_used(world), _invoice(InvoiceStatus.OPEN, 20), draft)
    _look(world)
    assert 1 <= _counted("drafts_stuck")
    assert PeriodState.CLOSING is world.period().state
    account = world.customers.account(CUSTOMER)
    assert account is not None
    [unbilled] = Billing(world.tables, world.catalog, world.now).unbilled(account)
    assert [(METER, Decimal(10))] == [(one.meter, one.quantity) for one in unbilled.usage]
    decision = Decision(SettleKind.BILL, "a courtesy", "ada", world.now)
    with pytest.raises(OperatorError, match="draft"):
        settle(world.stripe, account, world.period(), decision, world.tables, world.catalog)
