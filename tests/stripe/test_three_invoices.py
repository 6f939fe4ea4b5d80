"""The estimate on the page, Stripe's preview and Stripe's final invoice are one, line by line.

For every plan, with and without overrides, and every basis (docs/billing.md#rating).
"""

from datetime import timedelta
from decimal import Decimal
from functools import cache

import pytest
import stripe

from metering.core.accounts import PeriodState
from metering.core.catalog import Catalog, Override, builtin_catalog
from metering.core.instants import HOUR
from metering.core.rating import BASE_FEE
from metering.core.usage import PeriodUsage
from stripe_simulator.serving.account import StripeAccount
from tests.stripe.world import CUSTOMER, GIB, START, World, lines_of, peak_catalog, prepared_account
from usage_query.current_period import Standing, current_period

FEE: dict[str, object] = {"base_fee": "499.00"}
CHEAP: dict[str, object] = {"meters": {"mqtt_traffic": {"included": "3", "overage": "0.07"}}}
NOTHING_INCLUDED: dict[str, object] = {"meters": {"devices": {"included": "0", "overage": "1.25"}}}
NO_LIMIT: dict[str, object] = {"meters": {"api_calls": {"unlimited": True}}}
TERMS: list[tuple[str, dict[str, object]]] = [
    ("starter@1", {}),
    ("starter@1", FEE),
    ("starter@1", CHEAP),
    ("starter@1", NOTHING_INCLUDED),
    ("starter@1", NO_LIMIT),
    ("professional@1", {}),
    ("professional@1", FEE | CHEAP),
    ("enterprise@1", FEE),
    ("enterprise@1", FEE | CHEAP),
]
CATALOGS = {"sum and average": builtin_catalog, "sum, average and peak": peak_catalog}
SIX_DAYS = timedelta(days=6)


@cache
def _account(name: str) -> StripeAccount:
    return prepared_account(CATALOGS[name]())


def _use(world: World) -> None:
    """Odd amounts in several hours, far beyond every allowance; the devices' peak rises twice."""
    for number, start in enumerate((START, START + HOUR, START + SIX_DAYS)):
        world.at(max(world.now, start + 2 * HOUR))
        world.use(
            start,
            {
                "mqtt_bytes_sent": 47 * GIB + 12_345_678 * (number + 1),
                "http_bytes_received": 71 * GIB + 987_654_321,
                "http_requests": 700_123 + number,
            },
            devices=9_000 + 777 * number,
            storage=40_000 * GIB + 7,
        )
    world.dispatch()


def _estimate(world: World, catalog: Catalog) -> tuple[dict[str, tuple[Decimal, Decimal]], Decimal]:
    """Return the page's estimated invoice: quantity and amount of each line, and its total."""
    billing = world.period()
    hours = list(world.hours.between(CUSTOMER, billing.span.first_hour, billing.span.end_hour))
    now = min(world.now, billing.end - timedelta(seconds=1))
    page = current_period(PeriodUsage(billing, hours, catalog), Standing(CUSTOMER, as_of=now), now)
    lines = {line.name: (line.quantity, line.amount) for line in page.estimated_invoice.lines}
    return lines, page.estimated_invoice.total


def _shown(invoice: stripe.Invoice, world: World) -> dict[str, tuple[Decimal, Decimal]]:
    return {line.meter: (line.quantity, line.amount) for line in lines_of(invoice, world.price_names())}


@pytest.mark.parametrize("name", CATALOGS)
@pytest.mark.parametrize(("plan", "override"), TERMS)
def test_the_estimate_is_the_preview_is_the_final_invoice(
    name: str, plan: str, override: dict[str, object]
) -> None:
    """A meter without limit has no price: a line of 0.00 on the page, none at Stripe."""
    catalog = CATALOGS[name]()
    world = World(
        catalog=catalog, plan=plan, override=Override.model_validate(override), account=_account(name)
    )
    _use(world)
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None

    expected, total = _estimate(world, catalog)
    unlimited = {m for m, price in world.period().terms(catalog).meters.items() if price.unlimited}
    assert {Decimal("0.00")} >= {expected[meter][1] for meter in unlimited}
    charged = {line: row for line, row in expected.items() if line not in unlimited}
    preview = world.stripe.v1.invoices.create_preview({"customer": str(profile.stripe_customer_id)})
    previewed = _shown(preview, world)
    assert (charged, total) == (previewed, Decimal(preview.total).scaleb(-2))

    world.settle()
    invoice = world.final_invoice()
    billed = _shown(invoice, world)
    assert (charged, total) == (billed, Decimal(invoice.total).scaleb(-2))
    period = world.period()
    assert PeriodState.FINALISED is period.state
    assert {m: q for m, (q, _) in charged.items() if m != BASE_FEE} == period.invoiced
    assert total == period.invoice_total
    assert any(amount for line, (_, amount) in charged.items() if line != BASE_FEE) or plan == "enterprise@1"
