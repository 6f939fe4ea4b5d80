"""Read and write units of each step, as AWS's DynamoDB Local counts them for the table modules' own calls.

It counts strongly consistent reads by 4 KB of what a query reads, and writes by 1 KB of the larger of the old
and the new item. Of a query that finds nothing and of a put whose condition fails it says 0; AWS bills those
too, and docs/limits.md adds them.
"""

from __future__ import annotations

import random
import tempfile
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from aggregate.conservation import conserve
from aggregate.dispatch import due_shards
from aggregate.recompute import recompute
from ingest.accept import accept
from local.services.dynamodb import DynamoDbLocal
from metering.aws.clients import RETRIES
from metering.aws.web import Identity
from metering.core.accounts import BillingPeriod, Customer
from metering.core.catalog import builtin_catalog
from metering.core.contract import Report
from metering.core.instances import Instance
from metering.core.instants import DAY, HOUR, format_instant
from metering.core.metrics import COUNTERS, GAUGES
from metering.core.periods import Period
from metering.tables.tables import Tables
from stripe_report.dispatch import due_customers
from testing.tables import create_tables
from usage_query.live import live_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

CUSTOMER = "cust_8f2c"
MONTH = Period(datetime(2028, 3, 1, tzinfo=UTC), datetime(2028, 4, 1, tzinfo=UTC), first=True)
NOW = MONTH.end - HOUR / 2
SOURCES = ("mqtt", "http", "websocket", "external", "influxdb", "postgres", "objects", "compute", "agent")
_READS = {"GetItem", "Query"}


@dataclass(frozen=True, slots=True)
class Step:
    """What one step made of calls, and consumed of read and write units."""

    step: str
    calls: int
    read_units: float
    write_units: float


class Measured:
    """The tables on DynamoDB Local, and what each step consumed there."""

    def __init__(self, url: str) -> None:
        self.client = boto3.client(
            "dynamodb",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id=uuid.uuid4().hex,
            aws_secret_access_key="bench",  # noqa: S106  DynamoDB Local asks for some, and checks none
            config=RETRIES,
        )
        create_tables(self.client)
        self.units: Counter[str] = Counter()
        events = self.client.meta.events
        events.register("provide-client-params.dynamodb", _ask)
        events.register("after-call.dynamodb", self._add)
        self.tables = Tables.plain(self.client)
        self.steps: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note what is consumed meanwhile."""
        self.units.clear()
        yield
        self.steps.append(Step(name, self.units["calls"], self.units["read"] / 2, self.units["write"] / 2))

    def _add(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        self.units["calls"] += 1
        if "ConsumedCapacity" in parsed:
            # Halves of units are whole numbers.
            halves = int(parsed["ConsumedCapacity"]["CapacityUnits"] * 2)
            self.units["read" if model.name in _READS else "write"] += halves


def _ask(params: dict[str, Any], model: Any, **_: Any) -> None:
    if model.name != "CreateTable":
        params["ReturnConsumedCapacity"] = "TOTAL"


def full_report(hour: datetime, instance: str = "default", revision: int = 4) -> Report:
    """Return a closed hour of every source and metric, with a large customer's figures."""
    draw = random.Random(f"{hour} {instance} {revision}")  # noqa: S311  figures for a benchmark
    levels = {name: draw.randrange(10**11) for name in sorted(GAUGES)}
    return Report.model_validate(
        {
            "schema_version": 1,
            "customer_id": CUSTOMER,
            "instance_id": instance,
            "window_start": hour,
            "state_id": "0192f3a1-7c00-7000-8000-4f6e2b1a9c3d",
            "revision": revision,
            "final": True,
            "observed_from": hour,
            "observed_until": hour + HOUR,
            "agent_version": "1.0.0",
            "counters": {name: draw.randrange(10**10) for name in sorted(COUNTERS)},
            "gauges": {
                name: {"last": value, "max": value, "integral": value * 3600, "seconds": 3600}
                for name, value in levels.items()
            },
            "sources": {name: {"status": "ok", "covered_seconds": 3600} for name in SOURCES},
        }
    )


def measure() -> list[Step]:
    """Measure each step of a customer with one instance and a full month, then with a hundred instances."""
    with tempfile.TemporaryDirectory() as folder, DynamoDbLocal(Path(folder)) as local:
        measured = Measured(local.url)
        _one_instance(measured)
        _hundred_instances(measured)
        return measured.steps


def _one_instance(measured: Measured) -> None:
    tables, catalog = measured.tables, builtin_catalog()
    customer = Customer(
        customer_id=CUSTOMER,
        name="Eight",
        plan="starter@1",
        anchor=MONTH.start,
        stripe_customer_id="cus_1",
        stripe_subscription_id="sub_1",
    )
    tables.customers.add(customer)
    tables.customers.add_period(CUSTOMER, BillingPeriod.of(customer, MONTH))
    tables.instances.put(Instance(customer_id=CUSTOMER, instance_id="default", digests=("0" * 64,)))
    with measured.step("dispatch of an empty shard set (16 shards)"):
        assert not list(due_shards(tables.markers, NOW, include_open=True))
    with measured.step("dispatch to Stripe of an empty shard set (16 shards)"):
        assert not list(due_customers(tables.markers, include_open=False))

    first = MONTH.start
    with measured.step("ingest of a first report, every source"):
        _ingest(tables, full_report(first, revision=4))
    with measured.step("ingest of a further revision"):
        _ingest(tables, full_report(first, revision=5))
    with measured.step("ingest of the same report again"):
        _ingest(tables, full_report(first, revision=5))
    with measured.step("recompute of an hour, one instance"):
        recompute(CUSTOMER, first, NOW, tables, catalog)
    with measured.step("recompute of an hour that is clean"):
        recompute(CUSTOMER, first, NOW, tables, catalog)

    for hour in list(MONTH.hours())[1:]:
        _ingest(tables, full_report(hour))
        recompute(CUSTOMER, hour, NOW, tables, catalog)
    with measured.step("current period of a full month (744 hours)"):
        _read(tables)
    _ingest(tables, full_report(first, revision=6))
    with measured.step("the same with one dirty hour"):
        _read(tables)
    recompute(CUSTOMER, first, NOW, tables, catalog)
    with measured.step("conservation of a full month, one instance"):
        conserve(CUSTOMER, NOW, tables, catalog)


def _hundred_instances(measured: Measured) -> None:
    tables = measured.tables
    hour = MONTH.start - 2 * DAY
    for number in range(100):
        report = full_report(hour, f"instance-{number:03}")
        tables.reports.put(report)
    tables.markers.touch_dirty(CUSTOMER, hour)
    with measured.step("recompute of an hour, a hundred instances"):
        recompute(CUSTOMER, hour, NOW, tables, builtin_catalog())


def _ingest(tables: Tables, report: Report) -> None:
    identity = Identity(CUSTOMER, report.instance_id, "instance")
    accept(report.canonical_json(), identity, NOW, tables)


def _read(tables: Tables) -> None:
    """Make the reads of the page's one call but for the newest reports of instances and the alerts."""
    account = tables.customers.account(CUSTOMER)
    assert account is not None
    billing = account.period_at(MONTH.start)
    assert billing is not None, format_instant(NOW)
    live = live_usage(CUSTOMER, billing, NOW, tables, builtin_catalog())
    assert live.usage.hours
