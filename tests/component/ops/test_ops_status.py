"""``ops status``: the state of the fleet, and what in it waits for a person."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import boto3

from metering.core.accounts import BillingPeriod
from metering.core.instants import DAY, HOUR, hour_of
from metering.tables.ledger import PENDING, SENT, Day, Entry, refused
from tests.component.ops.desk import METRICS, STACK, Desk

TEMPLATE = Path(__file__).resolve().parents[3] / "template.yaml"


def _period(desk: Desk) -> BillingPeriod:
    return desk.tables.customers.periods("acme")[0]


def test_the_names_of_the_template_are_the_ones_that_are_looked_up() -> None:
    """The function, queues and outputs that the commands ask for are in the template."""
    template = TEMPLATE.read_text()

    for name in ("StripeReportFunction", "AggregateDeadLetters", "StripeDeadLetters"):
        assert f"\n  {name}:\n" in template
    for output in (
        "CustomersTable",
        "MarkersTable",
        "HoursTable",
        "LedgerTable",
        "MetricsNamespace",
        "PortalSecretName",
        "ApiUrl",
    ):
        assert f"\n  {output}:" in template.partition("\nOutputs:")[2]


def test_a_quiet_fleet_is_healthy(acme: Desk) -> None:
    """Status counts customers and periods, and ends with 0 when nothing waits for a person."""
    acme.good("customers", "add", "beta", "--name", "Beta", "--no-stripe")
    acme.good("customers", "suspend", "beta")
    status = acme.good("status", "--json").json

    assert {"active": 1, "suspended": 1, "with Stripe": 1} == status["customers"]
    assert ({"open": 1}, True) == (status["periods"], status["healthy"])
    assert {"aggregate": 0, "stripe_report": 0} == status["dead_letters"]
    assert "hours to be recomputed" in acme.good("status").out


def test_status_shows_what_waits_and_since_when(acme: Desk) -> None:
    """Markers are counted with the age of the oldest; waiting alone is no failure."""
    old = hour_of(acme.now) - 5 * HOUR
    acme.tables.markers.touch_dirty("acme", old)
    acme.tables.markers.touch_dirty("acme", old + HOUR)
    acme.tables.markers.touch_unsent("acme", (old - 3 * DAY).date())
    status = acme.good("status", "--json").json

    assert (2, 1) == (status["dirty"]["count"], status["unsent"]["count"])
    assert 4 * 3600 <= status["dirty"]["age"] < 5 * 3600
    assert 2 * 86_400 <= status["unsent"]["age"] < 4 * 86_400
    assert "the oldest" in acme.good("status").out


def test_status_tells_that_usage_was_not_conserved(acme: Desk) -> None:
    """What the daily sweep found in the last two days is a line, and ends it with 1."""
    boto3.client("cloudwatch").put_metric_data(
        Namespace=METRICS,
        MetricData=[
            {
                "MetricName": "conservation_difference",
                "Dimensions": [{"Name": "service", "Value": "aggregate"}],
                "Timestamp": datetime.now(UTC) - timedelta(hours=30),
                "Value": 3,
            }
        ],
    )
    result = acme.run("status", "--json")

    assert (1, 3, False) == (result.status, result.json["not_conserved"], result.json["healthy"])


def test_status_fails_when_somebody_must_look(acme: Desk) -> None:
    """Dead letters, refused hours, hours that differ and periods not final in time end it with 1."""
    queue = boto3.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="StripeDeadLetters"
    )["StackResourceDetail"]["PhysicalResourceId"]
    boto3.client("sqs").send_message(QueueUrl=queue, MessageBody="{}")
    start = _period(acme).start
    entries = {
        ("devices", start): Entry(1, Decimal("0.5"), refused("400")),
        ("storage", start): Entry(2, Decimal("0.1"), SENT, start, start + HOUR),
        ("api_calls", start): Entry(1, Decimal(7), PENDING),
    }
    acme.tables.ledger.put(Day("acme", start.date(), entries=entries))
    long_ago = {"start": start - 40 * DAY, "end": start - 10 * DAY}
    acme.tables.customers.add_period("acme", _period(acme).model_copy(update=long_ago))
    result = acme.run("status", "--json")

    assert 1 == result.status
    assert {"aggregate": 0, "stripe_report": 1} == result.json["dead_letters"]
    assert {"devices", "storage"} == {one["meter"] for one in result.json["differences"]}
    [line] = result.json["overdue_periods"]
    assert line.startswith("acme ")
    assert "not final: acme" in acme.run("status").out
