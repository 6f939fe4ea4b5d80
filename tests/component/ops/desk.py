"""The operator's desk: commands as typed, a stack on moto, and a simulated Stripe behind the real SDK."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest

from metering.core.rollup import Hour, Level
from metering.tables.tables import TABLES
from ops.__main__ import main
from testing.tables import ATTRIBUTES, KEY

if TYPE_CHECKING:
    import stripe

    from metering.tables.tables import Tables
    from stripe_simulator.serving.server import RunningSimulator

STACK = "zemfyre-billing-test"
METRICS = "ZemfyreBilling/test"
PORTAL_SECRET = "a portal secret of thirty-two bytes or more"
GIB = 2**30
_TABLES = [f"{name.capitalize()}Table" for name in TABLES]
_QUEUES = ("AggregateDeadLetters", "StripeDeadLetters")


@dataclass(frozen=True)
class Result:
    """What a command ended with and printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Desk:
    """Runs commands; looks at what they did."""

    tables: Tables
    stripe: stripe.StripeClient
    simulator: RunningSimulator
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    @property
    def now(self) -> datetime:
        """Stripe's present, and that of the commands."""
        return datetime.fromtimestamp(self.simulator.clock.now(), UTC)

    def run(self, *arguments: str, typed: str = "") -> Result:
        """Run a command as the operator types it, and what it is answered."""
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        self.capsys.readouterr()
        self.monkeypatch.setattr(sys, "argv", ["ops", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self.capsys.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    def good(self, *arguments: str) -> Result:
        """Run a command that must end well."""
        result = self.run(*arguments)
        assert 0 == result.status, result.out + result.err
        return result

    def wrong(self, status: int, *arguments: str) -> str:
        """Run a command that must end with a status, and return what it said without a traceback."""
        result = self.run(*arguments)
        assert status == result.status, result.out + result.err
        assert "Traceback" not in result.err
        return " ".join(result.err.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())

    def changes(self) -> int:
        """How many calls so far could have changed something at Stripe."""
        calls = self.simulator.simulator.calls
        return sum(
            count for call, count in calls.items() if not call.startswith("GET") and "preview" not in call
        )

    def fault(self, kind: str, path: str, skip: int = 0) -> None:
        """Let a call that makes something under a path fail, once."""
        described = {"kind": kind, "match": {"method": "POST", "path_prefix": path}, "skip": skip}
        answer = httpx.post(f"{self.simulator.url}/_sim/faults", json=described, trust_env=False)
        answer.raise_for_status()

    def settings(self, **changed: Any) -> None:
        """Change how the simulated account behaves."""
        answer = httpx.post(f"{self.simulator.url}/_sim/settings", json=changed, trust_env=False)
        answer.raise_for_status()

    def used(
        self, customer_id: str, start: datetime, gib: int = 0, devices: int = 0, revision: int = 1
    ) -> None:
        """Store an hour of MQTT traffic and devices, as the aggregation does."""
        gauges = {"active_devices": Level(devices, devices, devices * 3600, 3600)} if devices else {}
        hour = Hour(
            start,
            computed_from=revision,
            counters={"mqtt_bytes_sent": gib * GIB},
            gauges=gauges,
            instances=1,
            final=1,
        )
        assert self.tables.hours.put(customer_id, hour)


def create_stack() -> None:
    """Create the stack: tables, queues, the portal's secret, and the outputs that the template has."""
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": KEY,
            "AttributeDefinitions": ATTRIBUTES,
        },
    }
    queue = {"Type": "AWS::SQS::Queue", "Properties": {}}
    template = {
        "Resources": {
            **dict.fromkeys(_TABLES, table),
            **dict.fromkeys(_QUEUES, queue),
        },
        "Outputs": {
            "MetricsNamespace": {"Value": METRICS},
            **{name: {"Value": {"Ref": name}} for name in _TABLES},
            "PortalSecretName": {"Value": "portal"},
            "ApiUrl": {"Value": "https://api.example/"},
        },
    }
    boto3.client("secretsmanager").create_secret(Name="portal", SecretString=PORTAL_SECRET)
    boto3.client("cloudformation").create_stack(StackName=STACK, TemplateBody=json.dumps(template))
