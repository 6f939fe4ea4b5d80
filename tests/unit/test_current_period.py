"""The page's one call, as a pure function of hours, terms and the present."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from metering.core.accounts import BillingPeriod
from metering.core.adjustments import Adjustment
from metering.core.answers import CurrentPeriod, InstanceState
from metering.core.basis import Basis
from metering.core.catalog import Meter, Price, builtin_catalog, parse_override
from metering.core.instants import DAY, HOUR
from metering.core.rollup import Hour, Level
from metering.core.usage import PeriodUsage
from testing.reports import report
from usage_query.current_period import Standing, current_period, instance_states

START = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
HALF = START + 15 * DAY
STARTER = BillingPeriod(start=START, end=END, plan="starter@1")


def answer(hours: list[Hour], now: datetime = HALF, billing: BillingPeriod = STARTER) -> CurrentPeriod:
    """Return the answer for hours at a moment."""
    usage = PeriodUsage(billing, hours, builtin_catalog())
    return current_period(usage, Standing("acme", as_of=now), now)


def meters(given: CurrentPeriod) -> dict[str, dict[str, Any]]:
    """Return the answer's meters as JSON, by name."""
    return {meter["name"]: meter for meter in given.model_dump(mode="json")["meters"]}


def devices(count: int, hours: int) -> list[Hour]:
    """Return hours in a row from the period's start, with a level of devices."""
    level = Level(count, count, count * 3600, 3600)
    return [Hour(START + n * HOUR, gauges={"active_devices": level}, instances=1) for n in range(hours)]


def used(**counters: int) -> Hour:
    """Return the period's first hour with counters."""
    return Hour(START, counters=counters, instances=1)


def test_the_original_s_names() -> None:
    """The original's names stand at the top, in its units: GB, devices, single calls."""
    given = answer(
        [
            Hour(
                START,
                counters={"mqtt_bytes_sent": 2**30, "http_bytes_sent": 2**31, "http_requests": 1500},
                gauges={
                    "active_devices": Level(3, 4, 10800, 3600),
                    "postgres_size_bytes": Level(2**30, 2**30, 2**30 * 3600, 3600),
                },
                instances=1,
            )
        ]
    ).model_dump(mode="json")
    assert {
        "active_devices": "3",
        "mqtt_gb": "1",
        "http_gb": "2",
        "storage_gb": "1",
        "api_calls": "1500",
    } == {name: given[name] for name in ("active_devices", "mqtt_gb", "http_gb", "storage_gb", "api_calls")}
    assert {
        "max_devices": "10",
        "mqtt_gb": "10",
        "http_gb": "10",
        "storage_gb": "5",
        "api_calls": "100000",
    } == given["plan_limits"]
    assert 16 == len(given["daily_breakdown"])


def test_the_contract_s_names() -> None:
    """Beside them stand all fields that the contract names, whatever was used."""
    given = answer([]).model_dump(mode="json")
    names = "customer_id plan period as_of server_time meters estimated_invoice alerts instances flags"
    assert set(names.split()) <= given.keys()
    assert {"start", "end", "elapsed"} == given["period"].keys()
    assert {"currency", "lines", "total", "forecast_total", "method"} == given["estimated_invoice"].keys()
    meter = (
        "name label unit basis sold current billable included percent overage overage_price overage_amount"
    )
    assert {*meter.split(), "forecast", "forecast_method"} == given["meters"][0].keys()
    assert 5 == len(given["meters"])


def test_money_and_quantities_are_strings() -> None:
    """No number of the answer is a float: money and quantities are decimal strings."""

    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for inner in value.values() for leaf in leaves(inner)]
        return [leaf for inner in value for leaf in leaves(inner)] if isinstance(value, list) else [value]

    given = answer([used(http_requests=1), *devices(12, 300)[1:]]).model_dump(mode="json")
    assert set() == {type(leaf) for leaf in leaves(given)} - {str, int, bool, type(None)}
    assert {bool} >= {type(leaf) for leaf in leaves([given["meters"], given["estimated_invoice"]])} - {
        str,
        type(None),
    }


