"""The aggregate worker killed at each of its steps: the next run settles everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from aggregate.recompute import recompute
from metering.aws.clients import RETRIES
from metering.core.accounts import Customer
from metering.core.basis import Basis
from metering.core.catalog import Catalog, builtin_catalog
from metering.core.instants import DAY, format_instant
from metering.tables.tables import Tables
from testing.dynamodb import Call, FakeDynamoDb
from testing.reports import HOUR, report
from testing.tables import create_tables, items_of
from tests.property.scheduler import Killed

CUSTOMER = "cust_8f2c"
NOW = HOUR + 2 * DAY
NAMES = ("customers", "reports", "markers", "hours")
STEPS = ["GetItem", "GetItem", "Query", "PutItem", "PutItem", "GetItem", "DeleteItem"]
CATALOG = builtin_catalog()
PEAKS = CATALOG.model_copy(
    update={
        "meters": CATALOG.meters
        | {"devices": CATALOG.meters["devices"].model_copy(update={"basis": Basis.PEAK})}
    }
)


@dataclass
class Scene:
    """An hour with two journals' reports, dirty, on some client."""

    client: Any

    def __post_init__(self) -> None:
        self.tables = Tables.plain(self.client)
        start = datetime(2026, 11, 1, tzinfo=UTC)
        self.tables.customers.add(
            Customer(customer_id=CUSTOMER, name="Eight", plan="starter@1", anchor=start)
        )
        for state in ("journal-a", "journal-b"):
            self.tables.reports.put(report(instance_id=state, state_id=state))
            self.tables.markers.touch_dirty(CUSTOMER, HOUR)

    def run(self, catalog: Catalog) -> None:
        """The worker's run."""
        recompute(CUSTOMER, HOUR, NOW, self.tables, catalog)

    def items(self) -> list[Any]:
        """All items but the markers' random ids."""
        every = [
            item
            for name in NAMES
            for item in (
                self.client.items(name)
                if isinstance(self.client, FakeDynamoDb)
                else items_of(self.client, name)
            )
        ]
        return [{name: value for name, value in item.items() if name != "touched"} for item in every]

    @property
    def dirty(self) -> bool:
        """Whether the hour still waits."""
        return self.tables.markers.dirty_hour(CUSTOMER, HOUR) is not None


def steps_of(catalog: Catalog) -> list[str]:
    """The calls that an undisturbed run makes: operation and table."""
    calls: list[Call] = []
    scene = Scene(FakeDynamoDb())
    scene.client.before = calls.append
    scene.run(catalog)
    return [f"{call.operation} {call.table}" for call in calls]


def kill(scene: Scene, step: int, catalog: Catalog, moment: str) -> None:
    """Run the worker and kill it before its step, or once the step's call was made."""
    made: list[Call] = []

    def dies(call: Call) -> None:
        made.append(call)
        if len(made) == step:
            raise Killed

    setattr(scene.client, moment, dies)
    with pytest.raises(Killed):
        scene.run(catalog)
    scene.client.after = scene.client.before = lambda _call: None


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("catalog", [CATALOG, PEAKS], ids=["builtin", "peak"])
def test_a_killed_worker_s_hour_is_settled_by_the_next_run(catalog: Catalog, moment: str) -> None:
    """Whichever step a worker dies at, the next run ends in the items of an undisturbed one."""
    undisturbed = Scene(FakeDynamoDb())
    undisturbed.run(catalog)
    assert len(STEPS) <= len(steps_of(catalog))
    for step, name in enumerate(steps_of(catalog), 1):
        scene = Scene(FakeDynamoDb())
        kill(scene, step, catalog, moment)
        scene.run(catalog)
        assert undisturbed.items() == scene.items(), f"killed {moment} step {step}, {name}"


@pytest.mark.parametrize("catalog", [CATALOG, PEAKS], ids=["builtin", "peak"])
def test_the_hour_stays_dirty_until_all_is_done(catalog: Catalog) -> None:
    """A worker that dies before its last call leaves the marker, so that the next schedule finds the hour."""
    for step, name in enumerate(steps_of(catalog), 1):
        scene = Scene(FakeDynamoDb())
        kill(scene, step, catalog, "before")
        assert scene.dirty, f"killed before step {step}, {name}"


def test_a_worker_that_dies_again_and_again_settles_at_last() -> None:
    """Runs that each die one step later than the last end as one undisturbed run."""
    undisturbed = Scene(FakeDynamoDb())
    undisturbed.run(PEAKS)
    scene = Scene(FakeDynamoDb())
    for step in range(1, len(steps_of(PEAKS))):
        kill(scene, step, PEAKS, "after")
    scene.run(PEAKS)
    assert undisturbed.items() == scene.items()


@pytest.mark.parametrize(
    "step", range(1, len(STEPS) + 1), ids=[f"{step} {name}" for step, name in enumerate(STEPS, 1)]
)
def test_a_process_killed_at_a_step_leaves_all_to_the_next(dynamodb_local: str, step: int) -> None:
    """A real worker process, killed by SIGKILL before any of its calls, leaves what the next one settles."""
    undisturbed = Scene(FakeDynamoDb())
    undisturbed.run(CATALOG)
    access_key = uuid.uuid4().hex
    client = boto3.client(
        "dynamodb",
        endpoint_url=dynamodb_local,
        aws_access_key_id=access_key,
        aws_secret_access_key="test",
        config=RETRIES,
    )
    create_tables(client)
    scene = Scene(client)
    arguments = [dynamodb_local, access_key, CUSTOMER, format_instant(HOUR)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crash.aggregate_process", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        seen = []
        for _ in range(step - 1):
            seen.append(worker.stdout.readline().strip())
            worker.stdin.write("go\n")
            worker.stdin.flush()
        seen.append(worker.stdout.readline().strip())
        worker.kill()
        assert -signal.SIGKILL == worker.wait(timeout=30)
    assert STEPS[:step] == seen
    assert scene.dirty
    scene.run(CATALOG)
    assert not scene.dirty
    assert undisturbed.items() == scene.items()
