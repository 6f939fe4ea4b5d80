"""Alerts: what is told at which threshold, in which words, and under which id."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from metering.core.accounts import BillingPeriod, Customer
from metering.core.alerts import (
    Alert,
    AlertKind,
    LastReport,
    has_limits,
    may_be_silent,
    open_silences,
    silence_alerts,
    usage_alerts,
)
from metering.core.catalog import Override, Price, builtin_catalog
from testing.usage import given_usage

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 14, 10, 0, 123456, tzinfo=UTC)
CATALOG = builtin_catalog()
EARLY: dict[str, Decimal | None] = dict.fromkeys(CATALOG.meters)
HOUR = timedelta(hours=1)
UNLIMITED = Override(base_fee=Decimal(500), meters={meter: Price(unlimited=True) for meter in CATALOG.meters})


def told(
    used: dict[str, str],
    forecasts: dict[str, str] | None = None,
    override: Override | None = None,
    thresholds: tuple[int, ...] = (80, 90, 100),
    budget: str | None = None,
    now: datetime = NOW,
) -> list[Alert]:
    """Return the alerts of a customer on starter; a forecast that is not given is too early."""
    customer = Customer(
        customer_id="acme",
        name="Acme",
        plan="starter@1",
        thresholds=thresholds,
        budget=None if budget is None else Decimal(budget),
    )
    billing = BillingPeriod(start=START, end=END, plan="starter@1", override=override or Override())
    usage = given_usage(
        billing,
        quantities={meter: Decimal(quantity) for meter, quantity in used.items()},
        forecasts=EARLY | {meter: Decimal(quantity) for meter, quantity in (forecasts or {}).items()},
        catalog=CATALOG,
    )
    return usage_alerts(customer, usage, now)


def crossings(alerts: list[Alert]) -> list[tuple[str | None, str, int | None]]:
    """Return meter, kind and threshold of each alert."""
    return [(alert.meter, alert.kind.value, alert.threshold) for alert in alerts]


@pytest.mark.parametrize(
    ("quantity", "percentages"),
    [
        ("0", []),
        ("7.999999999", []),
        ("8", [80]),
        ("8.999999999", [80]),
        ("9", [80, 90]),
        ("10", [80, 90, 100]),
    ],
)
def test_thresholds(quantity: str, percentages: list[int]) -> None:
    """An allowance is told of at 80, 90 and 100 %, to the last of nine decimals."""
    assert [("mqtt_traffic", "usage", percent) for percent in percentages] == crossings(
        told({"mqtt_traffic": quantity})
    )


def test_first_overage() -> None:
    """The first unit beyond the allowance is told by itself, with its price."""
    alerts = told({"api_calls": "100.000000001"})
    assert [80, 90, 100, None] == [alert.threshold for alert in alerts]
    assert ("api_calls", "overage", None) == crossings(alerts)[-1]
    assert (
        "API calls: all that the Starter plan includes (100,000 calls) is used. "
        "What comes on top costs $0.50 per 1,000 calls."
    ) == alerts[-1].message


def test_own_thresholds() -> None:
    """A customer's own thresholds take the place of the usual ones, beyond 100 % too, each once."""
    assert [50, 150, None] == [a.threshold for a in told({"storage": "7.5"}, thresholds=(150, 50, 50))]


def test_nothing_included() -> None:
    """Of nothing included there is no share: the first unit is overage, and before it there is nothing."""
    override = Override(meters={"devices": Price(included=Decimal(0), overage=Decimal(2))})
    assert [] == told({"devices": "0"}, override=override)
    assert [("devices", "overage", None)] == crossings(told({"devices": "0.1"}, override=override))


def test_own_allowance() -> None:
    """A customer's own allowance counts, not the plan's."""
    override = Override(meters={"mqtt_traffic": Price(included=Decimal(1000), overage=Decimal(1))})
    assert [] == told({"mqtt_traffic": "799"}, override=override)
    assert [80] == [a.threshold for a in told({"mqtt_traffic": "800"}, override=override)]


def test_unlimited_meters_never_alert() -> None:
    """An unlimited meter alerts at no quantity and at no forecast."""
    enormous = dict.fromkeys(CATALOG.meters, "1000000000")
    assert [] == told(enormous, enormous, override=UNLIMITED)


