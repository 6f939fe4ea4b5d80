"""The way of an alert: evaluated, put as pending, told on three channels, marked sent; and its crashes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from aggregate.alerts import TOLD_AGAIN_AFTER, AlertRaiser
from aggregate.publish import sender_of
from aggregate.recompute import recompute
from metering.aws.clients import RETRIES
from metering.core.accounts import BillingPeriod, Customer, PeriodState
from metering.core.alerts import Alert, AlertKind
from metering.core.catalog import Override, Price, builtin_catalog
from metering.core.instances import Instance, secret_digest
from metering.core.instants import DAY, HOUR
from metering.core.rollup import Hour
from metering.tables.tables import Tables
from testing.reports import report
from testing.tables import Calls, create_tables, items_of
from tests.component.channels import CUSTOMER, SENDER, Channels
from tests.unit.test_template import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

GB = 2**30
START = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
HOUR_13 = datetime(2026, 11, 22, 13, tzinfo=UTC)
NOW = HOUR_13 + HOUR + timedelta(minutes=2)
SWEEP = NOW + TOLD_AGAIN_AFTER + timedelta(minutes=3)
CATALOG = builtin_catalog()
ALL_IDS = {f"acme#2026-11-01T00:00:00Z#mqtt_traffic#{crossed}" for crossed in (80, 90, 100, "overage")}
ID_80 = "acme#2026-11-01T00:00:00Z#mqtt_traffic#80"


class Killed(BaseException):
    """The process died; no `except Exception` holds it up."""


@dataclass
class Interruption:
    """Ends a run after its n-th call of AWS is done, by an error or as a killed process; counts the calls."""

    at: int = -1
    error: BaseException | None = None
    done: list[str] = field(default_factory=list)

    def watch(self, *clients: Any) -> None:
        """Count the calls of these clients from now on."""
        for client in clients:
            client.meta.events.register("after-call", self._after)

    def _after(self, model: Any, **_: Any) -> None:
        self.done.append(model.name)
        if self.error is not None and len(self.done) - 1 == self.at:
            raise self.error


@dataclass(frozen=True)
class World:
    """What raises alerts over moto's tables, and its channels."""

    client: DynamoDBClient
    alerts: AlertRaiser
    tables: Tables
    channels: Channels

    @classmethod
    def make(cls, client: DynamoDBClient, channels: Channels) -> World:
        """Put the raiser of alerts together as the function does."""
        tables = Tables.plain(client)
        return cls(client, AlertRaiser(tables, channels.publisher, CATALOG), tables, channels)

    def customer(self, **changes: Any) -> Customer:
        """Add Acme, on starter, with a period and one instance."""
        made = Customer(customer_id="acme", name="Acme", plan="starter@1", billing_email=CUSTOMER).model_copy(
            update=changes
        )
        self.tables.customers.add(made)
        self.tables.instances.put(
            Instance(customer_id="acme", instance_id="default", digests=(secret_digest("secret"),))
        )
        self.tables.customers.add_period(
            "acme",
            BillingPeriod(
                start=START, end=datetime(2026, 12, 1, tzinfo=UTC), plan=made.plan, override=made.override
            ),
        )
        return made

    def subscribed(self, state: PeriodState, **changes: Any) -> None:
        """Add Acme with a subscription, and bring its November to a state."""
        self.customer(
            **{"anchor": START, "stripe_customer_id": "cus_1", "stripe_subscription_id": "sub_1"} | changes
        )
        (period,) = self.tables.customers.periods("acme")
        if period.state is not state:
            self.tables.customers.replace_period("acme", period, period.model_copy(update={"state": state}))

    def use(self, gigabytes: float, hour: datetime = HOUR_13) -> None:
        """Store an hour with MQTT traffic."""
        used = Hour(hour, computed_from=1, counters={"mqtt_bytes_sent": int(gigabytes * GB)}, instances=1)
        self.tables.hours.put("acme", used)

    def report(self, gigabytes: float, hour: datetime = HOUR_13, span: tuple[int, int] = (0, 3600)) -> None:
        """Accept a report with MQTT traffic."""
        counters = {"mqtt_bytes_sent": int(gigabytes * GB)}
        self.tables.reports.put(report(hour, span, customer_id="acme", counters=counters))
        self.tables.markers.touch_dirty("acme", hour)

    def recompute(self, now: datetime = NOW) -> None:
        """Recompute the hour as the worker does."""
        recompute("acme", HOUR_13, now, self.tables, CATALOG, self.alerts.hour_recomputed)

    def markers(self) -> set[str]:
        """Return the kinds of markers that are there."""
        return {item["pk"]["S"].partition("#")[0] for item in items_of(self.client, "markers")}

    def stored(self) -> dict[str, bool]:
        """Return the stored alerts' ids, and whether each is sent."""
        return {row.alert.alert_id: row.sent for row in self.tables.alerts.of("acme")}


