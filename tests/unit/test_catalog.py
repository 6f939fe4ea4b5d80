"""The catalogue: the built-in one is billing's table, and a wrong one fails at load with its entry named."""

from decimal import Decimal
from typing import Any

import pytest

from metering.core.basis import Basis
from metering.core.catalog import CatalogError, Price, Tier, builtin_catalog, parse_catalog, parse_override

METER = """
[meters.api_calls]
label = "API calls"
metrics = ["http_requests"]
unit = "1,000 calls"
unit_size = 1000
basis = "sum"
"""
PLAN = """
[plans."starter@1"]
label = "Starter"
base_fee = "29.00"
[plans."starter@1".meters]
api_calls = { included = "100", overage = "0.50" }
"""
SMALL = f'currency = "usd"\n{METER}{PLAN}'


def test_the_meters() -> None:
    """The five meters are those of billing's table: metrics, unit, size and basis."""
    found = {
        name: (set(meter.metrics), meter.unit, meter.unit_size, str(meter.basis))
        for name, meter in builtin_catalog().meters.items()
    }
    sizes = {"postgres_size_bytes", "influxdb_size_bytes", "object_storage_bytes"}
    assert {
        "mqtt_traffic": ({"mqtt_bytes_sent", "mqtt_bytes_received"}, "GB", 2**30, "sum"),
        "http_traffic": ({"http_bytes_sent", "http_bytes_received"}, "GB", 2**30, "sum"),
        "api_calls": ({"http_requests"}, "1,000 calls", 1000, "sum"),
        "storage": (sizes, "GB", 2**30, "average"),
        "devices": ({"active_devices"}, "device", 1, "average"),
    } == found


@pytest.mark.parametrize(
    ("plan", "fee", "devices", "mqtt", "http", "storage", "calls"),
    [("starter@1", "29", 10, 10, 10, 5, 100_000), ("professional@1", "99", 50, 100, 100, 50, 1_000_000)],
)
def test_the_plans(plan: str, fee: str, devices: int, mqtt: int, http: int, storage: int, calls: int) -> None:
    """Fees and allowances are those of billing's table."""
    terms = builtin_catalog().terms(plan)
    assert Decimal(fee) == terms.base_fee
    assert {
        "devices": devices,
        "mqtt_traffic": mqtt,
        "http_traffic": http,
        "storage": storage,
        "api_calls": calls // 1000,
    } == {name: price.included for name, price in terms.meters.items()}


@pytest.mark.parametrize("plan", ["starter@1", "professional@1"])
def test_the_overage_prices(plan: str) -> None:
    """Over the limit every plan charges the page's prices."""
    prices = {name: str(price.overage) for name, price in builtin_catalog().terms(plan).meters.items()}
    assert {
        "mqtt_traffic": "0.10",
        "http_traffic": "0.15",
        "storage": "0.20",
        "api_calls": "0.50",
        "devices": "2.00",
    } == prices


def test_enterprise_is_unlimited() -> None:
    """Enterprise has no limits, and no metered price on any meter; its fee is the contract's."""
    terms = builtin_catalog().terms("enterprise@1", parse_override({"base_fee": "1500.00"}))
    assert Decimal(1500) == terms.base_fee
    assert all(price.unlimited and not price.tiers for price in terms.meters.values())


def test_a_custom_fee_must_be_given() -> None:
    """A plan with a custom fee is not priced for a customer without a fee of its own."""
    with pytest.raises(CatalogError, match="base_fee"):
        builtin_catalog().terms("enterprise@1")


def edited(old: str, new: str) -> str:
    """Return the small catalogue with one text replaced."""
    assert old in SMALL
    return SMALL.replace(old, new)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (edited('"0.50"', "0.50"), "plans.starter@1.meters.api_calls.overage"),
        (edited('"100"', "100"), "plans.starter@1.meters.api_calls.included"),
        (edited('"100"', '"100.5"'), "plans.starter@1.meters.api_calls"),
        (edited('"100"', '"-1"'), "plans.starter@1.meters.api_calls.included"),
        (edited('"0.50"', '"NaN"'), "plans.starter@1.meters.api_calls.overage"),
        (edited('"0.50"', '"Infinity"'), "plans.starter@1.meters.api_calls.overage"),
        (edited('"0.50"', '"half"'), "plans.starter@1.meters.api_calls.overage"),
        (edited(', overage = "0.50"', ""), "plans.starter@1.meters.api_calls"),
        (edited('overage = "0.50"', "unlimited = true"), "plans.starter@1.meters.api_calls"),
        (edited('included = "100", overage = "0.50"', ""), "plans.starter@1.meters.api_calls"),
        (
            edited('overage = "0.50"', 'overage = "0.50", free = true'),
            "plans.starter@1.meters.api_calls.free",
        ),
        (edited('"29.00"', '"-29.00"'), "plans.starter@1.base_fee"),
        (edited('"29.00"', '"cheap"'), "plans.starter@1.base_fee"),
        (edited('[plans."starter@1"]', "[plans.starter]"), "plans.starter"),
        (edited("http_requests", "http_calls"), "meters.api_calls"),
        (edited("http_requests", "active_devices"), "meters.api_calls"),
        (edited('basis = "sum"', 'basis = "average"'), "meters.api_calls"),
        (edited('basis = "sum"', 'basis = "median"'), "meters.api_calls.basis"),
        (edited('["http_requests"]', "[]"), "meters.api_calls.metrics"),
        (edited("unit_size = 1000", "unit_size = 0"), "meters.api_calls.unit_size"),
        (edited("unit_size = 1000", "unit_size = 1000.0"), "meters.api_calls.unit_size"),
        (edited('"usd"', '"US$"'), "currency"),
        (edited('label = "API calls"', ""), "meters.api_calls.label"),
    ],
)
def test_a_wrong_entry_is_named(text: str, entry: str) -> None:
    """A wrong catalogue fails at load, and the text names the file and the entry."""
    with pytest.raises(CatalogError) as caught:
        parse_catalog(text, "prices.toml")
    assert any(line.startswith(f"prices.toml: {entry}") for line in str(caught.value).splitlines())


