"""``ops status``, ``ops portal``, ``ops reconcile``: the state of the fleet, its pages, its differences."""

import importlib
import io
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest

from authorizer.credentials import identify_token
from metering.core.accounts import BillingPeriod
from metering.core.periods import DAY, HOUR, hour_of
from metering.tables.ledger import PENDING, SENT, Day, Entry
from ops.deployment import Deployment
from ops.errors import OperatorError
from tests.component.ops.desk import METRICS, PORTAL_SECRET, STACK, Desk
from tests.component.service import LambdaContext

TEMPLATE = Path(__file__).resolve().parents[3] / "template.yaml"


@pytest.fixture
def acme(synced: Desk) -> Desk:
    """A desk with a customer whose subscription began two days ago."""
    synced.simulator.clock.advance(-2 * 86_400)
    synced.monkeypatch.setattr("ops.commands.customers.datetime", _Frozen(synced.now))
    synced.good("customers", "add", "acme", "--name", "Acme")
    synced.simulator.clock.advance(2 * 86_400)
    return synced


class _Frozen:
    """A clock that stands, in place of the datetime class that a module reads."""

    def __init__(self, instant: datetime) -> None:
        self._instant = instant

    def now(self, _zone: Any) -> datetime:
        """The instant at which it stands."""
        return self._instant


@pytest.fixture
def deployed(acme: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """The desk with the real stripe_report function behind `Deployment.invoke`, in this process."""
    outputs = Deployment(STACK).outputs
    boto3.client("secretsmanager").create_secret(Name="stripe", SecretString="sk_test_simulated")
    for name in ("Customers", "Markers", "Hours", "Ledger"):
        monkeypatch.setenv(f"{name.upper()}_TABLE", outputs[f"{name}Table"])
    monkeypatch.setenv("STRIPE_QUEUE_URL", "https://queue.example")
    monkeypatch.setenv("STRIPE_SECRET_NAME", "stripe")
    sys.modules.pop("stripe_report.handler", None)
    handler = importlib.import_module("stripe_report.handler")

    def invoke(_: Deployment, function: str, event: dict[str, Any]) -> Any:
        assert "StripeReportFunction" == function
        try:
            # its metrics go to standard output, which is CloudWatch's in Lambda
            with redirect_stdout(io.StringIO()):
                return handler.handle(event, LambdaContext())
        except LookupError as error:
            raise OperatorError(f"{function}: {error}") from None

    monkeypatch.setattr(Deployment, "invoke", invoke)
    yield acme
    sys.modules.pop("stripe_report.handler", None)


def _period(desk: Desk) -> BillingPeriod:
    return desk.customers.periods("acme")[0]


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
    old = hour_of(datetime.now(UTC)) - 5 * HOUR
    acme.markers.touch_dirty("acme", old)
    acme.markers.touch_dirty("acme", old + HOUR)
    acme.markers.touch_unsent("acme", (old - 3 * DAY).date())
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
        ("devices", start): Entry(1, Decimal("0.5"), "refused(400)"),
        ("storage", start): Entry(2, Decimal("0.1"), SENT, start, start + HOUR),
        ("api_calls", start): Entry(1, Decimal(7), PENDING),
    }
    acme.ledger.put(Day("acme", start.date(), entries=entries))
    long_ago = {"start": start - 40 * DAY, "end": start - 10 * DAY}
    acme.customers.add_period("acme", _period(acme).model_copy(update=long_ago))
    result = acme.run("status", "--json")

    assert 1 == result.status
    assert {"aggregate": 0, "stripe_report": 1} == result.json["dead_letters"]
    assert {"devices", "storage"} == {one["meter"] for one in result.json["differences"]}
    [line] = result.json["overdue_periods"]
    assert line.startswith("acme ")
    assert "not final: acme" in acme.run("status").out


def test_a_portal_token_is_one_the_authorizer_takes(acme: Desk) -> None:
    """The page's address carries a token for this customer alone that dies after an hour."""
    now = datetime.now(UTC)
    answer = acme.good("portal", "acme", "--json").json
    identity = identify_token(answer["token"], PORTAL_SECRET, now)

    assert identity is not None
    assert ("acme", "portal") == (identity.customer_id, identity.scope)
    assert identify_token(answer["token"], PORTAL_SECRET, now + HOUR + HOUR) is None
    assert f"https://api.example/dashboard#token={answer['token']}" == answer["url"]
    assert "no customer nobody" in acme.wrong(1, "portal", "nobody")


def test_a_customer_that_agrees_has_no_rows(deployed: Desk) -> None:
    """Where usage, ledger and Stripe agree, reconciling shows nothing and ends with 0."""
    answer = deployed.good("reconcile", "acme", "--json").json

    assert [] == answer["customers"][0]["rows"] + answer["failures"]
    assert "0 differ" in deployed.good("reconcile").out


def test_a_difference_is_shown_and_fixed(deployed: Desk) -> None:
    """An hour that Stripe lacks is shown with its three values; --fix sends it, and then all agree."""
    start = _period(deployed).start
    deployed.used("acme", start + HOUR, gib=3)
    differing = deployed.run("reconcile", "acme", "--json")
    [row] = differing.json["customers"][0]["rows"]
    assert (1, "mqtt_traffic", None) == (differing.status, row["meter"], row["stripe"])
    assert 3 == Decimal(row["usage"])
    assert "mqtt_traffic" in deployed.run("reconcile").out

    day = start.date().isoformat()
    fixed = deployed.good("reconcile", "acme", "--period", day, "--fix", "--json").json
    assert 1 == fixed["customers"][0]["sent_again"]
    assert [] == deployed.good("reconcile", "acme", "--json").json["customers"][0]["rows"]


def test_one_customer_that_fails_does_not_stop_the_fleet(deployed: Desk) -> None:
    """A customer that cannot be compared is named, the others are compared, and the status is 1."""
    acme = deployed.customers.customer("acme")
    assert acme is not None
    deployed.customers.add(acme.model_copy(update={"customer_id": "beta"}))
    result = deployed.run("reconcile", "--json")

    assert 1 == result.status
    assert ["acme"] == [one["customer_id"] for one in result.json["customers"]]
    [failure] = result.json["failures"]
    assert failure.startswith("beta: ")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--period", "2026-01-01"), 2, "--period needs a CUSTOMER"),
        (("acme", "--period", "1999-01-01"), 2, "no period starts at '1999-01-01'"),
        (("nobody",), 1, "no customer nobody"),
        (("beta",), 1, "is not in Stripe"),
    ],
)
def test_wrong_input_is_named(deployed: Desk, arguments: tuple[str, ...], status: int, said: str) -> None:
    """A period that does not exist, or a customer without Stripe, is named."""
    deployed.good("customers", "add", "beta", "--name", "Beta", "--no-stripe")

    assert said in deployed.wrong(status, "reconcile", *arguments)
