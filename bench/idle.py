"""What a deployed stage costs a month while nobody reports: computed from the template and list prices.

Prices are AWS's for us-east-1, in dollars, without free tiers. What is assumed is named beside its figure;
the rest is counted in the template. `python -m bench idle` prints the rows of the docs' page. Source:
docs/deploy.md#what-an-idle-stage-costs.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from metering.tables.shards import SHARDS
from testing.template import read_template

_MINUTES = 30 * 24 * 60
_ALARM, _METRIC, _SECRET = Decimal("0.10"), Decimal("0.30"), Decimal("0.40")
_READ_UNIT = Decimal("0.125") / 10**6
_FIFO_REQUEST = Decimal("0.50") / 10**6
_INVOCATION, _GB_SECOND = Decimal("0.20") / 10**6, Decimal("0.0000133334")
_SCHEDULED = Decimal("1.00") / 10**6
_LOGGED_BYTE = Decimal("0.50") / 10**9

_RUNS = {
    "dispatch": _MINUTES,
    "sweep_hourly": _MINUTES // 60,
    "sweep_daily": 30,
    "send": _MINUTES // 60,
    "close": _MINUTES // 5,
    "reconcile": 30,
}
"""Of each schedule, a month."""
_SWEPT_SHARDS = SHARDS * (_RUNS["sweep_hourly"] + _RUNS["sweep_daily"])
_ALWAYS_COUNTED = 6
"""Metrics that a stage without customers has in every hour: dispatch, hourly sweep, customers swept, unsent
customers, closings due, invocations of stripe_report. The daily ones are paid for by the hour."""
_POLLERS, _POLLS_A_MINUTE = 5, 3
"""Lambda polls a queue by five at first, each poll 20 s long ("Using Lambda with Amazon SQS")."""
_SECONDS_A_RUN = Decimal("0.1")
_BYTES_A_RUN = 1_000
"""Assumed: a line of metrics, and Lambda's own of start and end."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One row: what is paid for, how much of it, and the dollars a month."""

    what: str
    units: str
    dollars: Decimal


def idle_costs() -> list[Cost]:
    """Return the rows of an idle stage, dearest first."""
    resources: dict[str, Any] = read_template()["Resources"]

    def count(kind: str) -> int:
        return sum(row["Type"] == kind for row in resources.values())

    alarms, secrets = count("AWS::CloudWatch::Alarm"), count("AWS::SecretsManager::Secret")
    queues = sum("RedrivePolicy" in row.get("Properties", {}) for row in resources.values())
    reads = SHARDS * (_RUNS["dispatch"] + _RUNS["send"] + _RUNS["close"] + _RUNS["reconcile"]) + _SWEPT_SHARDS
    polls = queues * _POLLERS * _POLLS_A_MINUTE * _MINUTES
    scheduled = sum(_RUNS.values())
    runs = scheduled + _SWEPT_SHARDS
    lambda_ = runs * (_INVOCATION + _SECONDS_A_RUN * _GB_SECOND / 2)
    rows = [
        Cost("alarms", f"{alarms}", alarms * _ALARM),
        Cost("metrics that are counted every hour", f"{_ALWAYS_COUNTED}", _ALWAYS_COUNTED * _METRIC),
        Cost("secrets", f"{secrets}", secrets * _SECRET),
        Cost("SQS: empty polls of Lambda's", f"{polls:,}", polls * _FIFO_REQUEST),
        Cost("DynamoDB: read units", f"{reads:,}", reads * _READ_UNIT),
        Cost("Lambda: invocations of 0.1 s at 512 MB", f"{runs:,}", lambda_),
        Cost("schedules: runs", f"{scheduled:,}", scheduled * _SCHEDULED),
        Cost("logs: bytes", f"{runs * _BYTES_A_RUN:,}", runs * _BYTES_A_RUN * _LOGGED_BYTE),
    ]
    return sorted(rows, key=lambda row: -row.dollars)


def idle_table() -> list[str]:
    """Return the rows and the total as a table of the docs."""
    rows = idle_costs()
    total = sum((row.dollars for row in rows), Decimal(0))
    lines = [f"| {row.what} | {row.units} | ${row.dollars:.2f} |" for row in rows]
    return [*lines, f"| **a month** | | **${total:.2f}** |"]
