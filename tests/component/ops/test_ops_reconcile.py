"""``ops reconcile``: the hours in which usage, ledger and Stripe differ, shown and sent again."""

import io
from contextlib import redirect_stdout
from decimal import Decimal
from typing import Any

import boto3
import pytest

from metering.aws.clients import Clients
from metering.aws.observability import observed
from metering.core.accounts import BillingPeriod
from metering.core.instants import HOUR
from ops.deployment import ALIAS, Deployment
from ops.errors import OperatorError
from stripe_report.app import StripeReportSettings, build
from testing.template import read_template
from tests.component.ops.desk import STACK, Desk
from tests.component.service import LambdaContext


@pytest.fixture
def deployed(acme: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The desk with the real stripe_report function behind `Deployment.invoke`, in this process."""
    boto3.client("secretsmanager").create_secret(Name="stripe", SecretString="sk_test_simulated")
    outputs = Deployment(STACK).outputs
    settings = StripeReportSettings(
        customers_table=outputs["CustomersTable"],
        markers_table=outputs["MarkersTable"],
        hours_table=outputs["HoursTable"],
        ledger_table=outputs["LedgerTable"],
        stripe_queue_url="https://queue.example",
        stripe_secret_name="stripe",
        stripe_api_base=acme.simulator.url,
    )
    handle = observed(build(settings, acme.tables, Clients()).handle)

    def invoke(_: Deployment, function: str, event: dict[str, Any]) -> Any:
        assert "StripeReportFunction" == function
        try:
            # its metrics go to standard output, which is CloudWatch's in Lambda
            with redirect_stdout(io.StringIO()):
                return handle(event, LambdaContext())
        except LookupError as error:
            raise OperatorError(f"{function}: {error}") from None

    monkeypatch.setattr(Deployment, "invoke", invoke)
    return acme


def _period(desk: Desk) -> BillingPeriod:
    return desk.tables.customers.periods("acme")[0]


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
    acme = deployed.tables.customers.customer("acme")
    assert acme is not None
    deployed.tables.customers.add(acme.model_copy(update={"customer_id": "beta"}))
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


def test_the_operator_calls_the_published_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `ops` asks of a function goes to the alias that every other caller uses."""
    asked: list[dict[str, Any]] = []

    class Client:
        def invoke(self, **given: Any) -> dict[str, Any]:
            asked.append(given)
            return {"Payload": io.BytesIO(b'{"rows": []}')}

    monkeypatch.setattr("ops.deployment.boto3.client", lambda *_given, **_more: Client())
    monkeypatch.setattr(Deployment, "_physical_id", lambda _self, name: f"stack-{name}")
    assert {"rows": []} == Deployment("stack").invoke("StripeReportFunction", {})
    assert ("stack-StripeReportFunction", ALIAS) == (asked[0]["FunctionName"], asked[0]["Qualifier"])
    assert read_template()["Globals"]["Function"]["AutoPublishAlias"] == ALIAS
