"""The interleavings find what they are made to find: each fault of the protocol fails them."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ingest.accept import Accepted, read_report
from metering.aws.web import ApiError, Identity
from metering.core.catalog import Catalog
from metering.core.contract import Report
from metering.core.rollup import Hour, rollup
from metering.tables import hours
from metering.tables.hours import Hours
from metering.tables.markers import DirtyHour, Markers
from metering.tables.reports import Outcome, Reports
from metering.tables.tables import Tables
from tests.property.histories import History, histories
from tests.property.test_interleavings import CATALOG, check

type Fault = Callable[[pytest.MonkeyPatch], None]


def marker_before_report(patch: pytest.MonkeyPatch) -> None:
    """A worker clears the marker before its report lands."""

    def accept(body: bytes, _who: Identity, _now: datetime, tables: Tables) -> Accepted:
        report = read_report(body)
        tables.markers.touch_dirty(report.customer_id, report.window_start)
        return _stored(report, tables.reports)

    patch.setattr("tests.property.billing_world.accept", accept)


def only_new_reports_marked(patch: pytest.MonkeyPatch) -> None:
    """An ingest dies between its two steps, and the repeat does not mark."""

    def accept(body: bytes, _who: Identity, _now: datetime, tables: Tables) -> Accepted:
        report = read_report(body)
        done = _stored(report, tables.reports)
        if done.stored.outcome is Outcome.ACCEPTED:
            tables.markers.touch_dirty(report.customer_id, report.window_start)
        return done

    patch.setattr("tests.property.billing_world.accept", accept)


def cleared_though_touched(patch: pytest.MonkeyPatch) -> None:
    """A worker deletes a marker that a later report touched."""

    def clear(self: Markers, marker: DirtyHour) -> bool:
        present = self.dirty_hour(marker.customer_id, marker.hour)
        return present is not None and honest(self, present)

    honest = Markers.clear_dirty
    patch.setattr(Markers, "clear_dirty", clear)


def older_hour_over_newer(patch: pytest.MonkeyPatch) -> None:
    """A slow worker puts its hour without a condition."""

    def put(self: Hours, customer: str, hour: Hour) -> bool:
        self.client.put_item(TableName=self.table, Item=hours._item(customer, hour))
        return True

    patch.setattr(Hours, "put", put)


def reports_before_marker(patch: pytest.MonkeyPatch) -> None:
    """A worker reads the reports, and then the marker that it clears."""

    def recompute(
        customer: str, hour: datetime, _now: datetime, tables: Tables, _catalog: Catalog
    ) -> Hour | None:
        computed = rollup(hour, tables.reports.of_hour(customer, hour))
        marker = tables.markers.dirty_hour(customer, hour)
        if marker is not None and computed.instances:
            tables.hours.put(customer, computed)
            tables.markers.touch_unsent(customer, hour.date())
            tables.markers.clear_dirty(marker)
        return computed

    patch.setattr("tests.property.billing_world.recompute", recompute)


def unsent_never_marked(patch: pytest.MonkeyPatch) -> None:
    """A worker that was refused, because a newer hour is stored, skips what the newer one may not reach."""

    def touch(self: Markers, customer: str, day: Any) -> None:
        if self.dirty_hour(customer, datetime.fromisoformat(f"{day}T00:00:00Z")) is not None:
            honest(self, customer, day)

    honest = Markers.touch_unsent
    patch.setattr(Markers, "touch_unsent", touch)


FAULTS: list[Fault] = [
    marker_before_report,
    only_new_reports_marked,
    cleared_though_touched,
    older_hour_over_newer,
    reports_before_marker,
    unsent_never_marked,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_of_the_protocol_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol with one step wrong breaks an invariant in one of a thousand histories."""
    fault(monkeypatch)

    @settings(
        max_examples=1000,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
        report_multiple_bugs=False,
    )
    @given(histories())
    def run(history: History) -> None:
        check(history, CATALOG, page=1)

    with pytest.raises(AssertionError):
        run()


def _stored(report: Report, reports: Reports) -> Accepted:
    stored = reports.put(report)
    if stored.outcome is Outcome.CONFLICT:
        raise ApiError(409, "conflict", "another content", digest=stored.digest)
    return Accepted(report, stored)
