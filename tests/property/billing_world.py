"""The service over the fake tables: ingests and workers as actors, and what must hold after each step.

The code that runs is `ingest.accept`, `aggregate.recompute` and the table modules as they are deployed.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise, product
from typing import Any

from aggregate.recompute import recompute
from ingest.accept import accept
from metering.aws.web import ApiError, Identity
from metering.core.catalog import Catalog
from metering.core.contract import Report
from metering.core.instants import format_instant, parse_instant
from metering.core.rollup import rollup
from metering.tables.hours import Hours
from metering.tables.reports import Reports
from metering.tables.shards import SHARDS, shard_of
from metering.tables.tables import Tables
from testing.dynamodb import FakeDynamoDb
from tests.property.histories import CUSTOMER, NOW, Delivery, History
from tests.property.scheduler import Killed, Scheduler

_FORK = {"conflict", "superseded"}
_STORED = {"accepted", "duplicate"}


@dataclass
class World:
    """The tables, the deliveries that are on their way, and what the agents were answered."""

    catalog: Catalog
    page: int = 1
    accepted: list[Report] = field(default_factory=list)
    lowered: list[tuple[str, ...]] = field(default_factory=list)
    _versions: dict[tuple[str, str], list[Report]] = field(default_factory=dict)
    _answered: dict[tuple[str, str], int] = field(default_factory=dict)
    _computed_from: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = FakeDynamoDb(page=self.page)
        fake: Any = self.client
        self.tables = Tables.plain(fake)

    def play(self, history: History) -> list[str]:
        """Run a history with two ingests and two aggregate workers, then settle; return the steps."""
        waiting = deque(history.deliveries)
        programs: dict[str, Callable[[], None]] = {
            "ingest 1": lambda: self._ingest(waiting, history),
            "ingest 2": lambda: self._ingest(waiting, history),
        }
        for number, hours in enumerate(history.recomputed, 1):
            programs[f"worker {number}"] = lambda hours=hours: self._work(hours)  # type: ignore[misc]
        scheduler = Scheduler(self.client, self.watch)
        scheduler.run(programs, iter(history.choices))
        self.settle()
        return scheduler.trace

    def deliver(self, reports: Iterable[Report]) -> None:
        """Deliver in this order, one after the other; none of them may meet a twin's."""
        waiting = deque(Delivery(report, 0) for report in reports)
        known = frozenset(delivery.report.digest() for delivery in waiting)
        self._ingest(waiting, History(tuple(waiting), {0: known}))

    def settle(self) -> None:
        """Recompute what is still dirty: the schedule's next run, undisturbed."""
        for shard in range(SHARDS):
            for marker in list(self.tables.markers.dirty(shard)):
                recompute(marker.customer_id, marker.hour, NOW, self.tables, self.catalog)
        self.watch()

    def state(self) -> list[tuple[str, dict[str, Any]]]:
        """Every item of every table, with the markers' random ids left out."""
        return [
            (table, {name: value for name, value in item.items() if name != "touched"})
            for table in ("customers", "reports", "markers", "hours")
            for item in self.client.items(table)
        ]

    def replaced(self) -> list[tuple[Report, Report]]:
        """Each stored report that a higher revision took the place of, with that revision."""
        return [pair for versions in self._versions.values() for pair in pairwise(versions)]

    def _ingest(self, waiting: deque[Delivery], history: History) -> None:
        while waiting:
            delivery = waiting.popleft()
            try:
                self._accept(delivery, waiting, history)
            except Killed:
                # No answer: the agent tries again later.
                waiting.append(delivery)

    def _accept(self, delivery: Delivery, waiting: deque[Delivery], history: History) -> None:
        report = delivery.report
        identity = Identity(report.customer_id, report.instance_id, "instance")
        try:
            done = accept(report.model_dump_json().encode(), identity, NOW, self.tables)
            outcome, digest = done.stored.outcome.value, done.stored.digest
        except ApiError as error:
            if error.code != "conflict":
                raise
            outcome, digest = error.code, error.held["digest"]
        if outcome in _STORED:
            self.accepted.append(report)
        if outcome != "conflict":
            key = (f"{format_instant(report.window_start)}", f"{report.instance_id}#{report.state_id}")
            self._answered[key] = max(report.revision, self._answered.get(key, 0))
        if outcome == "accepted":
            self.lowered.append(done.stored.lowered)
        own = history.built.get(delivery.lineage, frozenset())
        if outcome in _FORK and digest not in own and "f" not in report.state_id:
            # A twin was there first: the agent takes a state_id of its own and sends the hour again under it.
            forked = report.model_copy(update={"state_id": f"{report.state_id}f{delivery.lineage}"})
            waiting.append(Delivery(forked, delivery.lineage))

    def _work(self, hours: Iterable[datetime]) -> None:
        for hour in hours:
            try:
                recompute(CUSTOMER, hour, NOW, self.tables, self.catalog)
            except Killed:
                continue

    def watch(self) -> None:
        """Check what must hold at every moment.

        No accepted report is without a marker or an hour that includes it, and no hour ever goes back.
        """
        self._remember_versions()
        for key, item in ((i["sk"]["S"], i) for i in self.client.items("hours")):
            computed_from = int(item["n"]["N"])
            assert computed_from >= self._computed_from.get(key, 0), f"{key} goes back"
            self._computed_from[key] = computed_from
        for hour in sorted({hour for hour, _ in self._answered}):
            if self._marked("dirty", hour):
                continue
            stored = self.client.item("hours", CUSTOMER, hour)
            assert stored is not None, f"{hour} has an accepted report, but neither a marker nor an hour"
            assert self._marked("unsent", hour[:10]), f"{hour} is stored, but its day is not to be sent"
            assert bytes(stored["b"]["B"]) in self._permitted(hour), f"{hour} lacks what was accepted"

    def _remember_versions(self) -> None:
        for item in self.client.items("reports"):
            hour, _, journal = item["sk"]["S"].partition("#")
            versions = self._versions.setdefault((hour, journal), [])
            if not versions or versions[-1].revision < int(item["n"]["N"]):
                versions.append(_report(item))

    def _permitted(self, hour: str) -> set[bytes]:
        """The hour made of what was answered; a report that is stored but not answered may be in or not."""
        choices = []
        for key, versions in self._versions.items():
            if key[0] != hour:
                continue
            answered = self._answered.get(key, 0)
            fitting: list[Report | None] = [v for v in versions if v.revision >= answered]
            choices.append(fitting if answered else [*fitting, None])
        return {packed_hour(hour, [report for report in chosen if report]) for chosen in product(*choices)}

    def _marked(self, kind: str, rest: str) -> bool:
        sort = f"{CUSTOMER}#{rest}"
        return self.client.item("markers", f"{kind}#{shard_of(CUSTOMER)}", sort) is not None


def packed_hour(hour: str, reports: Iterable[Report]) -> bytes:
    """Return the bytes that the Hours table holds for these reports."""
    client = FakeDynamoDb()
    fake: Any = client
    Hours(fake, "hours").put(CUSTOMER, rollup(parse_instant(hour), reports))
    (item,) = client.items("hours")
    return bytes(item["b"]["B"])


def _report(item: dict[str, Any]) -> Report:
    """Read one item as the table module does, past the steps."""
    client = FakeDynamoDb()
    client.put_item(TableName="reports", Item=item)
    fake: Any = client
    start = parse_instant(item["sk"]["S"].partition("#")[0])
    (report,) = Reports(fake, "reports").of_hour(CUSTOMER, start)
    return report
