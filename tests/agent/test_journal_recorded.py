"""A journal that an agent before this one wrote is read and goes on.

`recorded/` holds the tables and the rows of two journals, and the reports that the agent which wrote them
(0.1.0, before it was divided into rooms) sent after the steps of `go_on`. One knew the time, had parted from
a twin and had reports waiting; the other ran by the wall clock.
"""

import json
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.engine.observation import Observation, Series, SourceIdentity
from agent.engine.reading import SourceReading
from tests.agent.world import REQUESTS, Counters, Instance, Machine

RECORDED = Path(__file__).with_name("recorded")
SENT, RECEIVED = Series("mqtt_bytes_sent"), Series("mqtt_bytes_received")


def tick(instance: Instance, **observations: Observation) -> None:
    """One tick with these sources' observations."""
    machine = instance.machine
    readings = [SourceReading(name, observation, 45) for name, observation in observations.items()]
    instance.journal.tick(machine.moment(), machine.wall(), readings)


def go_on(path: Path, then: dict[str, Any]) -> list[dict[str, Any]]:
    """A new run on the machine of the recording; the reports that it delivers."""
    machine = Machine(
        datetime.fromisoformat(then["true"]),
        boot=then["boot"],
        boot_ns=then["boot_ns"],
        awake_ns=then["awake_ns"],
    )
    totals = {Series(REQUESTS.metric, part): value for part, value in then["totals"].items()}
    source = Counters(machine, datetime.fromisoformat(then["born"]), totals=totals, tells_start=True)

    def broker(total: int, held: int) -> Observation:
        return Observation(
            machine.moment(),
            SourceIdentity(uptime_seconds=then["up"]),
            {SENT: total, RECEIVED: total // 2},
            {"mqtt_connections": 3},
            flags=frozenset({"lower_bound"}),
            own={SENT: held + 40, RECEIVED: (held + 40) // 2},
            held={SENT: held, RECEIVED: held // 2},
        )

    def wait(seconds: int) -> None:
        machine.wait(seconds)
        then["up"] += seconds

    wait(60)
    source.grow(31)
    with Instance(path, machine) as instance:
        tick(instance)
        tick(instance, http=source.observe(), mqtt=broker(34_000, 200))
        tick(instance, postgres=Observation(machine.moment(), None, gauges={"active_devices": 9}))
        wait(15)
        source.grow(2)
        tick(instance, http=source.observe(), mqtt=broker(34_500, 230))
        instance.learn_the_time()
        wait(3600)
        tick(instance)
        return [json.loads(report.canonical_json()) for report in instance.drain()]


@pytest.mark.parametrize("name", ["known", "provisional"])
def test_a_journal_of_an_older_agent_goes_on_as_it_would_have(tmp_path: Path, name: str) -> None:
    """The reports after an update are those that the older agent would have sent, to the last figure."""
    path = tmp_path / "journal"
    recorded = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    with closing(sqlite3.connect(path)) as db:
        db.executescript((RECORDED / "schema_1.sql").read_text(encoding="utf-8"))
        db.executescript((RECORDED / f"{name}.sql").read_text(encoding="utf-8"))

    assert recorded["reports"] == go_on(path, recorded["then"])
