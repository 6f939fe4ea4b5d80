"""Recomputing an hour: idempotent, never backwards, and no marker lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aggregate.recompute import recompute
from metering.core.accounts import BillingPeriod, Customer, PeriodState
from metering.core.catalog import Catalog, builtin_catalog, parse_catalog
from metering.core.instants import HOUR as ONE_HOUR
from metering.core.rollup import rollup
from metering.tables.reports import Reports
from metering.tables.tables import Tables
from testing.reports import HOUR, gauge, report
from testing.tables import Calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from metering.core.contract import Report
    from metering.core.rollup import Hour
    from tests.component.service import Service

CATALOG = builtin_catalog()
LATER = HOUR + timedelta(days=2)
PEAK = parse_catalog("""
currency = "usd"
[meters.devices]
label = "Devices"
metrics = ["active_devices"]
unit = "device"
unit_size = 1
basis = "peak"
[plans]
""")


@dataclass(frozen=True, slots=True)
class SlowReports(Reports):
    """Reports that are read, and then something else happens before the reader goes on."""

    meanwhile: Callable[[], object] = lambda: None

    def of_hour(self, customer: str, hour: datetime) -> Iterator[Report]:
        """Read the hour; the others act before the reader computes."""
        read = list(super(SlowReports, self).of_hour(customer, hour))
        self.meanwhile()
        return iter(read)


def reading(tables: Tables, reports: Reports) -> Tables:
    """Return the same tables with the reports read another way."""
    made = Tables.plain(tables.reports.client)
    made.__dict__["reports"] = reports
    return made


@pytest.fixture
def tables(service: Service) -> Tables:
    """The tables that a worker has."""
    return service.tables


def land(tables: Tables, revision: int, requests: int, **changes: Any) -> Report:
    """Let a report land as ingest does: the report, then the marker."""
    sent = report(revision=revision, counters={"http_requests": requests}, **changes)
    tables.reports.put(sent)
    tables.markers.touch_dirty(sent.customer_id, sent.window_start)
    return sent


def work(tables: Tables, catalog: Catalog = CATALOG, now: datetime = LATER) -> Hour | None:
    """Recompute the hour."""
    return recompute("cust_8f2c", HOUR, now, tables, catalog)


def hours(tables: Tables) -> list[Hour]:
    """Return the stored hours."""
    return list(tables.hours.between("cust_8f2c", HOUR - 99 * ONE_HOUR, HOUR + 99 * ONE_HOUR))


def unsent(tables: Tables) -> list[date]:
    """Return the days that are to be reported."""
    return [marker.day for marker in tables.markers.unsent_of("cust_8f2c")]


def test_a_dirty_hour_is_computed(tables: Tables) -> None:
    """A dirty hour is rolled up and stored, its day is to be reported, and its marker is gone."""
    sent = land(tables, 1, 10)
    assert rollup(HOUR, [sent]) == work(tables)
    assert [rollup(HOUR, [sent])] == hours(tables)
    assert [HOUR.date()] == unsent(tables)
    assert [] == list(tables.markers.dirty_of("cust_8f2c"))


def test_a_clean_hour_is_left(tables: Tables) -> None:
    """Without a marker there is nothing to do: nothing is stored and no day marked."""
    tables.reports.put(report())
    assert work(tables) is None
    assert ([], []) == (hours(tables), unsent(tables))


def test_a_marker_without_reports(tables: Tables) -> None:
    """A marker whose reports are gone leaves no hour of nothing behind, and is cleared."""
    tables.markers.touch_dirty("cust_8f2c", HOUR)
    work(tables)
    assert ([], [], []) == (hours(tables), unsent(tables), list(tables.markers.dirty_of("cust_8f2c")))


def test_again_and_again(tables: Tables, service: Service) -> None:
    """Recomputing twice ends in the same hour, byte for byte."""
    land(tables, 1, 10)
    work(tables)
    before = service.everything()["hours"]
    tables.markers.touch_dirty("cust_8f2c", HOUR)
    work(tables)
    assert before == service.everything()["hours"]


def test_touched_meanwhile(tables: Tables) -> None:
    """A report that lands while a worker computes keeps its marker, and the next work takes it in."""
    land(tables, 1, 10)
    slow = SlowReports(tables.reports.client, tables.reports.table, lambda: land(tables, 2, 20))
    work(reading(tables, slow))
    assert 1 == len(list(tables.markers.dirty_of("cust_8f2c")))
    work(tables)
    assert [20] == [hour.counters["http_requests"] for hour in hours(tables)]
    assert [] == list(tables.markers.dirty_of("cust_8f2c"))


def test_a_slow_worker(tables: Tables) -> None:
    """A worker that read older reports never puts its hour over a newer one; it goes on and marks the day."""

    def overtake() -> None:
        land(tables, 2, 20)
        work(tables)
        (marker,) = tables.markers.unsent_of("cust_8f2c")
        tables.markers.clear_unsent(marker)

    land(tables, 1, 10)
    slow = SlowReports(tables.reports.client, tables.reports.table, overtake)
    work(reading(tables, slow))
    assert [(2, 20)] == [(hour.computed_from, hour.counters["http_requests"]) for hour in hours(tables)]
    assert [HOUR.date()] == unsent(tables)


def test_a_slow_worker_of_two_journals(tables: Tables) -> None:
    """The sum of revisions tells newer from older though another journal's report is the change."""
    land(tables, 9, 10)
    slow = SlowReports(
        tables.reports.client,
        tables.reports.table,
        lambda: (land(tables, 1, 5, instance_id="second"), work(tables)),
    )
    work(reading(tables, slow))
    assert [(10, 15)] == [(hour.computed_from, hour.counters["http_requests"]) for hour in hours(tables)]