def test_an_average_s_two_figures() -> None:
    """20 devices for half a month: now 20, billable just under 10 device-months, nothing over."""
    row = meters(answer(devices(20, 360)))["devices"]
    assert ("20", "0", "0.00") == (row["current"], row["overage"], row["overage_amount"])
    assert Decimal("9.999999") < Decimal(row["billable"]) <= Decimal(10)
    assert "99.9" == row["percent"]


@pytest.mark.parametrize(
    ("gigabytes", "percent"), [("9.996", "99.9"), ("9.999999", "99.9"), ("10", "100"), ("0.0099", "0")]
)
def test_a_percentage_is_rounded_down(gigabytes: str, percent: str) -> None:
    """9.996 of 10 GB is 99.9 %, as the alerts say: 100 % is shown once all of it is used."""
    row = meters(answer([used(mqtt_bytes_sent=int(Decimal(gigabytes) * 2**30))]))["mqtt_traffic"]
    assert percent == row["percent"]


def test_the_estimate_is_the_rated_usage() -> None:
    """The estimate is the fee plus what exceeds the allowances, before discounts and tax."""
    given = answer([used(http_requests=102_000, mqtt_bytes_sent=15 * 2**30)]).model_dump(mode="json")
    invoice = given["estimated_invoice"]
    assert ("usd", "30.50") == (invoice["currency"], invoice["total"])
    assert {"base_fee": "29.00", "api_calls": "1.00", "mqtt_traffic": "0.50"} == {
        line["name"]: line["amount"] for line in invoice["lines"] if line["amount"] != "0.00"
    }
    assert "before discounts and tax" in invoice["method"]


def test_too_early_to_forecast() -> None:
    """With less than a full day there is no forecast, and the page says so."""
    given = answer([used(http_requests=1)], START + 23 * HOUR)
    rows = meters(given)
    assert {(None, "too early")} == {(row["forecast"], row["forecast_method"]) for row in rows.values()}
    assert given.estimated_invoice.forecast_total is None


def test_the_forecast_s_invoice() -> None:
    """The forecast's total prices the forecast quantities."""
    level = Level(20, 20, 72000, 3600)
    hours = [
        Hour(
            START + n * HOUR, counters={"http_requests": 1000}, gauges={"active_devices": level}, instances=1
        )
        for n in range(360)
    ]
    given = answer(hours)
    assert "720" == meters(given)["api_calls"]["forecast"]
    assert Decimal("29.00") + Decimal("20.00") + Decimal("310.00") == given.estimated_invoice.forecast_total


def test_unlimited_meters() -> None:
    """Without a limit there is no allowance, no percentage and no price; the fee is the contract's."""
    own = parse_override({"base_fee": "1500"})
    billing = STARTER.model_copy(update={"plan": "enterprise@1", "override": own})
    given = answer([used(mqtt_bytes_sent=2**50)], billing=billing)
    row = meters(given)["mqtt_traffic"]
    assert (None, None, None) == (row["included"], row["percent"], row["overage_price"])
    assert given.plan_limits.max_devices is None
    assert Decimal("1500.00") == given.estimated_invoice.total


def test_an_allowance_of_nothing() -> None:
    """An allowance of 0 has no percentage; everything is over it."""
    own = parse_override({"meters": {"api_calls": {"included": "0", "overage": "0.5"}}})
    billing = STARTER.model_copy(update={"override": own})
    row = meters(answer([used(http_requests=1000)], billing=billing))["api_calls"]
    assert (None, "1", "0.50") == (row["percent"], row["overage"], row["overage_amount"])


@pytest.mark.parametrize(
    ("now", "elapsed"),
    [
        (START, "0"),
        (HALF + timedelta(minutes=59), "0.5"),
        (END - timedelta(seconds=1), "0.9986"),
        (END + DAY, "1"),
    ],
)
def test_elapsed(now: datetime, elapsed: str) -> None:
    """The elapsed share counts full hours, from 0 to 1."""
    assert elapsed == answer([], now).model_dump(mode="json")["period"]["elapsed"]


