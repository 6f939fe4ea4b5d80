"""``ops simulate``: the same usage under another plan or a draft catalogue."""

from importlib import resources
from pathlib import Path

import pytest

from metering.core.instants import hour_of
from tests.component.ops.desk import Desk


@pytest.fixture
def fleet(desk: Desk) -> Desk:
    """A desk with a customer who used 20 GB on starter, and one with a fee of its own who used nothing."""
    desk.good("customers", "add", "acme", "--name", "Acme", "--no-stripe")
    override = '{"base_fee": "19"}'
    desk.good("customers", "add", "beta", "--name", "Beta", "--no-stripe", "--override", override)
    desk.used("acme", hour_of(desk.now), gib=20)
    return desk


@pytest.fixture
def draft(tmp_path: Path) -> str:
    """A draft of the catalogue with a starter that costs $39 and $1 a GB."""
    text = resources.files("metering.core").joinpath("catalog.toml").read_text(encoding="utf-8")
    dearer = text.replace('base_fee = "29.00"', 'base_fee = "39.00"')
    dearer = dearer.replace('included = "10", overage = "0.10"', 'included = "10", overage = "1"')
    path = tmp_path / "draft.toml"
    path.write_text(dearer, encoding="utf-8")
    return str(path)


def test_another_plan_for_one_customer(fleet: Desk) -> None:
    """$29 and ten GB over the limit at ten cents are $30 on starter and $99 on professional."""
    answer = fleet.good("simulate", "acme", "--plan", "professional", "--json").json

    [row] = answer["customers"]
    assert ("30.00", "99.00", "+69.00") == (row["total"], row["other_total"], row["difference"])


def test_a_draft_catalogue_for_the_fleet(fleet: Desk, draft: str) -> None:
    """Under a draft each customer is priced on its own plan; a fee of its own stays its own."""
    answer = fleet.good("simulate", "--catalog", draft, "--json").json

    assert [("acme", "49.00"), ("beta", "19.00")] == [
        (row["customer_id"], row["other_total"]) for row in answer["customers"]
    ]
    assert "+19.00" == answer["difference"]
    assert "together +19.00" in fleet.good("simulate", "--catalog", draft).out


def test_nothing_is_changed(fleet: Desk) -> None:
    """A simulation stores no period and leaves the plan."""
    before = fleet.tables.customers.account("acme")
    fleet.good("simulate", "--plan", "professional")

    assert before == fleet.tables.customers.account("acme")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--plan", "gold"), "no plan 'gold'"),
        (("--catalog", "none.toml"), "--catalog"),
        (("--period", "2026-01-01"), "--period needs a CUSTOMER"),
        (("acme", "--period", "1999-01-01"), "no period starts at"),
    ],
)
def test_wrong_input_is_named(fleet: Desk, arguments: tuple[str, ...], said: str) -> None:
    """A plan, file or period that does not exist ends with status 2."""
    assert said in fleet.wrong(2, "simulate", *arguments)


def test_a_draft_that_is_wrong_is_named(fleet: Desk, tmp_path: Path) -> None:
    """A draft that is no catalogue is named with what is wrong."""
    bad = tmp_path / "bad.toml"
    bad.write_text("currency = 5", encoding="utf-8")

    assert "--catalog: currency" in fleet.wrong(2, "simulate", "--catalog", str(bad))