def test_any_step_may_fail(tables: Tables, service: Service) -> None:
    """Wherever a worker dies, the next one ends in the same hour, the day marked and the marker cleared."""
    whole = Calls().watch(service.client)
    land(tables, 1, 10)
    started = len(whole.made)
    work(tables)
    steps = [f"{name} {made['TableName']}" for name, made in whole.made[started:]]
    expected = service.everything()["hours"]
    assert len(steps) >= 5
    for step, name in enumerate(steps):
        for item in expected:
            service.client.delete_item(TableName="hours", Key={name: item[name] for name in ("pk", "sk")})
        for marker in tables.markers.unsent_of("cust_8f2c"):
            tables.markers.clear_unsent(marker)
        tables.markers.touch_dirty("cust_8f2c", HOUR)
        Calls(fail_at=step).watch(service.client)
        with pytest.raises(ConnectionAbortedError):
            work(tables)
        where = f"failed at step {step}, {name}"
        assert 1 == len(list(tables.markers.dirty_of("cust_8f2c"))), where
        work(tables)
        assert expected == service.everything()["hours"], where
        assert [HOUR.date()] == unsent(tables), where
        assert [] == list(tables.markers.dirty_of("cust_8f2c")), where


def test_the_order_of_steps(tables: Tables, service: Service) -> None:
    """Marker, both reads, hour, unsent day, then the marker's end: no accepted report is ever uncovered."""
    land(tables, 1, 10)
    watched = Calls().watch(service.client)
    work(tables)
    order = [(name, made["TableName"]) for name, made in watched.made if made["TableName"] != "customers"]
    assert [
        ("GetItem", "markers"),
        ("GetItem", "hours"),
        ("Query", "reports"),
        ("PutItem", "hours"),
        ("PutItem", "markers"),
        ("DeleteItem", "markers"),
    ] == order