def test_nothing_to_watch() -> None:
    """A period without a limit and without a budget needs no evaluation; with either it does."""
    customer = Customer(customer_id="acme", name="Acme", plan="starter@1")
    with_budget = customer.model_copy(update={"budget": Decimal(1)})
    unlimited, limited = CATALOG.terms("starter@1", UNLIMITED), CATALOG.terms("starter@1")
    assert [False, True, True] == [
        has_limits(customer, unlimited),
        has_limits(customer, limited),
        has_limits(with_budget, unlimited),
    ]


def test_forecast() -> None:
    """A forecast that reaches the allowance is told; one below it, or too early, is not."""
    (alert,) = told({"mqtt_traffic": "4"}, {"mqtt_traffic": "10"})
    assert ("mqtt_traffic", "forecast", 100) == crossings([alert])[0]
    assert (
        "MQTT traffic: at the present pace it will be 10 GB by 1 December 2026, 00:00 UTC; "
        "the Starter plan includes 10 GB."
    ) == alert.message
    assert [] == told({"mqtt_traffic": "4"}, {"mqtt_traffic": "9.999999999"})


def test_forecast_of_what_happened() -> None:
    """Once the allowance is used, the forecast has nothing more to tell."""
    assert AlertKind.FORECAST not in {a.kind for a in told({"mqtt_traffic": "10"}, {"mqtt_traffic": "30"})}


def test_budget() -> None:
    """A money budget is told of at the customer's thresholds of the estimated invoice, fee included."""
    alerts = told({"devices": "12.5"}, budget="40.00")
    assert [(None, "budget", 80)] == crossings([alert for alert in alerts if alert.meter is None])
    assert (
        "The invoice of this period has reached 80 % of your budget: it stands at $34.00 of $40.00, "
        "before discounts and tax."
    ) == alerts[-1].message


def test_budget_forecast() -> None:
    """A forecast of the invoice that reaches the budget is told, but only when every meter has one."""
    forecasts = dict.fromkeys(CATALOG.meters, "1") | {"mqtt_traffic": "40"}
    (alert,) = [a for a in told({}, forecasts, budget="32.00", thresholds=()) if a.meter is None]
    assert (AlertKind.BUDGET_FORECAST, "acme#2026-11-01T00:00:00Z#_budget#forecast") == (
        alert.kind,
        alert.alert_id,
    )
    assert "$32.00 by 1 December 2026, 00:00 UTC" in alert.message
    del forecasts["devices"]
    assert [] == [a for a in told({}, forecasts, budget="32.00") if a.kind is AlertKind.BUDGET_FORECAST]


def test_a_budget_of_nothing_is_told_of_once() -> None:
    """Of a budget of nothing there is no share: the first cent is told, once, in words that fit."""
    alerts = [alert for alert in told({}, budget="0") if alert.meter is None]
    assert [(None, "budget", 100)] == crossings(alerts)
    assert (
        "Your budget is $0.00; the invoice of this period stands at $29.00, before discounts and tax."
    ) == alerts[0].message
    assert ["acme#2026-11-01T00:00:00Z#_budget#100"] == [
        alert.alert_id for alert in told({}, budget="0", thresholds=())
    ]
    free = Override(base_fee=Decimal(0))
    assert [] == told({}, dict.fromkeys(CATALOG.meters, "0"), override=free, budget="0")


def test_a_period_that_is_over_is_told_as_such() -> None:
    """What is told of a period after its end names the period's end, and nothing of it is forecast."""
    forecasts = dict.fromkeys(CATALOG.meters, "1") | {"mqtt_traffic": "40"}
    alerts = told({"mqtt_traffic": "8.5"}, forecasts, budget="32.00", thresholds=(80,), now=END)
    assert [("mqtt_traffic", "usage", 80), (None, "budget", 80)] == crossings(alerts)
    assert (
        "Of the period that ended on 1 December 2026, 00:00 UTC: MQTT traffic: 80 % of what the Starter plan "
        "includes is used, 8.5 of 10 GB."
    ) == alerts[0].message
    before = told({"mqtt_traffic": "8.5"}, budget="32.00", thresholds=(80,), now=END - timedelta(seconds=1))
    assert [alert.alert_id for alert in before] == [alert.alert_id for alert in alerts]


def test_stable_ids() -> None:
    """An alert's id says what was crossed, whatever the quantity and the moment, and parts all crossings."""
    later = told({"mqtt_traffic": "50"}, {"http_traffic": "12"}, now=NOW + 9 * HOUR, budget="10")
    first = told({"mqtt_traffic": "10.1"}, {"http_traffic": "11"}, budget="10")
    assert [alert.alert_id for alert in first] == [alert.alert_id for alert in later]
    assert len(first) == len({alert.alert_id for alert in first})
    assert "acme#2026-11-01T00:00:00Z#mqtt_traffic#80" == first[0].alert_id


