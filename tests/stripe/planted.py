"""Money faults, planted by taking out what mends them: each must be found (``test_planted.py``).

A fault is found by the nightly check (`aggregate.conservation.conserve`), where it names what it does not
name of the same life without the fault, or by the equation of billing (`tests.stripe.equation`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from aggregate.conservation import conserve
from metering.aws.observability import metrics
from metering.core.instants import HOUR
from metering.core.stripe_names import LATE_ITEM, SETTLE_ITEM
from ops.late_usage import Billing
from stripe_report.messages import Reconcile
from stripe_simulator.protocol.amounts import decimals
from tests.stripe import equation
from tests.stripe.world import CUSTOMER, DAY, GIB, START, World

METER = "mqtt_traffic"
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Planted:
    """A money fault: what it is, a life in which it shows, and how its mending is taken out."""

    name: str
    live: Callable[[World], object]
    plant: Callable[[pytest.MonkeyPatch], object]


def found_by_the_equation(world: World) -> set[str]:
    """Return what of the customer's books does not hold against what Stripe's account says."""
    books = equation.books(world)
    recorded, billed = equation.billed_by_records(world), books.billed
    found = {f"{meter} differs" for meter in books.differences()}
    found |= {f"{hour} is nowhere" for hour in books.nowhere}
    found |= {f"{meter} is recorded wrong" for meter in billed if billed[meter] != recorded.get(meter, 0)}
    found |= {f"{meter} is billed twice" for meter, _ in equation.billed_twice(world)}
    found |= {f"{name} is made twice" for name in made_twice(world)}
    found |= {f"{meter} is priced wrong" for _, meter, _, _ in equation.wrongly_priced(world)}
    found |= {f"the total of {start} is another" for start in other_totals(world)}
    return found


def found_by_night(world: World) -> set[str]:
    """Return what the nightly check names: stages and meters."""
    night = conserve(CUSTOMER, world.now, world.tables, world.catalog)
    return {f"{one.stage.value}: {one.metric}" for one in night.differences}


def made_twice(world: World) -> list[str]:
    """Return charges of which Stripe was ever asked to make a second invoice item, deleted ones included."""
    assert world.account is not None
    created = [e for e in world.account.state.events if e["type"] == "invoiceitem.created"]
    made = [event["data"]["object"]["metadata"] for event in created]
    names = Counter(one[name] for one in made for name in (LATE_ITEM, SETTLE_ITEM) if name in one)
    return [name for name, number in names.items() if number > 1]


def other_totals(world: World) -> list[str]:
    """Return periods whose total is not what Stripe asks for, in the currency's decimals, or of our price."""
    assert world.account is not None
    found = []
    for period in equation.account_of(world).periods:
        if period.invoice_id is None:
            continue
        invoice = world.account.state.invoices.get(period.invoice_id)
        if invoice is None:
            found.append(f"{period.start}")
            continue
        asked = Decimal(invoice.total).scaleb(-decimals(invoice.currency))
        fee = period.terms(world.catalog).base_fee
        charged = sum((Decimal(line.amount) for line in invoice.lines or () if not line.metered), Decimal(0))
        if asked != period.invoice_total or (charged and charged.scaleb(-decimals(invoice.currency)) < fee):
            found.append(f"{period.start}")
    return found


# ------------------------------------------------------------------ what happens in lives


def gigabytes(count: int) -> dict[str, int]:
    """Return counters of so many GB."""
    return {"mqtt_bytes_sent": count * GIB}


def night(world: World) -> None:
    """Run the nightly look."""
    world.writer.work(Reconcile(customer_id=CUSTOMER), world.now)
    metrics.clear_metrics()


def subscription_of(world: World) -> str:
    """Return the customer's subscription."""
    return str(equation.account_of(world).customer.stripe_subscription_id)


def run(world: World, days: int, hours: int = 6) -> World:
    """Run the schedules for some days."""
    until = world.now + days * DAY
    while world.now < until:
        world.dispatch()
        world.close()
        world.later(hours * HOUR)
        metrics.clear_metrics()
    return world


def used(world: World, count: int, after: timedelta = timedelta()) -> World:
    """Use so many GB in the hour that begins so long after the start, and have them sent."""
    world.at(max(world.now, START + after + 2 * HOUR)).use(START + after, gigabytes(count))
    world.dispatch()
    return world


def cancelled_at_the_end(world: World) -> World:
    """Let the subscription end with its first period, and the schedules run for a week."""
    world.stripe.v1.subscriptions.update(subscription_of(world), {"cancel_at_period_end": True})
    night(world.at(world.period().end + HOUR))
    return run(world, 7)


def bill_late(world: World, limit: Decimal | None = None) -> None:
    """Bill what is late."""
    billing = Billing(world.tables, world.catalog, world.now, world.stripe, limit)
    account = equation.account_of(world)
    for _ in billing.bill(account, billing.late(account)):
        continue
