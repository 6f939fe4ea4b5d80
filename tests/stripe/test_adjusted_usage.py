"""Adjustments on their way to Stripe: sent like usage, and again when the hours beneath them change."""

from datetime import datetime
from decimal import Decimal

from metering.core.adjustments import Adjustment
from metering.core.instants import HOUR
from tests.stripe.world import CUSTOMER, DAY, GIB, START, World

METER = "mqtt_traffic"


def _gigabytes(count: int) -> dict[str, int]:
    return {"mqtt_bytes_sent": count * GIB}


def _adjust(world: World, quantity: str, first: datetime, last: datetime) -> None:
    """Adjust the first period, as `ops adjust` does."""
    number = len(world.tables.adjustments.of_period(CUSTOMER, START)) + 1
    adjustment = Adjustment(
        customer_id=CUSTOMER,
        period_start=START,
        number=number,
        meter=METER,
        quantity=Decimal(quantity),
        first_hour=first,
        last_hour=last,
        reason="a test of ours",
        who="arn:aws:iam::123456789012:user/ada",
        at=world.now,
    )
    assert world.tables.adjustments.add(adjustment)
    for day in adjustment.days():
        world.markers.touch_unsent(CUSTOMER, day)


def test_an_adjustment_is_on_the_invoice(world: World) -> None:
    """30 GB less 5 are 25: sent, invoiced for $1.50 beyond the fee, and nothing is late."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(30))
    world.dispatch()
    _adjust(world, "-5", START, START + HOUR)
    world.dispatch()
    assert Decimal(25) == world.stripe_total(METER)

    world.settle()
    period = world.period()
    assert (Decimal(25), Decimal("30.50")) == (period.invoiced[METER], period.invoice_total)
    assert [] == world.late(period)


def test_more_is_sent_in_an_hour_without_reports(world: World) -> None:
    """A positive adjustment needs no usage beneath it."""
    world.at(START + DAY)
    _adjust(world, "12.5", START + 3 * HOUR, START + 3 * HOUR)
    world.dispatch()
    assert Decimal("12.5") == world.stripe_total(METER)
    assert {START + 3 * HOUR: Decimal("12.5")} == {
        hour: entry.value for hour, entry in world.entries(METER).items()
    }


def test_a_changed_hour_moves_what_is_taken_from_later_days(world: World) -> None:
    """A day that an adjustment changes with another is sent with it, though it is not marked."""
    later = START + 2 * DAY
    world.at(later + 2 * HOUR).use(START, _gigabytes(3))
    world.use(later, _gigabytes(10))
    _adjust(world, "-5", START, later)
    world.dispatch()
    assert {START: Decimal(0), later: Decimal(8)} == _sent(world)

    world.at(later + 30 * HOUR).dispatch()
    assert [] == list(world.markers.unsent_of(CUSTOMER))
    world.use(START, _gigabytes(4))
    world.dispatch()
    assert {START: Decimal(0), later: Decimal(9)} == _sent(world)
    assert [] == list(world.markers.unsent_of(CUSTOMER))
    assert [] == world.reconcile(fix=False)


def test_an_adjustment_after_the_invoice_is_late(world: World) -> None:
    """Of a final period nothing is sent: what was taken is a credit, once an operator asks for it."""
    world.at(START + 2 * HOUR).use(START, _gigabytes(30))
    world.settle()
    _adjust(world, "-5", START, START)
    [found] = world.late(world.period())
    assert (Decimal(-5), Decimal("-0.50")) == (found.quantity, found.amount)


def _sent(world: World) -> dict[datetime, Decimal]:
    """Return what the ledger says was sent, hours of nothing that were never sent left out."""
    entries = {hour: entry.value for hour, entry in world.entries(METER).items()}
    return {START: Decimal(0)} | entries
