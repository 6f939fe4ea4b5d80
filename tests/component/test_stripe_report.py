"""stripe_report from the outside: its events in, its queue, its tables on moto, the simulator behind HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from moto import mock_aws

from metering.core.accounts import BillingPeriod, Customer
from metering.core.catalog import builtin_catalog
from metering.core.instants import DAY, HOUR, hour_of
from metering.core.periods import Period
from metering.core.rollup import Hour
from metering.tables.closings import Closing, Retry
from metering.tables.ledger import PENDING, SENT, Entry, refused
from ops.customers import add_customer
from ops.subscriptions import subscribe
from stripe_report.dispatch import due_closings
from stripe_report.gateway import stripe_client
from stripe_report.messages import Reconcile
from stripe_report.retrying import turn_in_the_night
from stripe_simulator.serving.faults import Fault
from stripe_simulator.serving.server import RunningSimulator, running_simulator
from tests.component.service import STRIPE_KEY, Service
from tests.stripe.world import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    import stripe

    from metering.tables.tables import Tables

EVENTS = Path(__file__).parent.parent / "events"
GIB = 2**30
METER = "mqtt_traffic"


@dataclass(frozen=True)
class Function:
    """The deployed function, in process, with a customer who has used 12 GB in the present hour."""

    service: Service
    stripe: stripe.StripeClient
    simulator: RunningSimulator
    hour: datetime

    @property
    def tables(self) -> Tables:
        """The function's tables."""
        return self.service.tables

    def invoke(self, event: str | dict[str, Any], **changes: Any) -> Any:
        """Invoke it with an event of ``tests/events``, or a given one."""
        given = self.service.event(event) if isinstance(event, str) else event
        return self.service.invoke("stripe_report", given | changes)

    def deliver(self, event: str, object_id: str) -> Any:
        """Invoke it with an event of Stripe's about an object."""
        given = self.service.event(event)
        if "data" in given["detail"]:
            given["detail"]["data"]["object"]["id"] = object_id
        else:
            given["detail"]["id"] = object_id
        return self.invoke(given)

    def queued(self) -> list[dict[str, Any]]:
        """Take the bodies of all messages in the queue."""
        return self.service.queued("stripe_report")

    def work(self, *bodies: dict[str, Any]) -> Any:
        """Work messages off as the queue gives them."""
        return self.service.work("stripe_report", *bodies)

    def entry(self) -> Entry | None:
        """Return what the ledger says of the hour."""
        return self.tables.ledger.day("acme", self.hour.date()).entries.get((METER, self.hour))

    def use(self, gigabytes: int, computed_from: int) -> None:
        """Store the hour as recomputed, and mark its day."""
        self.tables.hours.put(
            "acme",
            Hour(self.hour, computed_from, counters={"mqtt_bytes_sent": gigabytes * GIB}, instances=1),
        )
        self.tables.markers.touch_unsent("acme", self.hour.date())


@pytest.fixture
def function() -> Iterator[Function]:
    """The function, built anew."""
    with mock_aws(), running_simulator() as simulator:
        service = Service.deploy(stripe_api_base=simulator.url)
        stripe_ = stripe_client(STRIPE_KEY, simulator.url)
        made = Function(service, stripe_, simulator, hour_of(datetime.now(UTC)))
        prepare(made.stripe, builtin_catalog())
        profile = Customer(customer_id="acme", name="Acme", plan="starter@1")
        # A subscription that is made within an hour begins at the next full one.
        simulator.clock.set(int(made.hour.timestamp()) - 60)
        subscribed = subscribe(made.stripe, profile, builtin_catalog(), made.hour - timedelta(minutes=1))
        simulator.clock.set(None)
        add_customer(made.tables.customers, subscribed.customer, subscribed.period, builtin_catalog())
        made.use(12, 1)
        simulator.simulator.calls.clear()
        yield made


REPORT = {"work": "send_unsent", "customer_id": "acme", "include_open": True}