def test_words() -> None:
    """A text says which meter, how much of what, in the customer's units, and never rounds up."""
    assert (
        "MQTT traffic: 80 % of what the Starter plan includes is used, 8.99 of 10 GB."
        == told({"mqtt_traffic": "8.999999999"})[0].message
    )
    assert (
        "API calls: 80 % of what the Starter plan includes is used, 85,999 of 100,000 calls."
        == told({"api_calls": "85.9999"})[0].message
    )
    assert (
        "Devices: 80 % of what the Starter plan includes is used, 8.5 of 10 devices, "
        "averaged over the whole period."
    ) == told({"devices": "8.5"})[0].message
    assert told({"devices": "11"})[-1].message.endswith("costs $2.00 per device for the whole period.")


def test_an_alert_survives_its_json() -> None:
    """What is stored is what was raised, to the whole second."""
    (alert,) = told({"mqtt_traffic": "8"})
    assert alert == Alert.model_validate_json(alert.model_dump_json(exclude_defaults=True))
    assert NOW.replace(microsecond=0) == alert.at


def last(hours_ago: int, until: timedelta = HOUR) -> LastReport:
    """Return a last report of the hour that began so many full hours before the present one."""
    hour = NOW.replace(minute=0, second=0, microsecond=0) - hours_ago * HOUR
    return LastReport(hour, hour + until)


@pytest.mark.parametrize(
    ("newest", "silent"),
    [
        (last(0, timedelta(minutes=5)), False),
        (last(3), False),
        (last(3, timedelta(minutes=11)), False),
        (last(3, timedelta(minutes=9)), True),
        (last(4), True),
    ],
)
def test_silence(newest: LastReport, silent: bool) -> None:  # noqa: FBT001  a table's column
    """An instance is silent when its newest report covers nothing of the last three hours."""
    alerts = silence_alerts("acme", ["default"], {"default": newest}, {}, NOW)
    assert ([AlertKind.SILENT] if silent else []) == [alert.kind for alert in alerts]
    assert not silent or may_be_silent(newest.hour, NOW)


def test_silence_is_told_once_and_so_is_the_return() -> None:
    """A known silence is not told again; its end is, under an id of its own that names the same silence."""
    (silent,) = silence_alerts("acme", ["a"], {"a": last(5)}, {}, NOW)
    known = open_silences([silent])
    assert [] == silence_alerts("acme", ["a"], {"a": last(5)}, known, NOW)
    (back,) = silence_alerts("acme", ["a"], {"a": last(0)}, known, NOW)
    assert ["silent#a#2026-11-22T09:00:00Z", "back#a#2026-11-22T09:00:00Z"] == [silent.key, back.key]
    assert {} == open_silences([back, silent])
    assert [] == silence_alerts("acme", ["a"], {"a": last(0)}, {}, NOW)


def test_a_second_silence() -> None:
    """An instance that falls silent again after its return is told again, as another alert."""
    first = silence_alerts("acme", ["a"], {"a": last(50)}, {}, NOW - 40 * HOUR)
    first += silence_alerts("acme", ["a"], {"a": last(9)}, open_silences(first), NOW - 8 * HOUR)
    (second,) = silence_alerts("acme", ["a"], {"a": last(9)}, open_silences(first), NOW)
    assert {"a": second.last_hour} == open_silences([*first, second])
    assert second.alert_id not in {alert.alert_id for alert in first}


def test_old_hours_that_come_late_are_no_second_silence() -> None:
    """While a silence is known, reports of hours long past neither end it nor start another."""
    assert [] == silence_alerts("acme", ["a"], {"a": last(9)}, {"a": last(20).hour}, NOW)


def test_an_instance_that_never_reported_is_not_silent() -> None:
    """Silence begins after a first report; an instance without a key is nobody's."""
    assert [] == silence_alerts("acme", ["new"], {"revoked": last(9)}, {}, NOW)


def test_words_of_silence() -> None:
    """A silence's text names the instance and until when its report covers; the return names both."""
    (silent,) = silence_alerts("acme", ["a"], {"a": last(5, timedelta(minutes=35))}, {}, NOW)
    assert silent.message.startswith(
        "Instance a is silent: its last report covers the time until 22 November 2026, 09:35 UTC."
    )
    (back,) = silence_alerts("acme", ["a"], {"a": last(0)}, open_silences([silent]), NOW)
    assert back.message.startswith("Instance a reports again.")
