"""The heaviest customers that the aggregate function must bear, and the work they make."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import boto3
from moto import mock_aws

from aggregate.alerts import AlertRaiser
from aggregate.publish import Publisher
from aggregate.recompute import recompute
from metering.aws.clients import RETRIES, Clients
from metering.core.accounts import BillingPeriod, Customer
from metering.core.catalog import builtin_catalog
from metering.core.contract import Report
from metering.core.instances import Instance, secret_digest
from metering.core.instants import HOUR, HOUR_SECONDS
from metering.core.metrics import COUNTERS, GAUGES
from metering.core.rollup import rollup
from metering.tables.access import TableAccess
from metering.tables.tables import Tables
from testing.tables import create_table, create_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mypy_boto3_dynamodb import DynamoDBClient

INSTANCES = 1000
LATE_HOURS = 744
JOURNALS = 6000
"""Journals of one instance's hour: an agent that begins anew more than once a second."""
JOURNAL_METRICS = 10
"""Counters and gauges that each of them tells: what an agent of four sources does."""
BATCH = 10
"""Messages that the function gets in one run."""

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
LAST_HOUR = END - HOUR
NOW = END + timedelta(minutes=2)
WIDE, LONG = "wide", "long"
SOURCES = ("agent", "mqtt", "http", "postgres", "influxdb", "objects", "compute", "websocket", "external")
_SWEPT_HOURS = 5
"""Hours whose keys a sweep reads: four, and the one that is open."""


@dataclass(frozen=True)
class Work:
    """One case: what is measured, what must be undone before it, and the bare calls it cannot do without."""

    run: Callable[[], object]
    floor: Callable[[], object]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Heavy:
    """Two customers: one with a thousand instances, one whose whole month comes late."""

    client: DynamoDBClient
    tables: Tables
    alerts: AlertRaiser
    units: Counter[str]
    """Read and write units consumed, as DynamoDB Local tells them."""

    @classmethod
    def connect(cls, endpoint: str) -> Self:
        """Wire the deployed code to DynamoDB Local; alerts go to moto."""
        mock_aws().start()
        client = boto3.client(
            "dynamodb",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="bench",
            aws_secret_access_key="bench",  # noqa: S106  DynamoDB Local takes any
            config=RETRIES,
        )
        tables = Tables.plain(client)
        boto3.client("events", region_name="us-east-1").create_event_bus(Name="alerts")
        topic = boto3.client("sns", region_name="us-east-1").create_topic(Name="operator")["TopicArn"]
        alerts = AlertRaiser(tables, Publisher(Clients(), "alerts", topic), builtin_catalog())
        units: Counter[str] = Counter()
        client.meta.events.register("provide-client-params.dynamodb", _ask_for_units)
        client.meta.events.register("after-call.dynamodb", partial(_add_units, units))
        return cls(client, tables, alerts, units)

    def fill(self) -> None:
        """Make the tables, both customers, their reports and their hours."""
        create_tables(self.client)
        create_table(self.client, "scratch")
        for name in (WIDE, LONG):
            self.tables.customers.add(Customer(customer_id=name, name=name, plan="professional@1"))
            self.tables.customers.add_period(name, BillingPeriod(start=START, end=END, plan="professional@1"))
        for number in range(INSTANCES):
            self.tables.instances.put(
                Instance(customer_id=WIDE, instance_id=f"i{number:04}", digests=(secret_digest("s"),))
            )
        for back in range(_SWEPT_HOURS - 1):
            for number in range(INSTANCES):
                self.tables.reports.put(full_report(WIDE, f"i{number:04}", LAST_HOUR - back * HOUR))
        for number in range(LATE_HOURS):
            hour = START + number * HOUR
            self.tables.reports.put(full_report(LONG, "default", hour))
            made = rollup(hour, self.tables.reports.of_hour(LONG, hour))
            for name in (WIDE, LONG):
                self.tables.hours.put(name, made)

    def wide_hour(self) -> Work:
        """One hour of a thousand instances."""
        return Work(
            run=lambda: self._recompute(WIDE, LAST_HOUR),
            floor=lambda: self._bare(WIDE, LAST_HOUR),
            prepare=lambda: self.tables.markers.touch_dirty(WIDE, LAST_HOUR),
        )

    def late_hours(self) -> Work:
        """A batch of ten late hours: nothing of them is evaluated but by the sweep."""
        hours = [START + number * HOUR for number in range(BATCH)]
        return Work(
            run=lambda: each(lambda hour: self._recompute(LONG, hour), hours),
            floor=lambda: each(lambda hour: self._bare(LONG, hour), hours),
            prepare=lambda: each(lambda hour: self.tables.markers.touch_dirty(LONG, hour), hours),
        )

    def many_journals(self) -> Work:
        """The rollup alone, of journals of up to a minute that overlap in all ways; the floor adds up."""
        journals = [_journal(number) for number in range(JOURNALS)]
        return Work(
            run=lambda: rollup(LAST_HOUR, journals),
            floor=lambda: sum(sum(journal.counters.values()) for journal in journals),
        )

    def evaluation(self) -> Work:
        """Step 5 of the last hour of a full period."""
        return Work(
            run=lambda: self.alerts.hour_recomputed(LONG, LAST_HOUR, NOW),
            floor=lambda: self._read("hours", LONG, ""),
        )

    def sweep_reporting(self) -> Work:
        """The sweep of a thousand instances, all of which report."""
        return Work(run=lambda: self.alerts.sweep(WIDE, NOW), floor=self._bare_sweep)

    def sweep_silent(self) -> Work:
        """The sweep at which all of a thousand instances have been silent for three hours."""
        return Work(
            run=lambda: self.alerts.sweep(WIDE, NOW + 4 * HOUR),
            floor=self._bare_sweep_with_alerts,
            prepare=self._forget_silences,
        )

    def _recompute(self, customer_id: str, hour: datetime) -> None:
        recompute(customer_id, hour, NOW, self.tables, self.alerts.catalog)

    def _bare(self, customer_id: str, hour: datetime) -> None:
        """The six calls of a recomputation."""
        key: Any = {"pk": {"S": customer_id}, "sk": {"S": f"{hour}"}}
        self.client.get_item(TableName="scratch", Key=key, ConsistentRead=True)
        self.client.get_item(TableName="scratch", Key=key, ConsistentRead=True)
        self._read("reports", customer_id, f"{hour:%Y-%m-%dT%H}")
        self.client.put_item(TableName="scratch", Item=key)
        self.client.put_item(TableName="scratch", Item=key)
        self.client.delete_item(TableName="scratch", Key=key)

    def _bare_sweep(self) -> None:
        """The reads of a sweep: the account, the keys of the last hours, the period's hours."""
        self._read("customers", WIDE, "")
        for _ in self._table("reports").query("pk = :pk", {"ProjectionExpression": "sk"}, pk=WIDE):
            pass
        self._read("hours", WIDE, "")

    def _bare_sweep_with_alerts(self) -> None:
        """The sweep's reads, and the writes of a thousand alerts: pending, then sent."""
        self._bare_sweep()
        for number in range(INSTANCES):
            key: Any = {"pk": {"S": "alert"}, "sk": {"S": f"{number}"}}
            self.client.put_item(TableName="scratch", Item=key)
            self.client.update_item(
                TableName="scratch",
                Key=key,
                UpdateExpression="SET s = :sent",
                ExpressionAttributeValues={":sent": {"S": "sent"}},
            )

    def _read(self, table: str, customer_id: str, prefix: str) -> None:
        read = self._table(table).items_with_prefix(customer_id, prefix) if prefix else None
        for _ in read or self._table(table).query("pk = :pk", pk=customer_id):
            pass

    def _table(self, name: str) -> TableAccess:
        return TableAccess(self.client, name)

    def _forget_silences(self) -> None:
        for item in [*self._table("customers").items_with_prefix(WIDE, "alert#silent#")]:
            self.client.delete_item(TableName="customers", Key={"pk": item["pk"], "sk": item["sk"]})