def asked(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what messages ask for, each without its trigger and its place in the calendar."""
    of_its_way = {"trigger", "tries", "at"}
    return [{name: value for name, value in body.items() if name not in of_its_way} for body in bodies]


def test_the_schedule_asks_for_each_marked_customer_once_and_the_worker_reports_it(
    function: Function,
) -> None:
    """A marked customer gets one message, whose work sends the hour's 12 GB as number 1."""
    assert {"sent": 1} == function.invoke("dispatch_open")
    bodies = function.queued()
    assert [REPORT] == asked(bodies)
    assert {"batchItemFailures": []} == function.work(*bodies)
    entry = function.entry()
    assert entry is not None
    assert (1, Decimal(12), SENT) == (entry.number, entry.value, entry.state)


def test_nothing_changed_is_not_one_call(function: Function) -> None:
    """After one call for the hour, messages without a change make no further call of Stripe."""
    function.work(REPORT)
    assert 1 == function.simulator.simulator.calls.total()
    function.work(REPORT, REPORT)
    assert 1 == function.simulator.simulator.calls.total()


def test_a_key_that_stripe_does_not_know_leaves_all_pending_and_one_put_right_is_read_without_a_deploy(
    function: Function,
) -> None:
    """Under an unknown key a number stays pending, and goes once the secret is right, without a deploy."""
    secrets = boto3.client("secretsmanager")
    secrets.put_secret_value(SecretId="stripe", SecretString="unknown")
    function.work(REPORT)
    entry = function.entry()
    assert entry is not None
    assert PENDING == entry.state

    secrets.put_secret_value(SecretId="stripe", SecretString=STRIPE_KEY)
    function.service.app("stripe_report").api_key.forget()
    function.work(REPORT)
    entry = function.entry()
    assert entry is not None
    assert SENT == entry.state


def test_the_key_is_in_no_log(
    function: Function, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stripe's key is in no log record and no output of a report and a reconciliation."""
    function.work(REPORT)
    function.invoke("reconcile_customer")
    said = caplog.text + "".join(capfd.readouterr()) + "".join(str(r.__dict__) for r in caplog.records)
    assert "customer reported" in said
    assert "neverInAnyLog" not in said


def test_the_calendar_asks_for_a_look_at_each_period_that_is_due(function: Function) -> None:
    """A due period gets one message; a look before its end only moves its entry to that end."""
    assert {"sent": 0} == function.invoke("close")
    start, due = function.hour, function.hour - HOUR
    function.tables.closings.put(Closing("acme", start, due))
    assert {"sent": 1} == function.invoke("close")
    [body] = function.queued()
    assert ("acme", "close") == (body["customer_id"], body["work"])
    assert {"batchItemFailures": []} == function.work(body)
    # The period is not over: the look is moved to its end, where one is entered already.
    assert {"sent": 0} == function.invoke("close")
    [end] = list(function.tables.closings.due(start + 40 * DAY))
    assert function.tables.customers.periods("acme")[0].end == end.at


def test_the_daily_reconciliation_asks_for_every_customer_of_the_fleet(function: Function) -> None:
    """The daily schedule enters each customer into the calendar at its turn, one without Stripe included."""
    function.tables.customers.add(Customer(customer_id="other", name="Other", plan="starter@1"))
    begun = datetime.now(UTC)
    assert {"entered": 2} == function.invoke("reconcile")
    assert [] == function.queued()
    turns = {name: begun + turn_in_the_night(name) for name in ("acme", "other")}
    entered = [entry for entry in function.tables.closings.due(begun + DAY) if isinstance(entry, Retry)]
    assert dict.fromkeys(turns, 0) == {entry.customer_id: entry.tries for entry in entered}
    for entry in entered:
        assert abs(entry.at - turns[entry.customer_id]) < timedelta(minutes=1)
    due = due_closings(function.tables.closings, begun + DAY)
    bodies = [json.loads(work.model_dump_json()) for work in due if isinstance(work, Reconcile)]
    assert {("acme", "reconcile"), ("other", "reconcile")} == {(b["customer_id"], b["work"]) for b in bodies}
    assert {"batchItemFailures": []} == function.work(*bodies)
    assert not [row for row in function.tables.closings.due(begun + DAY) if isinstance(row, Retry)]


def test_the_operator_reconciles_a_period_at_once_and_gets_the_hours_that_differ(function: Function) -> None:
    """The present hour is not settled, so it is none of them."""
    answer = function.invoke("reconcile_customer")
    period = function.tables.customers.periods("acme")[0]
    assert json.loads(json.dumps(answer)) == {
        "customer_id": "acme",
        "period_start": f"{period.start:%Y-%m-%dT%H:%M:%SZ}",
        "state": "open",
        "compared": 0,
        "rows": [],
        "sent_again": 0,
        "pending": 0,
        "refused": 0,
    }
    with pytest.raises(LookupError, match="no customer nobody"):
        function.invoke("reconcile_customer", customer_id="nobody")
    with pytest.raises(LookupError, match="2020-01-01"):
        function.invoke("reconcile_customer", period_start="2020-01-01T00:00:00Z")


@pytest.mark.parametrize("event", ["stripe_invoice_created", "stripe_invoice_finalized"])
def test_an_event_about_an_invoice_asks_for_a_look_at_its_customers_periods(
    function: Function, event: str
) -> None:
    """Only its id is used: the event's copy says whatever it says."""
    [invoice] = function.stripe.v1.invoices.list().data
    assert {"sent": 1} == function.deliver(event, invoice.id)
    bodies = function.queued()
    assert [{"customer_id": "acme", "work": "close_ended"}] == asked(bodies)
    assert {"batchItemFailures": []} == function.work(*bodies)


@pytest.mark.parametrize("event", ["stripe_subscription_updated", "stripe_subscription_deleted"])
def test_an_event_about_a_subscription_asks_for_its_periods_to_be_refreshed(
    function: Function, event: str
) -> None:
    """An event about a subscription asks for one refresh, in which Stripe's object alone is believed."""
    profile = function.tables.customers.customer("acme")
    assert profile is not None
    assert {"sent": 1} == function.deliver(event, str(profile.stripe_subscription_id))
    bodies = function.queued()
    assert [{"customer_id": "acme", "work": "refresh"}] == asked(bodies)
    assert {"batchItemFailures": []} == function.work(*bodies)
    # Stripe says that the subscription goes on, whatever the event was called.
    assert profile == function.tables.customers.customer("acme")


@pytest.mark.parametrize("named", ["idempotency_key", "identifier", "id_and_idempotency_key"])
def test_a_report_of_refused_events_marks_the_numbers_it_names(
    function: Function, named: Literal["idempotency_key", "identifier", "id_and_idempotency_key"]
) -> None:
    """Stripe's SDK calls the sample's name an idempotency key; ours begins with the identifier."""
    state = function.simulator.stripe.state
    state.settings.error_samples_name = named
    [meter] = [m for m in state.meters.values() if m.event_name == f"zemfyre_{METER}"]
    meter.deactivated_at = 0
    function.work(REPORT)
    meter.deactivated_at = None
    function.simulator.stripe.advance(function.simulator.clock.now() + 60)
    [report] = state.thin_events
    assert {"sent": 1} == function.deliver("stripe_meter_error_report", report["id"])
    assert {"batchItemFailures": []} == function.work(*function.queued())
    entry = function.entry()
    assert entry is not None
    assert refused("archived_meter") == entry.state


def test_a_report_that_names_a_call_by_its_id_and_idempotency_key_is_read(function: Function) -> None:
    """Stripe's types have no identifier there."""
    state = function.simulator.stripe.state
    [meter] = [m for m in state.meters.values() if m.event_name == f"zemfyre_{METER}"]
    meter.deactivated_at = 0
    function.work(REPORT)
    meter.deactivated_at = None
    function.simulator.stripe.advance(function.simulator.clock.now() + 60)
    [report] = state.thin_events
    [accepted] = state.accepted
    for kind in report["data"]["reason"]["error_types"]:
        for sample in kind["sample_errors"]:
            sample["request"] = {"id": "req_1", "idempotency_key": accepted.idempotency_key}
    assert {"sent": 1} == function.deliver("stripe_meter_error_report", report["id"])
    assert {"batchItemFailures": []} == function.work(*function.queued())
    entry = function.entry()
    assert entry is not None
    assert refused("archived_meter") == entry.state


def test_no_key_is_read_before_it_is_needed(function: Function) -> None:
    """A stack without a key serves customers without Stripe."""
    boto3.client("secretsmanager").delete_secret(SecretId="stripe", ForceDeleteWithoutRecovery=True)
    plain = Customer(customer_id="plain", name="Plain", plan="starter@1")
    function.tables.customers.add(plain)
    month = Period.calendar_month(function.hour - 40 * DAY)
    function.tables.customers.add_period("plain", BillingPeriod.of(plain, month))
    function.tables.markers.touch_unsent("plain", function.hour.date())
    asks: list[dict[str, Any]] = [
        REPORT | {"customer_id": "plain"},
        {"work": "reconcile", "customer_id": "plain"},
        {"work": "refresh", "customer_id": "plain"},
        {"work": "close_ended", "customer_id": "plain"},
        {"work": "mark_refused", "customer_id": "plain", "refused": []},
    ]
    assert {"batchItemFailures": []} == function.work(*asks)
    function.invoke("close")
    ours = [body for body in function.queued() if body["customer_id"] == "plain"]
    assert ["close"] == [body["work"] for body in ours]
    assert {"batchItemFailures": []} == function.work(*ours)


def test_a_reconciliation_that_stripe_did_not_let_through_comes_back_by_the_calendar(
    function: Function,
) -> None:
    """Its message is done; another follows within a quarter of an hour, and the next later."""
    function.simulator.simulator.faults.add(Fault("429", "GET", times=99))
    assert {"batchItemFailures": []} == function.work({"customer_id": "acme", "work": "reconcile"})
    now = datetime.now(UTC)
    [first] = [due for due in function.tables.closings.due(now + 2 * HOUR) if isinstance(due, Retry)]
    assert ("acme", 1) == (first.customer_id, first.tries)
    assert now < first.at <= now + timedelta(minutes=15)
    [again] = [w for w in due_closings(function.tables.closings, first.at) if isinstance(w, Reconcile)]
    assert {"batchItemFailures": []} == function.work(json.loads(again.model_dump_json()))
    [second] = [due for due in function.tables.closings.due(now + 2 * HOUR) if isinstance(due, Retry)]
    assert 2 == second.tries
    function.simulator.simulator.faults.clear()
    [last] = [w for w in due_closings(function.tables.closings, second.at) if isinstance(w, Reconcile)]
    assert {"batchItemFailures": []} == function.work(json.loads(last.model_dump_json()))
    assert [] == [due for due in function.tables.closings.due(now + 9 * HOUR) if isinstance(due, Retry)]


def test_an_event_about_an_invoice_that_is_gone_leads_to_nothing(function: Function) -> None:
    """A draft that was deleted since is no failure: the event is not delivered again for a day."""
    assert {"sent": 0} == function.deliver("stripe_invoice_created", "in_that_was_deleted")


def test_an_event_of_a_kind_that_nobody_asked_for_leads_to_nothing(function: Function) -> None:
    """An event of a type without a meaning here, invoice.sent, puts no message into the queue."""
    event = json.loads((EVENTS / "stripe_invoice_created.json").read_text())
    event["detail"]["type"] = event["detail-type"] = "invoice.sent"
    assert {"sent": 0} == function.invoke(event)


def test_a_task_that_does_not_exist_is_an_error(function: Function) -> None:
    """An unknown task raises and names itself."""
    with pytest.raises(ValueError, match="no such task: 'dance'"):
        function.invoke({"task": "dance"})


def test_work_that_does_not_exist_fails_its_message(function: Function) -> None:
    """A message whose work is unknown fails by that name, and is taken for no other work."""
    with pytest.raises(BatchProcessingError, match="no such work: 'dance'"):
        function.work({"customer_id": "acme", "work": "dance"})


def test_stripe_being_away_fails_no_message(function: Function) -> None:
    """A failed message would hold up its customer for half an hour; the next schedule tries again."""
    function.simulator.simulator.faults.add(Fault("500", "GET", times=99))
    assert {"batchItemFailures": []} == function.work({"customer_id": "acme", "work": "reconcile"})
