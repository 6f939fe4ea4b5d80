"""Invoice lines: graduated tiers, exact, rounded once."""

from decimal import Decimal

import pytest

from metering.core.catalog import Tier, builtin_catalog, parse_override
from metering.core.rating import BASE_FEE, invoice_total, quantities, rate, tiered_amount, to_cent
from testing.reports import HOUR

STARTER = builtin_catalog().terms("starter@1")


@pytest.mark.parametrize(
    ("devices", "over", "amount"),
    [
        ("12.5", "2.5", "5.00"),
        ("10", "0", "0.00"),
        ("10.000000001", "0.000000001", "0.00"),
        ("10.0025", "0.0025", "0.01"),
        ("10.002499999", "0.002499999", "0.00"),
        ("0", "0", "0.00"),
        ("1000000010", "1000000000", "2000000000.00"),
    ],
)
def test_devices_on_starter(devices: str, over: str, amount: str) -> None:
    """Only what exceeds the allowance costs: 12.5 device-months on starter are 2.5 over, $5.00."""
    line = {line.meter: line for line in rate({"devices": Decimal(devices)}, STARTER)}["devices"]
    assert (Decimal(devices), Decimal(over), amount) == (line.quantity, line.overage, str(line.amount))


@pytest.mark.parametrize(
    ("exact", "rounded"), [("0.005", "0.01"), ("0.0149999", "0.01"), ("0.015", "0.02"), ("2.675", "2.68")]
)
def test_half_a_cent_goes_up(exact: str, rounded: str) -> None:
    """Half a cent is rounded up, not to the even neighbour and not as a float would."""
    assert Decimal(rounded) == to_cent(Decimal(exact))


def test_rounded_once_a_line() -> None:
    """A line is rounded once, after its tiers are added, not tier by tier."""
    tiers = (Tier(Decimal(1), Decimal("0.004")), Tier(None, Decimal("0.004")))
    assert Decimal("0.01") == tiered_amount(Decimal(2), tiers)


def test_graduated_tiers() -> None:
    """Each tier prices only the units that fall into it."""
    tiers = (Tier(Decimal(10), Decimal(0)), Tier(Decimal(20), Decimal(2)), Tier(None, Decimal(1)))
    amounts = [tiered_amount(Decimal(units), tiers) for units in ("9.5", "12.5", "20", "25")]
    assert [Decimal(0), Decimal(5), Decimal(20), Decimal(25)] == amounts


def test_no_tiers_cost_nothing() -> None:
    """An unlimited meter costs nothing, whatever was used."""
    unlimited = builtin_catalog().terms("enterprise@1", parse_override({"base_fee": "1000"}))
    lines = rate(dict.fromkeys(unlimited.meters, Decimal(10**12)), unlimited)
    assert Decimal("1000.00") == invoice_total(lines)
    assert {Decimal(0)} == {line.overage for line in lines}


def test_every_meter_has_its_line() -> None:
    """The base fee's line comes first, then one line for each meter, with 0 where nothing was used."""
    lines = rate({}, STARTER)
    assert [BASE_FEE, *STARTER.meters] == [line.meter for line in lines]
    assert (Decimal(1), Decimal("29.00")) == (lines[0].quantity, lines[0].amount)
    assert Decimal("29.00") == invoice_total(lines)


def test_an_invoice_of_every_meter() -> None:
    """The page's prices apply meter by meter, and the total adds the rounded lines."""
    used = {"mqtt_traffic": "15", "http_traffic": "12", "storage": "6", "api_calls": "101", "devices": "11"}
    lines = rate({meter: Decimal(units) for meter, units in used.items()}, STARTER)
    assert {
        BASE_FEE: "29.00",
        "mqtt_traffic": "0.50",
        "http_traffic": "0.30",
        "storage": "0.20",
        "api_calls": "0.50",
        "devices": "2.00",
    } == {line.meter: str(line.amount) for line in lines}
    assert "32.50" == str(invoice_total(lines))


def test_the_total_is_of_rounded_lines() -> None:
    """Each line is rounded by itself: two lines of half a cent make two cents."""
    used = {"mqtt_traffic": Decimal("10.05"), "storage": Decimal("5.025")}
    assert Decimal("29.02") == invoice_total(rate(used, STARTER))


def test_the_override_is_charged() -> None:
    """A customer's own price is charged in place of the plan's."""
    own = parse_override({"base_fee": "19", "meters": {"devices": {"included": "0", "overage": "3"}}})
    assert Decimal("22.00") == invoice_total(
        rate({"devices": Decimal(1)}, builtin_catalog().terms("starter@1", own))
    )


def test_large_quantities_lose_no_cent() -> None:
    """Quantities beyond a float's or an ordinary decimal's precision are priced to the cent."""
    units = Decimal("1234567890123456789012345678.0000005")
    assert "1234567890123456789012345.68" == str(tiered_amount(units, (Tier(None, Decimal("0.001")),)))


def test_quantities_are_sums_of_contributions() -> None:
    """What is priced is the sum of the contributions."""
    contributed = {"devices": {HOUR: Decimal("1.5"), HOUR.replace(hour=14): Decimal("0.5")}, "storage": {}}
    assert {"devices": Decimal(2), "storage": Decimal(0)} == quantities(contributed)


def test_the_same_usage_is_priced_under_another_plan() -> None:
    """60 device-months: 29 + 50 x 2 on starter, 99 + 10 x 2 on professional, 10 dollars less."""
    catalog = builtin_catalog()
    used = {"devices": Decimal(60)}

    assert Decimal("129.00") == invoice_total(rate(used, catalog.terms("starter@1")))
    assert Decimal("119.00") == invoice_total(rate(used, catalog.terms("professional@1")))
