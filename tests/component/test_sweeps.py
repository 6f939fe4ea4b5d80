"""The hourly sweep through the function's own events: the fleet's fan-out, silence and return, the page."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest

from aggregate.messages import Task, read_task
from metering.core.accounts import Customer
from metering.core.instances import Instance, secret_digest
from metering.core.instants import HOUR, hour_of
from metering.tables.shards import SHARDS, shard_of
from testing.reports import document, report
from testing.tables import Calls
from tests.unit.test_template import RESOURCES

if TYPE_CHECKING:
    from datetime import datetime

    from tests.component.service import Service

GB = 2**30
CUSTOMER = "cust_8f2c"
SHARD_14 = {"work": "sweep_shard", "sweep": "hourly", "hour": "2026-11-22T14:00:00Z"}


def work_off(service: Service) -> list[dict[str, Any]]:
    """Work the queue off; return the bodies of all messages in the order they came."""
    (record,) = service.event("recompute")["Records"]
    bodies: list[dict[str, Any]] = []
    while messages := service._receive("aggregate"):
        bodies += [json.loads(message["Body"]) for message in messages]
        records = [record | {"body": m["Body"], "messageId": m["MessageId"]} for m in messages]
        assert {"batchItemFailures": []} == service.invoke("aggregate", {"Records": records})
        for message in messages:
            service.sqs.delete_message(QueueUrl=service.queue_url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


def kinds(service: Service) -> list[str]:
    """Return the kinds of the customer's alerts, all of them sent, in order."""
    rows = list(service.tables.alerts.of(CUSTOMER))
    assert all(row.sent for row in rows)
    return sorted(row.alert.kind.value for row in rows)


def sweep(service: Service, now: datetime) -> None:
    """Sweep the customer as the queue's message does, at a present of the test's own."""
    service.app("aggregate").alerts.sweep(CUSTOMER, now)


def reported(service: Service, hour: datetime, span: tuple[int, int] = (0, 3600), **changes: Any) -> None:
    """Store a report of an hour."""
    service.tables.reports.put(report(hour, span, **changes))


def test_the_template_schedules_the_tasks_there_are(service: Service) -> None:
    """Every task of the function has its schedule in the template, and no schedule asks for another."""
    events = RESOURCES["AggregateFunction"]["Properties"]["Events"].values()
    scheduled = [event["Properties"]["Input"] for event in events if event["Type"] == "ScheduleV2"]
    tasks = {get_args(kind.model_fields["task"].annotation)[0] for kind in get_args(Task.__value__)}
    assert tasks == {read_task(json.loads(task)).task for task in scheduled}


def test_the_sweep_reaches_every_customer_of_the_fleet_once(service: Service, customer: Customer) -> None:
    """The schedule's task enqueues a message for each shard, and each shard one for each of its customers."""
    ids = {CUSTOMER} | {f"acme{number}" for number in range(40)}
    for name in ids - {CUSTOMER}:
        service.tables.customers.add(Customer(customer_id=name, name=name, plan="starter@1"))
    assert {"sent": SHARDS} == service.invoke("aggregate", {"task": "sweep_hourly"})
    assert {"sent": SHARDS} == service.invoke("aggregate", {"task": "sweep_hourly"})
    bodies = work_off(service)
    assert set(range(SHARDS)) == {body["shard"] for body in bodies if "shard" in body}
    swept = [body["customer_id"] for body in bodies if "customer_id" in body]
    assert ids == set(swept)
    assert len(ids) == len(swept)
    assert {"sweep_shard", "sweep_alerts"} == {body["work"] for body in bodies}


def test_a_sweep_keeps_each_customer_in_its_shard(service: Service, customer: Customer) -> None:
    """A shard's message reaches that shard's customers and no other's."""
    (record,) = service.event("recompute")["Records"]
    for shard in {shard_of(CUSTOMER), (shard_of(CUSTOMER) + 1) % SHARDS}:
        body = json.dumps(SHARD_14 | {"shard": shard})
        service.invoke("aggregate", {"Records": [record | {"body": body}]})
        expected = [CUSTOMER] if shard == shard_of(CUSTOMER) else []
        assert expected == [message["customer_id"] for message in service.queued()]


