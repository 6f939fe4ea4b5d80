"""What the service stored before it asked what is billed is read, goes on, and bills the same.

`recorded/` has the tables of five customers as an older service left them, the calls that made their Stripe
account, and what that service then did and got (its README says by which code).
"""

import base64
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from metering.aws.observability import metrics
from metering.core.accounts import BillingPeriod, Customer, PeriodState
from metering.core.alerts import Alert, usage_alerts
from metering.core.catalog import builtin_catalog
from metering.core.charges import ChargeState
from metering.core.instances import Instance
from metering.core.late_usage import LateItem
from metering.tables.ledger import PENDING, SENT, Ledger, refused
from metering.tables.usage import period_usage
from ops.late_usage import Billing
from stripe_simulator.engine.state import Settings
from stripe_simulator.serving.account import Call, StripeAccount
from testing.dynamodb import FakeDynamoDb
from tests.stripe.fleet import Fleet

RECORDED = Path(__file__).with_name("recorded")
NOW = datetime.fromisoformat("2026-05-11T07:00:00+00:00")
TEMPLATE = Path(__file__).parents[2] / "template.yaml"
CATALOG = builtin_catalog()


def _read(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))


THEN = _read("then")


def _attribute(value: dict[str, str]) -> dict[str, Any]:
    return {kind: base64.b64decode(text) if kind == "B" else text for kind, text in value.items()}


def _tables() -> FakeDynamoDb:
    dynamodb = FakeDynamoDb()
    for table, items in _read("tables").items():
        for item in items:
            dynamodb.put_item(TableName=table, Item={name: _attribute(value) for name, value in item.items()})
    return dynamodb


def _account() -> StripeAccount:
    """Make the calls again that made the account; ids are counted, so they are the same."""
    recorded = _read("stripe")
    # As the account was understood then: a first hour that was dated back is billed with its period, and what
    # is reported after a change of plan at the price that it had.
    kinder: Any = {"backdated_usage": "cycle_invoice", "late_after_price_change": "old_price"}
    account = StripeAccount(Settings(**recorded["settings"][0], **kinder))
    for call in recorded["calls"]:
        now = call.pop("now")
        account.answer(Call(**call, api_key="sk_test_recorded"), now)
    return account


def _fleet() -> Fleet:
    fleet = Fleet(_tables(), _account(), NOW)
    fleet.at(NOW)
    return fleet