@contextmanager
def fresh_tables() -> Iterator[DynamoDBClient]:
    """Tables on a moto of their own."""
    with mock_aws():
        made = boto3.client("dynamodb", config=RETRIES)
        create_tables(made)
        yield made


@pytest.fixture
def world() -> Iterator[World]:
    """A world on moto without a customer."""
    with fresh_tables() as client:
        yield World.make(client, Channels.open())


def test_an_alert_goes_out_on_every_channel_once(world: World) -> None:
    """A threshold that is crossed reaches the bus, the topic and the customer's address, and never again."""
    world.customer()
    world.use(8.5)
    assert 1 == world.alerts.hour_recomputed("acme", HOUR_13, NOW)
    assert {ID_80: True} == world.stored()
    (event,), (message,), (email,) = world.channels.bus(), world.channels.topic(), world.channels.emails()
    text = "MQTT traffic: 80 % of what the Starter plan includes is used, 8.5 of 10 GB."
    assert {
        "alert_id": ID_80,
        "at": "2026-11-22T14:02:00Z",
        "customer_id": "acme",
        "kind": "usage",
        "message": text,
        "meter": "mqtt_traffic",
        "period": "2026-11-01T00:00:00Z",
        "threshold": 80,
    } == event["detail"]
    assert ("zemfyre.billing", "alert") == (event["source"], event["detail-type"])
    assert "Zemfyre billing: usage, acme" == message["Subject"]
    assert message["Message"].startswith(text)
    assert (SENDER, {"ToAddresses": [CUSTOMER]}) == (
        email.source,
        {key: value for key, value in email.destinations.items() if value},
    )
    assert 0 == world.alerts.hour_recomputed("acme", HOUR_13, NOW)
    assert 0 == world.alerts.sweep("acme", SWEEP)
    assert ([], []) == world.channels.ids()
    assert 1 == len(world.channels.emails())


def test_a_jump_over_all_thresholds_is_one_email(world: World) -> None:
    """Thresholds crossed together are alerts of their own, but the customer gets one e-mail."""
    world.customer()
    world.use(12)
    assert 4 == world.alerts.hour_recomputed("acme", HOUR_13, NOW)
    on_bus, on_topic = world.channels.ids()
    assert 4 == len(set(on_bus))
    assert on_bus == on_topic
    (email,) = world.channels.emails()
    assert "Your usage of Zemfyre: 4 messages" == email.subject


def test_more_alerts_than_one_call_takes(world: World) -> None:
    """Bus and topic take ten in a call; twenty-three alerts all arrive, once."""
    alerts = [
        Alert(
            customer_id="acme",
            kind=AlertKind.SILENT,
            instance_id=f"i{number:02}",
            last_hour=HOUR_13,
            message="silent",
            at=NOW,
        )
        for number in range(23)
    ]
    world.channels.publisher.publish(alerts, CUSTOMER)
    expected = [alert.alert_id for alert in alerts]
    assert (expected, expected) == world.channels.ids()