def test_an_instance_that_stops_reporting_is_told_and_so_is_its_return(
    service: Service, customer: Customer, now: datetime
) -> None:
    """Silence is told once, after three hours, and so is the return; a second silence is told again."""
    last = hour_of(now)
    reported(service, last, (0, 300))
    sweep(service, last + 3 * HOUR + timedelta(minutes=4))
    assert [] == kinds(service)
    sweep(service, last + 3 * HOUR + timedelta(minutes=6))
    sweep(service, last + 4 * HOUR)
    sweep(service, last + 40 * HOUR)
    assert ["silent"] == kinds(service)
    reported(service, last + 40 * HOUR)
    sweep(service, last + 41 * HOUR)
    sweep(service, last + 42 * HOUR)
    assert ["back", "silent"] == kinds(service)
    sweep(service, last + 45 * HOUR)
    assert ["back", "silent", "silent"] == kinds(service)


def test_a_silence_is_found_after_an_outage_of_the_sweeps(
    service: Service, customer: Customer, now: datetime
) -> None:
    """A sweep that comes only 20 hours after the last report still tells the silence."""
    reported(service, hour_of(now))
    sweep(service, hour_of(now) + 20 * HOUR)
    assert ["silent"] == kinds(service)


def test_a_backlog_ends_no_silence(service: Service, customer: Customer, now: datetime) -> None:
    """Old hours that a returning instance delivers first are neither its return nor a second silence."""
    last = hour_of(now) - 10 * HOUR
    reported(service, last)
    sweep(service, last + 5 * HOUR)
    reported(service, last + HOUR)
    sweep(service, now)
    assert ["silent"] == kinds(service)


def test_instances_of_one_customer_are_silent_by_themselves(
    service: Service, customer: Customer, now: datetime
) -> None:
    """Of two instances the one that stopped is told, by its name; a revoked and a new one are not."""
    for name, digests in (("second", ("secret",)), ("new", ("secret",)), ("revoked", ())):
        service.tables.instances.put(
            Instance(customer_id=CUSTOMER, instance_id=name, digests=tuple(map(secret_digest, digests)))
        )
    reported(service, hour_of(now))
    for name in ("second", "revoked"):
        reported(service, hour_of(now) - 6 * HOUR, instance_id=name)
    sweep(service, now)
    (row,) = service.tables.alerts.of(CUSTOMER)
    assert "second" == row.alert.instance_id


def test_a_fleet_that_reports_is_swept_by_reading_keys(
    service: Service, customer: Customer, now: datetime
) -> None:
    """While every instance reports, a sweep reads no report's content, only keys of the last hours."""
    reported(service, hour_of(now))
    calls = Calls().watch(service.client)
    sweep(service, now)
    assert ["sk"] == [
        call.get("ProjectionExpression") for call in calls.of("Query") if call["TableName"] == "reports"
    ]


def test_a_customer_removed_meanwhile_is_passed_over(service: Service, now: datetime) -> None:
    """A message for a customer without a profile is done."""
    service.app("aggregate").alerts.sweep("gone", now)


@pytest.fixture
def crossed(service: Service, customer: Customer, last_hour: datetime) -> None:
    """The customer has used 8.5 of 10 GB in the last hour, and it is recomputed."""
    service.post(document(last_hour, counters={"mqtt_bytes_sent": int(8.5 * GB)}))
    service.aggregate()


def test_the_page_shows_alerts(service: Service, crossed: None) -> None:
    """A recomputed hour that crosses 80 % shows on the page, with id, kind, meter, threshold and text."""
    (alert,) = [a for a in service.get("current_period").body["alerts"] if a["kind"] == "usage"]
    assert alert["id"].startswith(f"{CUSTOMER}#")
    assert alert["id"].endswith("#mqtt_traffic#80")
    assert ("mqtt_traffic", 80) == (alert["meter"], alert["threshold"])
    assert "8.5 of 10 GB" in alert["message"]
    assert alert["at"].endswith("Z")


def test_the_page_shows_silence(service: Service, customer: Customer, now: datetime) -> None:
    """Silence and return show on the page, newest first, about no meter."""
    reported(service, hour_of(now) - 6 * HOUR)
    sweep(service, now - timedelta(minutes=2))
    reported(service, hour_of(now))
    sweep(service, now)
    alerts = service.get("current_period").body["alerts"]
    assert [("back", None, None), ("silent", None, None)] == [
        (alert["kind"], alert["meter"], alert["threshold"]) for alert in alerts
    ]


def test_a_new_alert_changes_the_page_s_tag(service: Service, customer: Customer, now: datetime) -> None:
    """A page that polls with its tag gets a new answer when an alert has come."""
    reported(service, hour_of(now) - 6 * HOUR)
    tag = service.get("current_period").headers["etag"]
    sweep(service, now)
    assert tag != service.get("current_period").headers["etag"]
