"""Plans sell some meters and show the others; what was sold once is sold for ever in its period."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from metering.core.accounts import FIRST_METERS, BillingPeriod, Customer, PeriodState
from metering.core.alerts import usage_alerts
from metering.core.billed import billed_of
from metering.core.catalog import Catalog, CatalogError, builtin_catalog, parse_catalog, parse_override
from metering.core.conservation import contribution_differences, invoice_differences
from metering.core.instants import HOUR
from metering.core.late_usage import late_usage
from metering.core.periods import Period
from metering.core.rollup import Hour
from metering.core.stripe_names import (
    event_identifier,
    event_name,
    meter_lookup_key,
    meter_of_event_name,
    read_identifier,
)
from metering.core.usage import PeriodUsage
from stripe_report.plan import wanted_of
from usage_query.current_period import Standing, current_period

GIB = 2**30
START = datetime(2026, 3, 1, tzinfo=UTC)
SPAN = Period.calendar_month(START)
CUSTOMER = Customer(customer_id="acme", name="Acme", plan="starter@1")
BUILTIN = builtin_catalog()
STARTER = BUILTIN.plans["starter@1"]

CALLS = """
[meters.{name}]
label = "API calls"
metrics = ["http_requests"]
unit = "calls"
unit_size = {unit}
basis = "sum"
"""
PLAN = """
[plans."starter@{version}"]
label = "Starter"
base_fee = "29.00"
[plans."starter@{version}".meters]
{prices}
"""


def catalog(*plans: str, meters: str = "") -> Catalog:
    """Return a catalogue of calls in two versions, more meters, and plans with these prices."""
    calls = CALLS.format(name="calls", unit=1000) + CALLS.format(name='"calls@2"', unit=100)
    versions = [PLAN.format(version=n, prices=prices) for n, prices in enumerate(plans, 1)]
    return parse_catalog(f'currency = "usd"\n{calls}{meters}{"".join(versions)}')


OLD = 'calls = { included = "1", overage = "0.50" }'
NEW = '"calls@2" = { included = "10", overage = "0.05" }'
TWO = catalog(OLD, NEW)


def billing(plan: str = "starter@1", of: Catalog = TWO, **changes: object) -> BillingPeriod:
    """Return a period of a plan, selling what the plan does, as it is stored."""
    made = BillingPeriod.of(CUSTOMER, SPAN).on_plan(plan, CUSTOMER.override, of)
    return made.model_copy(update=changes)


def used(period: BillingPeriod, of: Catalog = TWO, requests: int = 3000) -> PeriodUsage:
    """Return a period's usage: so many requests in its first hour."""
    return PeriodUsage(period, [Hour(START, counters={"http_requests": requests}, instances=1)], of)


def test_a_plan_lists_the_meters_it_sells() -> None:
    """A plan need not sell every meter, and its terms are those it sells."""
    assert ({"calls"}, {"calls@2"}) == ({*TWO.terms("starter@1").meters}, {*TWO.terms("starter@2").meters})
    assert set() == catalog("").terms("starter@1").meters.keys()


def test_a_plan_sells_one_version_of_a_meter() -> None:
    """Two versions of one meter would bill the same usage twice: the catalogue is refused."""
    with pytest.raises(CatalogError, match="sells 2 versions of the meter 'calls'"):
        catalog(f"{OLD}\n{NEW}")


@pytest.mark.parametrize("name", ["calls@1", "calls@0", "calls@02", "calls@", "calls_v2", "@2", "calls@2@3"])
def test_a_meter_has_one_name(name: str) -> None:
    """The first version names none, and no name ends as the event name of a version does."""
    with pytest.raises(CatalogError):
        parse_catalog(f'currency = "usd"\n{CALLS.format(name=f'"{name}"', unit=1)}[plans]')


def test_an_override_prices_what_the_plan_sells() -> None:
    """A customer's own price of a meter that its plan does not sell is refused by name."""
    own = parse_override({"meters": {"calls": {"unlimited": True}}})
    assert TWO.terms("starter@1", own).meters["calls"].unlimited
    with pytest.raises(CatalogError, match=r"'calls', which the plan 'starter@2' does not sell"):
        TWO.terms("starter@2", own)


def test_names_at_stripe() -> None:
    """A version has an event name, identifiers and a lookup key of its own, and is read back from them."""
    assert ("zemfyre_calls", "zemfyre_calls_v2") == (event_name("calls"), event_name("calls@2"))
    for meter in ("calls", "calls@2", "a" * 35 + "@999"):
        assert meter == meter_of_event_name(event_name(meter))
        read = read_identifier(event_identifier("acme", meter, START, 7))
        assert (meter, START, 7) == (read and (read.meter, read.hour, read.number))
    assert "starter@2.calls@2" == meter_lookup_key("acme", TWO.terms("starter@2"), "calls@2")


def test_only_what_is_sold_is_sent() -> None:
    """An hour's contributions of the meters that its period sells are sent, and no other."""
    assert [("calls", START)] == [*wanted_of(used(billing("starter@1")), [START])]
    assert [("calls@2", START)] == [*wanted_of(used(billing("starter@2")), [START])]


