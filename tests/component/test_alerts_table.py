"""Alerts in the Customers table: put once, sent once, found by period, and gone when they have expired."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from metering.core.accounts import Customer
from metering.core.alerts import Alert, AlertKind
from metering.core.instances import Instance
from metering.core.instants import DAY
from metering.tables.alerts import Alerts, StoredAlert
from metering.tables.customers import Customers
from metering.tables.instances import Instances
from testing.tables import create_table, items_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOVEMBER, DECEMBER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
NINE, AT = datetime(2026, 11, 22, 9, tzinfo=UTC), datetime(2026, 11, 22, 14, 10, tzinfo=UTC)


def usage(percent: int, period: datetime = NOVEMBER, customer: str = "acme") -> Alert:
    """Return an alert of a meter."""
    return Alert(
        customer_id=customer,
        kind=AlertKind.USAGE,
        period=period,
        meter="mqtt_traffic",
        threshold=percent,
        message=f"{percent} %",
        at=AT,
    )


def silence(kind: AlertKind = AlertKind.SILENT) -> Alert:
    """Return an alert of an instance."""
    return Alert(
        customer_id="acme",
        kind=kind,
        instance_id="a",
        last_hour=NINE,
        message="silent",
        at=AT,
    )


@pytest.fixture
def alerts(client: DynamoDBClient) -> Alerts:
    """The table under test."""
    return Alerts(client, "table")


def test_an_alert_is_put_once_and_then_sent(alerts: Alerts) -> None:
    """An alert is new once, pending until it is marked sent; putting it again changes nothing."""
    assert alerts.put_pending(usage(80))
    assert [StoredAlert(usage(80), sent=False)] == list(alerts.of("acme"))
    alerts.mark_sent(usage(80))
    assert not alerts.put_pending(usage(80).model_copy(update={"message": "another text"}))
    assert [StoredAlert(usage(80), sent=True)] == list(alerts.of("acme"))


def test_of_workers_at_the_same_moment_one_wins(exact_client: DynamoDBClient) -> None:
    """Of eight workers that cross a threshold at the same moment one puts the alert: one item is there."""
    create_table(exact_client, "table")
    alerts, start = Alerts(exact_client, "table"), threading.Barrier(8)

    def cross() -> bool:
        start.wait()
        return alerts.put_pending(usage(80))

    with ThreadPoolExecutor(8) as workers:
        won = [future.result() for future in [workers.submit(cross) for _ in range(8)]]
    assert 1 == sum(won)
    assert 1 == len(items_of(exact_client))


def test_an_expired_alert_stays_gone(alerts: Alerts, client: DynamoDBClient) -> None:
    """Marking an alert that has expired meanwhile brings no broken item back."""
    alerts.mark_sent(usage(80))
    assert [] == items_of(client)


def test_alerts_of_a_period(alerts: Alerts) -> None:
    """A period's alerts are found apart from other periods, silences and customers."""
    for alert in (
        usage(80),
        usage(90, DECEMBER),
        usage(80, customer="acme2"),
        silence(),
        silence(AlertKind.BACK),
    ):
        alerts.put_pending(alert)
    assert [usage(80)] == [row.alert for row in alerts.of_period("acme", NOVEMBER)]
    assert [usage(80), usage(90, DECEMBER), silence(AlertKind.BACK), silence()] == [
        row.alert for row in alerts.of("acme")
    ]
    assert [usage(90, DECEMBER), silence(AlertKind.BACK), silence()] == [
        row.alert for row in alerts.since("acme", DECEMBER)
    ]


def test_alerts_alone_expire(alerts: Alerts, client: DynamoDBClient) -> None:
    """An alert of a period expires with its hours, after 400 days, a silence after 60; profiles never do."""
    customers = Customers(client, "table")
    customers.add(Customer(customer_id="acme", name="Acme", plan="starter@1"))
    Instances(client, "table").put(Instance(customer_id="acme", instance_id="a", digests=()))
    alerts.put_pending(usage(80))
    alerts.put_pending(silence())
    kept = {item["sk"]["S"]: int(item["ttl"]["N"]) for item in items_of(client) if "ttl" in item}
    assert {
        "alert#2026-11-01T00:00:00Z#mqtt_traffic#80": int((AT + 400 * DAY).timestamp()),
        "alert#silent#a#2026-11-22T09:00:00Z": int((AT + 60 * DAY).timestamp()),
    } == kept