@pytest.mark.parametrize(("sender", "address"), [("", CUSTOMER), (SENDER, None)])
def test_no_email_without_sender_or_address(world: World, sender: str, address: str | None) -> None:
    """Without a configured sender, or without a billing address, bus and topic carry the alert alone."""
    world.customer(billing_email=address)
    world.use(8.5)
    alerts = replace(world.alerts, publisher=replace(world.channels.publisher, sender=sender))
    assert 1 == alerts.hour_recomputed("acme", HOUR_13, NOW)
    assert ([ID_80], [ID_80]) == world.channels.ids()
    assert [] == world.channels.emails()
    assert {ID_80: True} == world.stored()


def test_a_refused_email_holds_nothing_up(world: World) -> None:
    """An e-mail that SES refuses for good is not tried again: the alert is sent, bus and topic have it."""
    world.customer()
    world.use(8.5)
    stranger = replace(world.channels.publisher, sender="stranger@elsewhere.example")
    assert 1 == replace(world.alerts, publisher=stranger).hour_recomputed("acme", HOUR_13, NOW)
    assert {ID_80: True} == world.stored()


@pytest.mark.parametrize(
    ("hour", "now", "stripe_customer", "read"),
    [
        (HOUR_13, HOUR_13 + timedelta(minutes=50), "cus_1", []),
        (HOUR_13, HOUR_13 + 2 * HOUR, "cus_1", ["GetItem", "Query"]),
        (HOUR_13 - 9 * DAY, NOW, "cus_1", ["GetItem", "Query"]),
        (HOUR_13 - 9 * DAY, NOW, None, ["GetItem"]),
    ],
)
def test_only_the_last_hour_that_is_over_is_worth_reading_a_period(
    world: World, hour: datetime, now: datetime, stripe_customer: str | None, read: list[str]
) -> None:
    """An open hour reads nothing when recomputed, a late one of the present period no hours.

    What they crossed the sweep tells.
    """
    world.customer(stripe_customer_id=stripe_customer, stripe_subscription_id=stripe_customer and "sub_1")
    world.use(8.5, hour)
    calls = Calls().watch(world.client)
    assert 0 == world.alerts.hour_recomputed("acme", hour, now)
    assert [(name, "customers") for name in read] == [(name, call["TableName"]) for name, call in calls.made]
    assert 1 == world.alerts.sweep("acme", now)


LAST_DAY = datetime(2026, 11, 30, 12, tzinfo=UTC)
SIX_HOURS_LATER = END + 6 * HOUR + timedelta(minutes=20)


@pytest.mark.parametrize("after", [6 * HOUR, 71 * HOUR, 40 * DAY])
@pytest.mark.parametrize("state", [PeriodState.OPEN, PeriodState.CLOSING])
def test_the_sweep_follows_a_period_until_it_is_final(
    world: World, state: PeriodState, after: timedelta
) -> None:
    """12 GB for a period's last day that come hours into the next one will be billed, so they are told."""
    world.subscribed(state)
    world.use(12, LAST_DAY)
    assert 4 == world.alerts.sweep("acme", END + after)
    assert dict.fromkeys(ALL_IDS, True) == world.stored()
    assert 0 == world.alerts.sweep("acme", END + after + HOUR)
    (email,) = world.channels.emails()
    assert 4 == email.body.count("Of the period that ended on 1 December 2026, 00:00 UTC: ")


def test_a_late_hour_of_a_period_that_is_not_final_is_told_at_once(world: World) -> None:
    """Recomputing a late hour of a period that is over, but not final, tells what it crossed."""
    world.subscribed(PeriodState.CLOSING)
    world.use(12, LAST_DAY)
    assert 4 == world.alerts.hour_recomputed("acme", LAST_DAY, SIX_HOURS_LATER)
    assert dict.fromkeys(ALL_IDS, True) == world.stored()
    assert 0 == world.alerts.sweep("acme", SIX_HOURS_LATER + HOUR)


def test_a_final_period_is_told_nothing_more_of(world: World) -> None:
    """What comes after the invoice is final is late usage: no alert, and no read of its hours."""
    world.subscribed(PeriodState.FINALISED)
    world.use(12, LAST_DAY)
    calls = Calls().watch(world.client)
    assert 0 == world.alerts.hour_recomputed("acme", LAST_DAY, SIX_HOURS_LATER)
    assert "hours" not in {call["TableName"] for _, call in calls.made}
    assert 0 == world.alerts.sweep("acme", SIX_HOURS_LATER)