def test_what_is_not_sold_is_shown() -> None:
    """A meter that is not sold is on the page with what was used, without price, limit and line."""
    page = current_period(used(billing(of=catalog("")), catalog("")), Standing("acme", as_of=START), START)
    (meter,) = page.meters
    assert ("calls@2", False, Decimal(30)) == (meter.name, meter.sold, meter.current)
    assert (Decimal(0), None, Decimal("0.00")) == (meter.billable, meter.included, meter.overage_amount)
    assert {"calls@2": Decimal(30)} == page.daily_breakdown[0].meters
    assert ["base_fee"] == [line.name for line in page.estimated_invoice.lines]


@pytest.mark.parametrize(("plan", "shown"), [("starter@1", "calls"), ("starter@2", "calls@2")])
def test_the_version_that_is_sold_is_shown(plan: str, shown: str) -> None:
    """Of a meter's versions the page shows the one that the period sells."""
    page = current_period(used(billing(plan)), Standing("acme", as_of=START), START)
    assert [(shown, True)] == [(meter.name, meter.sold) for meter in page.meters]


def test_the_original_s_figures_follow_the_version() -> None:
    """The original document's names show whichever version of their meter the page shows."""
    changed = BUILTIN.model_copy(
        update={
            "meters": BUILTIN.meters
            | {"api_calls@2": BUILTIN.meters["api_calls"].model_copy(update={"unit_size": 10})}
        }
    )
    plans = {"starter@2": STARTER.model_copy(update={"meters": {"api_calls@2": STARTER.meters["api_calls"]}})}
    changed = changed.model_copy(update={"plans": changed.plans | plans})
    period = billing("starter@2", changed)
    page = current_period(used(period, changed), Standing("acme", as_of=START), START)
    assert (Decimal(3000), Decimal(1000)) == (page.api_calls, page.plan_limits.api_calls)


def test_what_is_not_sold_raises_no_alert() -> None:
    """A meter that is not sold has no allowance, so that nothing of it is near its limit."""
    assert [] == usage_alerts(CUSTOMER, used(billing(of=catalog("")), catalog("")), START + HOUR)
    told = usage_alerts(CUSTOMER, used(billing("starter@2")), START + HOUR)
    assert {"calls@2"} == {alert.meter for alert in told}


def test_a_forecast_needs_only_what_is_sold() -> None:
    """The invoice has a forecast as soon as every meter that is sold has one."""
    nothing = used(billing(of=catalog("")), catalog("")).forecast(START)
    assert {None} == {*nothing.quantities.values()}
    assert Decimal("29.00") == nothing.total


def final(invoiced: dict[str, str]) -> BillingPeriod:
    """Return a final period as it was stored before periods named their meters."""
    stored = BillingPeriod(start=SPAN.start, end=SPAN.end, plan="starter@1")
    return stored.model_copy(
        update={
            "state": PeriodState.FINALISED,
            "invoiced": {name: Decimal(amount) for name, amount in invoiced.items()},
        }
    )


def test_a_meter_added_to_a_plan_in_use_bills_no_period_again() -> None:
    """A meter that a plan is given later is not late in a period that did not sell it."""
    points = BUILTIN.meters["api_calls"].model_copy(update={"metrics": ("influxdb_points",)})
    price = STARTER.meters["api_calls"].model_copy(update={"included": Decimal(0)})
    added = BUILTIN.model_copy(
        update={
            "meters": BUILTIN.meters | {"points": points},
            "plans": BUILTIN.plans
            | {"starter@1": STARTER.model_copy(update={"meters": STARTER.meters | {"points": price}})},
        }
    )
    hours = [Hour(START, counters={"influxdb_points": 200_000, "http_requests": 1000}, instances=1)]
    usage = PeriodUsage(final({"api_calls": "1"}), hours, added)
    assert [] == late_usage(usage, billed_of(usage.billing, ()))
    assert [] == [
        *invoice_differences(usage, billed_of(usage.billing, ()), []),
        *contribution_differences(usage),
    ]
    assert Decimal("100.00") == PeriodUsage(billing(of=added), hours, added).lines[-1].amount


def test_a_changed_meter_leaves_closed_periods_alone() -> None:
    """A new version of a meter is another meter: a period that sold the first is billed as it was."""
    closed = billing("starter@1", state=PeriodState.FINALISED, invoiced={"calls": Decimal(3)})
    assert [] == late_usage(used(closed), billed_of(closed, ()))
    assert [Decimal(29), Decimal("1.00")] == [line.amount for line in used(closed).lines]
    assert [Decimal(29), Decimal("1.00")] == [line.amount for line in used(billing("starter@2")).lines]


def test_a_stored_period_names_what_it_sells() -> None:
    """A period stored today sold the first five meters; another names its own, with their versions."""
    before = '{"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z", "plan": "starter@1"}'
    read = BillingPeriod.model_validate_json(before)
    assert {*BUILTIN.meters} == {*FIRST_METERS} == {*read.terms(BUILTIN).meters}
    written = read.on_plan("starter@1", read.override, BUILTIN).model_dump_json(exclude_defaults=True)
    assert before.replace(" ", "") == written
    other = billing("starter@2")
    assert ("calls@2",) == other.meters
    assert other == BillingPeriod.model_validate_json(other.model_dump_json(exclude_defaults=True))


def test_a_period_that_is_not_stored_sells_what_its_plan_does() -> None:
    """Until a period is stored it follows its plan."""
    virtual = BillingPeriod.of(CUSTOMER.model_copy(update={"plan": "starter@2"}), SPAN)
    assert {"calls@2"} == virtual.terms(TWO).meters.keys()