def test_silent_instances() -> None:
    """An instance without a report for three hours is silent; one that never reported has not begun."""
    now = datetime(2026, 11, 22, 17, 0, tzinfo=UTC)
    recent = [
        report(now - 4 * HOUR, instance_id="old", span=(0, 3599)),
        report(now - 4 * HOUR, instance_id="edge", span=(0, 3600)),
        report(now - 4 * HOUR, instance_id="both", state_id="b"),
        report(now - HOUR, instance_id="both", span=(0, 60)),
    ]
    assert [
        InstanceState(id="both", last_report_at=now - timedelta(minutes=59), silent=False),
        InstanceState(id="edge", last_report_at=now - 3 * HOUR, silent=False),
        InstanceState(id="never", last_report_at=None, silent=False),
        InstanceState(id="old", last_report_at=now - 3 * HOUR - timedelta(seconds=1), silent=True),
    ] == instance_states(["never", "both"], recent, now)


def test_a_sixth_meter_shows_everywhere() -> None:
    """A meter that a plan sells besides is among the meters, the days and the lines, without code."""
    builtin = builtin_catalog()
    points = Meter(label="Points", metrics=("influxdb_points",), unit="point", unit_size=1, basis=Basis.SUM)
    price = Price(included=Decimal(10), overage=Decimal("0.5"))
    starter = builtin.plans["starter@1"]
    six = builtin.model_copy(
        update={
            "meters": builtin.meters | {"points": points},
            "plans": {"starter@1": starter.model_copy(update={"meters": starter.meters | {"points": price}})},
        }
    )
    billing = STARTER.on_plan("starter@1", STARTER.override, six)
    usage = PeriodUsage(billing, [used(influxdb_points=12)], six)
    given = current_period(usage, Standing("acme", as_of=HALF), HALF).model_dump(mode="json")
    assert ("12", "10", "2", "1.00") == tuple(
        given["meters"][-1][name] for name in ("billable", "included", "overage", "overage_amount")
    )
    assert ["12", "0"] == [day["meters"]["points"] for day in given["daily_breakdown"]][:2]
    assert {"name": "points", "label": "Points", "quantity": "12", "amount": "1.00"} == given[
        "estimated_invoice"
    ]["lines"][-1]


def test_a_catalogue_without_the_original_s_meters() -> None:
    """A meter of the original's that the catalogue lacks shows as nothing used, without a limit."""
    builtin = builtin_catalog()
    starter = builtin.plans["starter@1"]
    one = builtin.model_copy(
        update={
            "meters": {"storage": builtin.meters["storage"]},
            "plans": {
                "starter@1": starter.model_copy(update={"meters": {"storage": starter.meters["storage"]}})
            },
        }
    )
    usage = PeriodUsage(STARTER, [used(http_requests=5000)], one)
    given = current_period(usage, Standing("acme", as_of=HALF), HALF).model_dump(mode="json")
    assert ("0", None) == (given["api_calls"], given["plan_limits"]["api_calls"])
    assert None is given["daily_breakdown"][0]["api_calls"]


def test_adjustments_are_shown_with_who_when_and_why() -> None:
    """What an operator took is out of quantity and estimate, and is told with what it did not find."""
    made = Adjustment(
        customer_id="acme",
        period_start=START,
        number=1,
        meter="mqtt_traffic",
        quantity=Decimal(-20),
        first_hour=START,
        last_hour=START,
        reason="a test of ours",
        who="arn:aws:iam::123456789012:user/ada",
        at=HALF,
    )
    usage = PeriodUsage(STARTER, [used(mqtt_bytes_sent=15 * 2**30)], builtin_catalog(), (made,))
    given = current_period(usage, Standing("acme", as_of=HALF), HALF).model_dump(mode="json")

    assert [
        {
            "meter": "mqtt_traffic",
            "quantity": "-20",
            "unapplied": "-5",
            "first_hour": "2026-11-01T00:00:00Z",
            "last_hour": "2026-11-01T00:00:00Z",
            "reason": "a test of ours",
            "who": "arn:aws:iam::123456789012:user/ada",
            "at": "2026-11-16T00:00:00Z",
        }
    ] == given["adjustments"]
    assert ("0", "29.00") == (given["mqtt_gb"], given["estimated_invoice"]["total"])