def _journal(number: int) -> Report:
    draw = random.Random(number)  # noqa: S311  figures for a benchmark
    start = draw.randrange(HOUR_SECONDS)
    until = min(HOUR_SECONDS, start + draw.randrange(60))
    counters, gauges = sorted(COUNTERS)[: JOURNAL_METRICS // 2], sorted(GAUGES)[: JOURNAL_METRICS // 2]
    full = full_report(WIDE, "default", LAST_HOUR)
    return full.model_copy(
        update={
            "state_id": f"journal-{number}",
            "observed_from": LAST_HOUR + timedelta(seconds=start),
            "observed_until": LAST_HOUR + timedelta(seconds=until),
            "counters": {name: draw.randrange(10**9) for name in counters},
            "gauges": {
                name: full.gauges[name].model_copy(update={"integral": draw.randrange(10**12)})
                for name in gauges
            },
            "sources": {name: full.sources[name] for name in SOURCES[:4]},
        }
    )


def _ask_for_units(params: dict[str, Any], model: Any, **_: Any) -> None:
    if model.name != "CreateTable":
        params["ReturnConsumedCapacity"] = "TOTAL"


def _add_units(units: Counter[str], parsed: dict[str, Any], model: Any, **_: Any) -> None:
    kind = "read" if model.name in {"GetItem", "Query"} else "write"
    units[kind] += parsed.get("ConsumedCapacity", {}).get("CapacityUnits", 0)


def each(action: Callable[[datetime], None], hours: Iterable[datetime]) -> None:
    """Do something for every hour."""
    for hour in hours:
        action(hour)


def full_report(customer_id: str, instance: str, hour: datetime) -> Report:
    """Return a report of every source and every metric."""
    return Report.model_validate(
        {
            "schema_version": 1,
            "customer_id": customer_id,
            "instance_id": instance,
            "window_start": hour,
            "state_id": f"0192f3a1-{instance}",
            "revision": 5,
            "final": True,
            "observed_from": hour,
            "observed_until": hour + HOUR,
            "agent_version": "1.0.0",
            "counters": {name: 10_000_019 * (1 + n) for n, name in enumerate(sorted(COUNTERS))},
            "gauges": {
                name: {
                    "last": 1_000_003 * (1 + n),
                    "max": 1_000_033 * (1 + n),
                    "integral": 1_000_003 * (1 + n) * HOUR_SECONDS,
                    "seconds": HOUR_SECONDS,
                }
                for n, name in enumerate(sorted(GAUGES))
            },
            "sources": {name: {"status": "ok", "covered_seconds": HOUR_SECONDS} for name in SOURCES},
        }
    )