def _alarmed() -> set[str]:
    """Return the names of counts that the template has an alarm for."""
    return set(re.findall(r"MetricName: ([a-z_]+)\n", TEMPLATE.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class GoneOn:
    """The recorded customers after the recorded steps: what was counted on the way, what Stripe was given."""

    fleet: Fleet
    counted: Counter[str]
    sent: list[str]


@pytest.fixture(scope="module")
def gone_on() -> GoneOn:
    """The recorded customers, after their open and closing periods became final."""
    fleet, counted = _fleet(), Counter[str]()
    before = len(fleet.events())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "add_metric", lambda name, unit, value: counted.update({name: value}))
        fleet.go_on(THEN["steps"])
    return GoneOn(fleet, counted, fleet.events()[before:])


# ------------------------------------------------------------------ reading and writing


def test_the_recorded_account_is_the_one_that_the_older_service_had() -> None:
    """The calls, made again, give every invoice that the recorded periods name, with the recorded total."""
    fleet = _fleet()
    invoices = fleet.invoices()
    named = [
        period
        for customer_id in fleet.customers()
        for period in fleet.tables.customers.periods(customer_id)
        if period.invoice_id is not None
    ]
    assert 4 == len(named)
    for period in named:
        assert period.invoice_total == Decimal(invoices[str(period.invoice_id)]["total"]).scaleb(-2)


def test_recorded_records_are_written_as_they_were_read() -> None:
    """A record is replaced on condition that it is as it was read: the recorded one is written the same."""
    read = 0
    models: dict[str, Any] = {
        "profile": Customer,
        "period": BillingPeriod,
        "late": LateItem,
        "instance": Instance,
        "alert": Alert,
    }
    for item in _read("tables")["customers"]:
        if "j" in item:
            model = models[item["sk"]["S"].partition("#")[0]]
            stored = item["j"]["S"]
            assert stored == model.model_validate_json(stored).model_dump_json(exclude_defaults=True)
            read += 1
    assert 42 == read


def test_recorded_days_of_the_ledger_are_written_as_they_were_read() -> None:
    """A day of the ledger, with sent, pending and refused numbers, is written byte by byte as it was read."""
    states = set()
    for item in _read("tables")["ledger"]:
        recorded = {name: _attribute(value) for name, value in item.items()}
        dynamodb = FakeDynamoDb()
        ledger = Ledger(cast("Any", dynamodb), "ledger")
        dynamodb.put_item(TableName="ledger", Item=recorded)
        day = ledger.day(item["pk"]["S"], date.fromisoformat(item["sk"]["S"]))
        states |= {entry.state for entry in day.entries.values()}
        before = day.version - 1
        dynamodb.put_item(TableName="ledger", Item=recorded | {"n": {"N": str(before)}})
        ledger.put(replace(day, version=before))
        assert [recorded] == dynamodb.items("ledger")
    assert {SENT, PENDING, refused("archived_meter")} == states


def test_a_recorded_crossing_is_the_alert_that_was_told() -> None:
    """No alert of usage that the older service told is told again: it is found under the same key."""
    fleet = _fleet()
    for customer_id in ("acme", "kestrel", "nordwind"):
        customer = fleet.tables.customers.customer(customer_id)
        assert customer is not None
        told = {stored.alert.key for stored in fleet.tables.alerts.of(customer_id)}
        found = {
            alert.key
            for period in fleet.tables.customers.periods(customer_id)
            if period.state is not PeriodState.FINALISED
            for alert in usage_alerts(customer, period_usage(fleet.tables, customer_id, period, CATALOG), NOW)
        }
        assert {key for key in told if "forecast" not in key} <= found


# ------------------------------------------------------------------ going on


def test_a_recorded_account_bills_the_same(gone_on: GoneOn) -> None:
    """Every invoice has the quantities and amounts that the older service got from there on."""
    assert THEN["invoices"] == gone_on.fleet.invoices()


def test_nothing_that_was_sent_is_sent_again(gone_on: GoneOn) -> None:
    """Stripe is given the events that the older service gave it from there on, each once."""
    assert sorted(THEN["events"]) == sorted(gone_on.sent)
    assert len(set(gone_on.sent)) == len(gone_on.sent)


def test_recorded_periods_end_as_they_would_have(gone_on: GoneOn) -> None:
    """Each period has the bounds, plan, state and invoiced quantities that the older service gave it."""
    assert THEN["periods"] == gone_on.fleet.periods()


def test_recorded_final_periods_stay_as_they_were_stored(gone_on: GoneOn) -> None:
    """A period that was final before is never written again, with an invoice or without."""
    final = [item for item in _read("tables")["customers"] if '"finalised"' in item.get("j", {"S": ""})["S"]]
    assert 7 == len(final)
    for item in final:
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        assert item == gone_on.fleet.dynamodb.item("customers", pk, sk)


def test_no_alarm_is_raised_on_the_way(gone_on: GoneOn) -> None:
    """Usage is conserved every night, and nothing is counted that an alarm watches."""
    assert [] == gone_on.fleet.differences
    assert set() == _alarmed() & set(gone_on.counted)
    assert 6 == gone_on.counted["periods_finalised"]


def test_nothing_of_a_recorded_account_is_late_or_unbilled(gone_on: GoneOn) -> None:
    """No period has late usage, a credit, or usage that nobody bills."""
    fleet = gone_on.fleet
    billing = Billing(fleet.tables, CATALOG, fleet.now, fleet.stripe, credit_limit=Decimal(1000))
    for customer_id in fleet.customers():
        account = fleet.tables.customers.account(customer_id)
        assert account is not None
        assert [] == [late.usage for late in billing.late(account) if late.usage]
        assert [] == billing.unbilled(account)


def test_recorded_late_items_are_made_once() -> None:
    """Of recorded late items that alone is made of which Stripe has none; those it has are written down."""
    fleet = _fleet()
    billing = Billing(fleet.tables, CATALOG, fleet.now, fleet.stripe)
    made = []
    for _ in range(2):
        for customer_id in fleet.customers():
            account = fleet.tables.customers.account(customer_id)
            assert account is not None
            made += [item.item_id for item, _ in billing.bill(account, billing.late(account))]
    assert ["acme.20260310T120000.2"] == made
    account = fleet.tables.customers.account("acme")
    assert account is not None
    [period] = billing.late(account)
    # The first lies on the draft of the closing period, the second waits for the next.
    assert [ChargeState.MADE, ChargeState.MADE] == [
        state for _, state in billing.states(account, period.billed)
    ]
    left = fleet.tables.customers.account("gone")
    assert left is not None
    [period] = billing.late(left)
    assert [ChargeState.INVOICED] == [state for _, state in billing.states(left, period.billed)]