def test_every_wrong_entry_is_named() -> None:
    """All wrong entries of a catalogue are named at once."""
    with pytest.raises(CatalogError) as caught:
        parse_catalog(edited('"0.50"', "0.50").replace('"usd"', '"US$"'))
    assert 2 == len(str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (edited("api_calls = {", "calls = {"), "plan 'starter@1' prices meter 'calls', which does not exist"),
        (
            edited("api_calls = {", "storage = { unlimited = true }\napi_calls = {"),
            "plan 'starter@1' prices meter 'storage', which does not exist",
        ),
    ],
)
def test_plans_price_meters_that_exist(text: str, said: str) -> None:
    """A plan prices meters of the catalogue and nothing else; the text speaks of the catalogue alone."""
    with pytest.raises(CatalogError) as caught:
        parse_catalog(text, "prices.toml")
    assert f"prices.toml: {said}" == str(caught.value)


@pytest.mark.parametrize(
    ("currency", "decimals"),
    [("jpy", 0), ("krw", 0), ("isk", 0), ("ugx", 0), ("mga", 0), ("kwd", 3), ("bhd", 3), ("clf", 4)],
)
def test_a_currency_that_has_no_hundredths(currency: str, decimals: int) -> None:
    """A currency that is not counted in hundredths is refused at load: its amounts would be wrong."""
    with pytest.raises(CatalogError) as caught:
        parse_catalog(SMALL.replace("usd", currency), "prices.toml")
    assert f"prices.toml: currency: '{currency}' is charged with {decimals} decimals" in str(caught.value)


@pytest.mark.parametrize("currency", ["usd", "eur", "chf", "gbp"])
def test_a_currency_of_hundredths(currency: str) -> None:
    """A currency with two decimals is taken."""
    assert currency == parse_catalog(SMALL.replace("usd", currency)).currency


def test_text_that_is_no_toml() -> None:
    """Text that is no TOML fails at load with the file's name."""
    with pytest.raises(CatalogError, match=r"^prices\.toml: "):
        parse_catalog("[meters", "prices.toml")


def test_the_newest_version() -> None:
    """A plan's newest version is the one with the greatest number, not the last in the alphabet."""
    ten = SMALL + PLAN.replace("starter@1", "starter@9") + PLAN.replace("starter@1", "starter@10")
    assert "starter@10" == parse_catalog(ten).newest("starter")
    assert "starter@9" == parse_catalog(ten).newest("starter@9")


@pytest.mark.parametrize("plan", ["gold", "starter@2", "start", ""])
def test_an_unknown_plan(plan: str) -> None:
    """An unknown plan is refused, and those that exist are listed."""
    catalog = parse_catalog(SMALL)
    for ask in (catalog.newest, catalog.terms):
        with pytest.raises(CatalogError, match=r"starter@1"):
            ask(plan)


def test_an_override_takes_the_plan_s_place() -> None:
    """A customer's override changes what it names, is told apart as the customer's own, and nothing else."""
    own = parse_override({"meters": {"devices": {"included": "25", "overage": "1.50"}}})
    terms = builtin_catalog().terms("starter@1", own)
    plain = builtin_catalog().terms("starter@1")
    assert Price(included=Decimal(25), overage=Decimal("1.50")) == terms.meters["devices"]
    assert frozenset({"devices"}) == terms.overridden
    assert plain.base_fee == terms.base_fee
    rest = [name for name in plain.meters if name != "devices"]
    assert [plain.meters[name] for name in rest] == [terms.meters[name] for name in rest]


def test_an_override_of_nothing() -> None:
    """An override of a meter that does not exist is refused by name."""
    own = parse_override({"meters": {"lora": {"unlimited": True}}})
    with pytest.raises(CatalogError, match="'lora'"):
        builtin_catalog().terms("starter@1", own)


@pytest.mark.parametrize(
    "entries",
    [
        {"base_fee": 29.0},
        {"base_fee": "-1"},
        {"meters": {"devices": {"included": "1.5", "overage": "1"}}},
        {"discount": "0.1"},
        {"base_fee": Decimal("NaN")},
        {"base_fee": Decimal(-1)},
    ],
)
def test_a_wrong_override(entries: dict[str, Any]) -> None:
    """An override is checked like the catalogue: exact, finite, from 0, nothing unknown."""
    with pytest.raises(CatalogError, match=r"^override: "):
        parse_override(entries)


def test_tiers() -> None:
    """The allowance is the first tier at nothing, everything beyond it the last; no allowance, one tier."""
    two = Price(included=Decimal(10), overage=Decimal("0.10")).tiers
    assert (Tier(Decimal(10), Decimal(0)), Tier(None, Decimal("0.10"))) == two
    assert (Tier(None, Decimal("0.10")),) == Price(included=Decimal(0), overage=Decimal("0.10")).tiers


def test_a_basis_knows_its_kind_of_metric() -> None:
    """Sums are of counters; averages and peaks are of gauges."""
    assert ["counter", "gauge", "gauge"] == [str(basis.kind) for basis in Basis]