@pytest.fixture
def fell(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    """Return the log records since the last call that say an hour fell: as many as were counted."""
    counted: list[str] = []
    monkeypatch.setattr("aggregate.recompute.count", lambda name, number=1: counted.extend([name] * number))

    def found() -> list[Any]:
        records = [record for record in caplog.records if record.message == "an hour fell"]
        assert ["hour_fell"] * len(records) == counted
        caplog.clear()
        counted.clear()
        return records

    return found


@pytest.mark.parametrize(
    "lower",
    [
        {"counters": {"http_requests": 9}},
        {"gauges": {"active_devices": gauge(5, 9, 35_999)}},
        {"gauges": {"active_devices": gauge(5, 8, 36_000)}},
    ],
    ids=["counter", "integral", "maximum"],
)
def test_an_hour_that_falls_is_alarmed(
    tables: Tables, fell: Callable[[], list[Any]], lower: dict[str, Any]
) -> None:
    """An hour that falls by a higher revision is stored, counted, and logged with its metrics."""
    amounts: dict[str, Any] = {
        "counters": {"http_requests": 10},
        "gauges": {"active_devices": gauge(5, 9, 36_000)},
    }
    for revision, told in enumerate((amounts, amounts, amounts | lower), 1):
        tables.reports.put(report(revision=revision, **told))
        tables.markers.touch_dirty("cust_8f2c", HOUR)
        work(tables)
        if revision < 3:
            assert [] == fell()
    (record,) = fell()
    (metric,) = next(iter(lower.values()))
    assert ([metric], [2, 3]) == ([*record.metrics], record.computed_from)
    assert [3] == [hour.computed_from for hour in hours(tables)]


def test_an_hour_falls_by_a_journal_that_grew_into_others(
    tables: Tables, fell: Callable[[], list[Any]]
) -> None:
    """An hour may fall though no report does: a journal's span grew, and now it saw what another saw."""
    land(tables, 1, 10, span=(0, 1800), state_id="a")
    land(tables, 1, 5, span=(1800, 2400), state_id="b")
    work(tables)
    land(tables, 2, 10, span=(0, 2400), state_id="a")
    work(tables)
    (record,) = fell()
    assert ["http_requests"] == [*record.metrics]
    assert [10] == [hour.counters["http_requests"] for hour in hours(tables)]


CHAIN = (("a", (0, 1200), 3), ("b", (1000, 2600), 4), ("c", (2400, 3600), 5))
"""Three journals in a chain: 5 by the first rule, 8 by the newest."""


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, (2, 8)),
        (PeriodState.OPEN, (2, 8)),
        (PeriodState.CLOSING, (1, 5)),
        (PeriodState.FINALISED, (1, 5)),
    ],
)
def test_an_hour_of_a_final_period_keeps_its_rule(
    tables: Tables, state: PeriodState | None, expected: tuple[int, int]
) -> None:
    """An hour that is made again is made by the newest rule, in a period that is closed by its own."""
    if state is not None:
        start = HOUR - timedelta(days=3)
        end = HOUR + timedelta(days=3)
        tables.customers.add(Customer(customer_id="cust_8f2c", name="Eight", plan="starter@1"))
        tables.customers.add_period(
            "cust_8f2c", BillingPeriod(start=start, end=end, plan="starter@1", state=state)
        )
    sent = [land(tables, 1, requests, state_id=name, span=span) for name, span, requests in CHAIN]
    tables.hours.put("cust_8f2c", rollup(HOUR, sent, version=1))
    work(tables)
    assert [expected] == [(hour.version, hour.counters["http_requests"]) for hour in hours(tables)]


def days(first: date, count: int) -> list[date]:
    """Return days in a row."""
    return [first + timedelta(days=n) for n in range(count)]


def test_sums_mark_their_own_day(tables: Tables) -> None:
    """Without a peak meter a late report marks its own day alone, however late it is."""
    land(tables, 1, 10)
    work(tables, now=HOUR + timedelta(days=30))
    assert [HOUR.date()] == unsent(tables)


def test_a_peak_marks_later_days(tables: Tables) -> None:
    """With a peak meter a late report marks every later day up to today, whose rises may change."""
    land(tables, 1, 10)
    tables.customers.add(Customer(customer_id="cust_8f2c", name="Eight", plan="x@1"))
    work(tables, PEAK, HOUR + timedelta(days=3))
    assert days(HOUR.date(), 4) == unsent(tables)


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (datetime(2026, 11, 25, tzinfo=HOUR.tzinfo), date(2026, 11, 24)),
        (datetime(2026, 11, 25, 10, tzinfo=HOUR.tzinfo), date(2026, 11, 25)),
    ],
)
def test_a_peak_ends_with_its_period(tables: Tables, end: datetime, last: date) -> None:
    """A peak's later days end with the period's last day: the next period begins its own peak."""
    land(tables, 1, 10)
    tables.customers.add(Customer(customer_id="cust_8f2c", name="Eight", plan="x@1"))
    tables.customers.add_period(
        "cust_8f2c", BillingPeriod(start=HOUR - timedelta(days=3), end=end, plan="x@1")
    )
    work(tables, PEAK, HOUR + timedelta(days=20))
    assert days(HOUR.date(), (last - HOUR.date()).days + 1) == unsent(tables)


def test_a_peak_of_a_period_not_yet_stored(tables: Tables) -> None:
    """A period that has no snapshot yet bounds a peak all the same: the calendar month, or the anchor's."""
    land(tables, 1, 10)
    tables.customers.add(Customer(customer_id="cust_8f2c", name="Eight", plan="x@1"))
    work(tables, PEAK, HOUR + timedelta(days=20))
    assert days(HOUR.date(), 9) == unsent(tables)
