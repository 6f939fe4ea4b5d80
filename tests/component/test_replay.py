"""``ops replay``: a span is made again from its raw reports, and where nothing changed nothing is done."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from metering.core.instants import DAY, HOUR, format_instant
from metering.core.rollup import Hour
from ops.__main__ import app
from ops.deployment import Deployment
from ops.errors import OperatorError
from testing.reports import document

if TYPE_CHECKING:
    from datetime import datetime

    from tests.component.service import Service

pytestmark = pytest.mark.usefixtures("customer")


@pytest.fixture(autouse=True)
def deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stack's outputs, without CloudFormation."""
    names = {f"{table.title()}Table": table for table in ("customers", "reports", "markers", "hours")}
    monkeypatch.setattr(Deployment, "outputs", names)


def run(customer: str, start: datetime, end: datetime, *options: str) -> str:
    """Run the command; return what it prints."""
    span = ["--from", format_instant(start), "--to", format_instant(end)]
    result = CliRunner().invoke(app, ["replay", customer, *span, "--stack", "test", *options])
    if result.exception:
        raise result.exception
    return " ".join(result.output.split())


@pytest.fixture
def hours(service: Service, last_hour: datetime) -> list[Hour]:
    """Three hours of the customer, settled."""
    for back in range(3):
        service.post(document(last_hour - back * HOUR))
    service.aggregate()
    return list(service.tables.hours.between("cust_8f2c", last_hour - DAY, last_hour + HOUR))


def test_replay_of_unchanged_reports_does_nothing(
    service: Service, hours: list[Hour], last_hour: datetime
) -> None:
    """A span whose reports did not change is left as it is, to the last item."""
    before = service.everything()
    assert "0 of 3 hours differ" in run("cust_8f2c", last_hour - DAY, last_hour + HOUR)
    assert before == service.everything()


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_an_hour_that_differs_is_recomputed(
    service: Service, hours: list[Hour], last_hour: datetime, lost: int
) -> None:
    """An hour that is not what its reports say is named, and ends as they say."""
    service.tables.hours.put("cust_8f2c", replace(hours[lost], counters={"http_requests": 1}))
    said = run("cust_8f2c", last_hour - DAY, last_hour + HOUR)
    assert f"{format_instant(hours[lost].start)} http_requests: stored 1, its reports say 42" in said
    assert "1 of 3 hours differ" in said
    service.aggregate()
    assert hours == list(service.tables.hours.between("cust_8f2c", last_hour - DAY, last_hour + HOUR))


def test_a_dry_run_changes_nothing(service: Service, hours: list[Hour], last_hour: datetime) -> None:
    """A dry run tells what differs and leaves every item alone."""
    service.tables.hours.put("cust_8f2c", replace(hours[0], counters={"http_requests": 1}))
    before = service.everything()
    assert "1 of 3 hours differ" in run("cust_8f2c", last_hour - DAY, last_hour + HOUR, "--dry-run")
    assert before == service.everything()


def test_only_the_span_is_replayed(service: Service, hours: list[Hour], last_hour: datetime) -> None:
    """Hours before the span, and the hour at its end, are not looked at."""
    assert "0 of 1 hours differ" in run("cust_8f2c", last_hour - HOUR, last_hour)


def test_an_hour_without_reports_stays(service: Service, hours: list[Hour], last_hour: datetime) -> None:
    """An hour whose reports are gone is named and left, since nothing can be made of nothing."""
    alone = Hour(last_hour - 5 * HOUR, 1, {"http_requests": 7}, instances=1)
    service.tables.hours.put("cust_8f2c", alone)
    said = run("cust_8f2c", last_hour - DAY, last_hour + HOUR)
    assert "0 marked" in said
    assert "1 have no report to be recomputed from" in said
    assert [] == list(service.tables.markers.dirty_of("cust_8f2c"))


def test_a_wrong_span_or_customer_is_refused(service: Service, last_hour: datetime) -> None:
    """An empty span, a span that cuts an hour, and an unknown customer end with one clear sentence."""
    with pytest.raises(OperatorError, match="empty"):
        run("cust_8f2c", last_hour, last_hour)
    with pytest.raises(OperatorError, match="no full hour"):
        run("cust_8f2c", last_hour + timedelta(minutes=1), last_hour + HOUR)
    with pytest.raises(OperatorError, match="no customer cust_gone"):
        run("cust_gone", last_hour, last_hour + HOUR)