def test_months_without_stripe_are_followed_for_an_hour(world: World) -> None:
    """Without Stripe no invoice makes a month final: the sweep follows it for the first hour of the next."""
    world.customer()
    world.use(12, LAST_DAY)
    assert 0 == world.alerts.hour_recomputed("acme", LAST_DAY, SIX_HOURS_LATER)
    assert 0 == world.alerts.sweep("acme", SIX_HOURS_LATER)
    assert 4 == world.alerts.sweep("acme", END + timedelta(minutes=10))


def test_a_customer_who_left_is_told_of_the_last_period(world: World) -> None:
    """After the subscription's end its last period is followed like any other, until it is final."""
    world.subscribed(PeriodState.CLOSING, stripe_subscription_id=None)
    world.use(12, LAST_DAY)
    assert 4 == world.alerts.sweep("acme", SIX_HOURS_LATER)


def test_a_customer_without_limits_costs_no_read_of_hours(world: World) -> None:
    """Where nothing can be crossed, neither a recomputation nor the sweep reads the period's hours."""
    unlimited = {meter: Price(unlimited=True) for meter in CATALOG.meters}
    world.customer(override=Override(meters=unlimited))
    calls = Calls().watch(world.client)
    world.alerts.hour_recomputed("acme", HOUR_13, NOW)
    world.alerts.sweep("acme", NOW)
    assert "hours" not in {call["TableName"] for _, call in calls.made}


def test_the_last_hours_of_a_period_are_told_in_the_next(world: World) -> None:
    """What crossed in a period's last hour is told by the first sweep after it."""
    world.customer()
    world.use(8.5, datetime(2026, 11, 30, 23, tzinfo=UTC))
    assert 1 == world.alerts.sweep("acme", datetime(2026, 12, 1, 0, 10, tzinfo=UTC))
    assert {ID_80: True} == world.stored()


def test_the_sweep_tells_a_forecast_that_crosses(world: World) -> None:
    """A forecast that reaches the allowance is told by the sweep, once."""
    world.customer()
    for number in range(24 * 10):
        world.use(0.03, START + number * HOUR)
    at = START + 10 * DAY + timedelta(minutes=10)
    assert (1, 0) == (world.alerts.sweep("acme", at), world.alerts.sweep("acme", at + HOUR))
    assert {"acme#2026-11-01T00:00:00Z#mqtt_traffic#forecast": True} == world.stored()


def test_a_failing_channel_never_stops_a_recomputation(world: World) -> None:
    """With the topic gone the hour is still settled; the alert stays pending, and the sweep tells it."""
    world.customer()
    world.report(8.5)
    topic = world.channels.publisher.topic_arn
    boto3.client("sns").delete_topic(TopicArn=topic)
    world.recompute()
    assert {"unsent"} == world.markers()
    assert {ID_80: False} == world.stored()
    assert topic == boto3.client("sns").create_topic(Name="told")["TopicArn"]
    world.alerts.sweep("acme", SWEEP)
    assert {ID_80: True} == world.stored()


def test_a_young_pending_alert_is_left_to_its_worker(world: World) -> None:
    """The sweep tells a pending alert again only after five minutes: its worker may be at it."""
    world.customer()
    world.use(8.5)
    with suppress(Killed):
        interrupted = Interruption(0, Killed())
        interrupted.watch(world.channels.clients("events"))
        world.alerts.hour_recomputed("acme", HOUR_13, NOW)
    world.channels.ids()
    world.alerts.sweep("acme", NOW + timedelta(minutes=4))
    assert ([], []) == world.channels.ids()
    world.alerts.sweep("acme", NOW + timedelta(minutes=5))
    assert ([ID_80], [ID_80]) == world.channels.ids()


def interrupted_recomputation(world: World, step: int, error: BaseException) -> list[str]:
    """Recompute an hour that raises four alerts, ended after so many calls of AWS; return the calls done."""
    world.customer()
    world.report(12)
    interruption = Interruption(step, error)
    clients = world.channels.clients
    interruption.watch(world.client, clients("events"), clients("sns"), clients("sesv2"))
    with suppress(type(error)):
        world.recompute()
    interruption.error = None
    return interruption.done


def test_the_steps_of_an_alert(world: World) -> None:
    """Alerts are put before any is published, marked after all are, and then the hour is settled."""
    steps = interrupted_recomputation(world, -1, Killed())
    last = {name: number for number, name in enumerate(steps)}
    assert last["PutItem"] < last["PutEvents"] < last["PublishBatch"] < last["SendEmail"]
    assert last["SendEmail"] < steps.index("UpdateItem")
    assert "DeleteItem" == steps[-1]


@pytest.mark.parametrize("error", [ConnectionAbortedError, Killed])
def test_a_crash_after_any_step_loses_no_alert_and_no_hour(error: type[BaseException]) -> None:
    """After an error or a death at any step, redelivery and the next sweep settle everything.

    Each alert is stored once and sent, and was told on every channel under its one id.
    """
    for step in count():
        with fresh_tables() as client:
            world = World.make(client, Channels.open())
            done = interrupted_recomputation(world, step, error())
            if len(done) <= step:
                break
            world.recompute()
            world.alerts.sweep("acme", SWEEP)
            where = f"after step {step}, {done[step]}"
            assert dict.fromkeys(ALL_IDS, True) == world.stored(), where
            on_bus, on_topic = world.channels.ids()
            assert ALL_IDS == set(on_bus) == set(on_topic), where
            assert world.channels.emails(), where
            assert {"unsent"} == world.markers(), where
            assert 0 == world.alerts.sweep("acme", SWEEP + HOUR), where
            assert ([], []) == world.channels.ids(), where
    assert {"PutItem", "PutEvents", "PublishBatch", "SendEmail", "UpdateItem", "DeleteItem"} <= set(done)


def test_two_workers_crossing_at_the_same_moment_tell_it_once(exact_client: DynamoDBClient) -> None:
    """On DynamoDB Local, two workers that both see the crossing make one alert item and one message."""
    create_tables(exact_client)
    with mock_aws():
        world = World.make(exact_client, Channels.open())
        world.customer()
        world.use(8.5)
        both = threading.Barrier(2)

        def meet(model: Any, **_: Any) -> None:
            if model.name == "PutItem":
                both.wait(timeout=60)

        exact_client.meta.events.register("before-call.dynamodb", meet)
        with ThreadPoolExecutor(2) as workers:
            told = [workers.submit(world.alerts.hour_recomputed, "acme", HOUR_13, NOW) for _ in range(2)]
        assert [0, 1] == sorted(worker.result() for worker in told)
        assert {ID_80: True} == world.stored()
        assert ([ID_80], [ID_80]) == world.channels.ids()


@pytest.mark.parametrize(
    ("address", "name", "sender"),
    [
        ("", "", ""),
        ("", "Zemfyre", ""),
        ("billing@zemfyre.example", "", "billing@zemfyre.example"),
        ("billing@zemfyre.example", "Zemfyre, Billing", '"Zemfyre, Billing" <billing@zemfyre.example>'),
        ("billing@zemfyre.example", "Zemfýre", "=?utf-8?q?Zemf=C3=BDre?= <billing@zemfyre.example>"),
    ],
)
def test_a_sender_may_have_a_name(address: str, name: str, sender: str) -> None:
    """Customers see a display name, while IAM and SES know the address alone."""
    assert sender == sender_of(address, name)


@pytest.mark.parametrize("metric", ["alerts_failed", "alert_emails_refused"])
def test_what_keeps_an_alert_from_people_is_alarmed(metric: str) -> None:
    """An evaluation that failed and an e-mail that was refused each alarm the operator at the first."""
    (alarm,) = [
        row["Properties"]
        for row in RESOURCES.values()
        if row.get("Properties", {}).get("MetricName") == metric
    ]
    assert [{"Name": "service", "Value": "aggregate"}] == alarm["Dimensions"]
    assert (1, [{"Ref": "OperatorTopic"}]) == (alarm["Threshold"], alarm["AlarmActions"])
