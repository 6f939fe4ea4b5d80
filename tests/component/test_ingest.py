"""``POST /api/usage/report``, event in, answer out: every row of the contract's table."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ingest.accept import accept, check_window
from metering.aws.settings import SettingsError
from metering.aws.web import ApiError, Identity
from metering.core.accounts import BillingPeriod, PeriodState
from metering.core.contract import MAX_REPORT_BYTES, Report
from metering.core.instants import HOUR as ONE_HOUR
from metering.core.instants import format_instant, hour_of
from testing.reports import HOUR, document, gauge
from testing.tables import Calls
from tests.component.service import start

if TYPE_CHECKING:
    from datetime import datetime

    from tests.component.service import Answer, Service

AGES = timedelta(days=4000)
KEY = Identity("cust_8f2c", "default", "instance")


@pytest.fixture
def body(last_hour: datetime) -> dict[str, Any]:
    """A good report of the last hour, as a document."""
    return document(last_hour, revision=3)


def stored(service: Service) -> tuple[int, int]:
    """Count the reports and the markers."""
    everything = service.everything()
    return len(everything["reports"]), len(everything["markers"])


def refused(service: Service, answer: Answer, status: int, code: str) -> None:
    """Assert that an answer is an error in the contract's shape, and that nothing was stored."""
    assert (status, code) == (answer.status, answer.code)
    assert {"code", "message", "details", "request_id"} == answer.body["error"].keys()
    assert "JKJaXmPLvHcESHA=" == answer.body["error"]["request_id"]
    assert answer.body["error"]["message"]
    assert "server_time" in answer.body
    assert (0, 0) == stored(service)


def test_accepted(service: Service, body: dict[str, Any], now: datetime) -> None:
    """A report is stored, its hour marked, and the answer is 202 with the clock and the pace."""
    answer = service.post(body)
    report = Report.model_validate_json(json.dumps(body))
    assert 202 == answer.status
    assert ("accepted", 3, report.digest(), 900) == tuple(
        answer.body[name] for name in ("status", "revision", "digest", "report_every_seconds")
    )
    assert format_instant(now) <= answer.body["server_time"]
    assert [report] == list(service.tables.reports.of_hour("cust_8f2c", report.window_start))
    assert [report.window_start] == [marker.hour for marker in service.tables.markers.dirty_of("cust_8f2c")]


def test_a_body_in_base64(service: Service, body: dict[str, Any]) -> None:
    """A body that the gateway encoded is the same report."""
    assert 202 == service.post(json.dumps(body).encode()).status
    assert ("duplicate", 200) == ((again := service.post(body)).body["status"], again.status)


def test_duplicate(service: Service, body: dict[str, Any]) -> None:
    """The same report again is 200 ``duplicate``, in whatever order its keys come, and touches the marker."""
    service.post(body)
    (marker,) = service.tables.markers.dirty_of("cust_8f2c")
    answer = service.post(dict(reversed(body.items())))
    (again,) = service.tables.markers.dirty_of("cust_8f2c")
    assert (200, "duplicate", 3) == (answer.status, answer.body["status"], answer.body["revision"])
    assert marker.touched != again.touched


def test_a_duplicate_restores_the_marker(service: Service, body: dict[str, Any]) -> None:
    """A first attempt that died before its marker is made good by the second."""
    service.tables.reports.put(Report.model_validate_json(json.dumps(body)))
    assert "duplicate" == service.post(body).body["status"]
    assert (1, 1) == stored(service)


def test_superseded(service: Service, body: dict[str, Any]) -> None:
    """A lower revision is 200 ``superseded`` with the stored revision and digest, and touches the marker."""
    first = service.post(body)
    (marker,) = service.tables.markers.dirty_of("cust_8f2c")
    answer = service.post(body | {"revision": 2, "counters": {}})
    assert (200, "superseded", 3) == (answer.status, answer.body["status"], answer.body["revision"])
    assert first.body["digest"] == answer.body["digest"]
    (again,) = service.tables.markers.dirty_of("cust_8f2c")
    assert marker.touched != again.touched


def test_conflict(service: Service, body: dict[str, Any]) -> None:
    """The same revision with another content is 409 with the stored revision and digest; the first stays."""
    first = service.post(body)
    before = service.everything()
    answer = service.post(body | {"counters": {"http_requests": 43}})
    assert (409, "conflict") == (answer.status, answer.code)
    assert (3, first.body["digest"]) == (answer.body["revision"], answer.body["digest"])
    assert before["reports"] == service.everything()["reports"]


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("counters", {"http_requests": -1}, "counters.http_requests"),
        ("counters", {"http_requests": 0.5}, "counters.http_requests"),
        ("counters", {"http_requests": 2**63}, "counters.http_requests"),
        ("gauges", {"active_devices": gauge(1, 1, -1)}, "gauges.active_devices.integral"),
        ("window_start", "2026-11-22T13:30:00Z", "window_start"),
        ("window_start", "yesterday", "window_start"),
        ("customer_id", "no such/id", "customer_id"),
        ("revision", 0, "revision"),
        ("schema_version", 2, "schema_version"),
        ("observed_until", "2020-01-01T00:00:00Z", "report"),
        ("extra", 1, "extra"),
    ],
)
def test_a_bad_field(service: Service, body: dict[str, Any], name: str, value: object, field: str) -> None:
    """A report with a bad field is 422, names the field, and stores nothing."""
    answer = service.post(body | {name: value})
    refused(service, answer, 422, "invalid_report")
    assert [field] == answer.fields


def test_every_bad_field(service: Service, body: dict[str, Any]) -> None:
    """Every bad field is named."""
    answer = service.post(body | {"counters": {"http_requests": -1, "influxdb_points": 1.5}, "revision": "1"})
    refused(service, answer, 422, "invalid_report")
    assert ["revision", "counters.http_requests", "counters.influxdb_points"] == answer.fields


@pytest.mark.parametrize(
    "text",
    ["", "{", "report", '{"a": 1,}', b"\xff\xfe", b"\x1f\x8b\x08", '{"a": "\\ud800"}', "\ufeff{}", "{}{}"],
)
def test_not_json(service: Service, text: str | bytes) -> None:
    """A body that is no JSON is 422 ``not_json`` and stores nothing."""
    refused(service, service.post(text), 422, "not_json")


@pytest.mark.parametrize("text", ["[]", "null", "7", '"report"', "{}", "[" * 100 + "]" * 100])
def test_json_that_is_no_report(service: Service, text: str) -> None:
    """JSON that is no report is 422 ``invalid_report`` and stores nothing."""
    refused(service, service.post(text), 422, "invalid_report")


def test_deep_nesting(service: Service, body: dict[str, Any]) -> None:
    """A body that nests deeper than any report is refused, and does not bring the function down."""
    text = json.dumps(body).replace('"gauges": {}', '"gauges": ' + "[" * 20_000 + "]" * 20_000)
    assert 422 == service.post(text).status
    assert (0, 0) == stored(service)


def test_too_large(service: Service, body: dict[str, Any]) -> None:
    """64 KiB are taken, a byte more is 413 and stores nothing; bytes count, not characters."""
    text = json.dumps(body)
    refused(service, service.post(text + " " * (MAX_REPORT_BYTES + 1 - len(text))), 413, "too_large")
    wide = json.dumps(body | {"agent_version": "é" * (MAX_REPORT_BYTES // 2)}, ensure_ascii=False)
    refused(service, service.post(wide), 413, "too_large")
    assert 202 == service.post(text + " " * (MAX_REPORT_BYTES - len(text))).status


@pytest.mark.parametrize(
    ("ahead", "code"),
    [
        (timedelta(minutes=5), None),
        (timedelta(minutes=5, seconds=1), "window_in_future"),
        (ONE_HOUR, "window_in_future"),
    ],
)
def test_how_far_ahead(ahead: timedelta, code: str | None) -> None:
    """A window may begin five minutes ahead of the service's clock, not a second more."""
    assert code == verdict(HOUR - ahead)


@pytest.mark.parametrize(
    ("back", "code"),
    [
        (timedelta(days=400) - timedelta(seconds=1), None),
        (timedelta(days=400), "window_too_old"),
        (timedelta(days=500), "window_too_old"),
    ],
)
def test_how_far_back(back: timedelta, code: str | None) -> None:
    """A window within the 400 days of retention is taken, an older one is not."""
    assert code == verdict(HOUR + back)


def verdict(now: datetime) -> str | None:
    """Return the code with which the window of ``HOUR`` is refused at a moment, or None."""
    try:
        check_window(HOUR, now)
    except ApiError as error:
        return error.code
    return None


def test_a_window_in_the_future(service: Service, now: datetime) -> None:
    """A window in the future is 422 ``window_in_future``, names the field, and stores nothing."""
    answer = service.post(document(hour_of(now) + 2 * ONE_HOUR))
    refused(service, answer, 422, "window_in_future")
    assert ["window_start"] == answer.fields


def test_a_window_too_old(service: Service, now: datetime) -> None:
    """A window beyond the retention is 422 ``window_too_old``, names the field, and stores nothing."""
    answer = service.post(document(hour_of(now) - timedelta(days=401)))
    refused(service, answer, 422, "window_too_old")
    assert ["window_start"] == answer.fields


def period(start: datetime, state: PeriodState = PeriodState.FINALISED) -> BillingPeriod:
    """Return a period of thirty days."""
    return BillingPeriod(start=start, end=start + timedelta(days=30), plan="starter@1", state=state)


@pytest.mark.parametrize(
    ("begun", "state", "status"),
    [
        pytest.param(400, PeriodState.FINALISED, 422, id="final, its first hour past retention"),
        pytest.param(399, PeriodState.FINALISED, 202, id="final, all of it within retention"),
        pytest.param(400, PeriodState.OPEN, 202, id="not final"),
    ],
)
def test_a_window_of_a_period_past_retention(
    service: Service, now: datetime, begun: int, state: PeriodState, status: int
) -> None:
    """A window within retention is refused where its period is final and began before it: 422, not stored."""
    start = hour_of(now) - timedelta(days=begun)
    service.tables.customers.add_period("cust_8f2c", period(start, state))
    answer = service.post(document(start + timedelta(days=10)))
    assert status == answer.status
    if status == 422:
        refused(service, answer, 422, "window_too_old")
        assert ["window_start"] == answer.fields


def test_a_young_window_asks_for_no_period(service: Service, now: datetime) -> None:
    """Only windows that a period past retention could hold cost a read of the customer's periods."""
    watched = Calls().watch(service.client)
    service.post(document(hour_of(now) - timedelta(days=364)))
    assert [] == watched.of("Query", "GetItem")


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        (Identity("cust_9999", "default", "instance"), "forbidden"),
        (Identity("cust_8f2c", "other", "instance"), "forbidden"),
        (Identity("cust_8f2c", "", "portal"), "instance_key_required"),
        (Identity("cust_8f2c", "default", "portal"), "instance_key_required"),
    ],
)
def test_another_s_report(service: Service, body: dict[str, Any], identity: Identity, code: str) -> None:
    """A report of another customer or instance, or with a portal token, is 403 and stores nothing."""
    refused(service, service.post(body, identity), 403, code)


def test_an_expired_session(service: Service, body: dict[str, Any], now: datetime) -> None:
    """A credential that has expired since the gateway cached it is 401 and stores nothing."""
    refused(service, service.post(body, Identity("cust_8f2c", "", "portal", now - ONE_HOUR)), 401, "expired")


def test_unknown_metrics(service: Service, body: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """A metric that the registry does not know is stored and counted, never refused."""
    assert 202 == service.post(body | {"counters": {"lora_frames": 5, "lora_joins": 1}}).status
    (kept,) = service.tables.reports.between(
        "cust_8f2c", HOUR - timedelta(days=4000), HOUR + timedelta(days=4000)
    )
    assert {"lora_frames": 5, "lora_joins": 1} == kept.counters
    assert [2.0] == emitted(capsys)["unknown_metrics"]


def test_a_regression_is_alarmed(
    service: Service, body: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A higher revision that lowers a counter is stored, and counted for the alarm; another one is not."""
    service.post(body)
    assert "regression" not in emitted(capsys)
    assert 202 == service.post(body | {"revision": 4, "counters": {"http_requests": 1}}).status
    assert [1.0] == emitted(capsys)["regression"]


def test_a_lowered_integral_is_alarmed(
    service: Service, body: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A higher revision that lowers a level's integral is stored, and counted for the counters' alarm."""
    service.post(body | {"gauges": {"active_devices": gauge(9, 9, 900)}})
    assert "regression" not in emitted(capsys)
    assert 202 == service.post(body | {"revision": 4, "gauges": {"active_devices": gauge(9, 9, 899)}}).status
    assert [1.0] == emitted(capsys)["regression"]


def emitted(capsys: pytest.CaptureFixture[str]) -> dict[str, list[float]]:
    """Return the operational metrics that were emitted since the last call, by name."""
    found: dict[str, list[float]] = {}
    for line in capsys.readouterr().out.splitlines():
        blob = json.loads(line)
        for group in blob.get("_aws", {}).get("CloudWatchMetrics", ()):
            found |= {row["Name"]: blob[row["Name"]] for row in group["Metrics"]}
    return found


@pytest.mark.parametrize("fail_at", [0, 1], ids=["PutItem reports", "PutItem markers"])
def test_a_crash_between_the_steps(service: Service, last_hour: datetime, fail_at: int) -> None:
    """Whichever step fails, sending again ends with the report stored and its hour marked."""
    sent = json.dumps(document(last_hour)).encode()
    Calls(fail_at=fail_at).watch(service.client)
    with pytest.raises(ConnectionAbortedError):
        accept(sent, KEY, last_hour + ONE_HOUR, service.tables)
    assert (fail_at, 0) == stored(service)
    accept(sent, KEY, last_hour + ONE_HOUR, service.tables)
    assert (1, 1) == stored(service)


def test_the_report_before_the_marker(service: Service, last_hour: datetime) -> None:
    """The report is written first: a marker written first could be cleared before its report lands."""
    watched = Calls().watch(service.client)
    accept(json.dumps(document(last_hour)).encode(), KEY, last_hour + ONE_HOUR, service.tables)
    assert ["reports", "markers"] == [put["TableName"] for put in watched.of("PutItem")]


@pytest.mark.parametrize("pace", ["59", "3601", "often"])
def test_a_wrong_pace_fails_at_start(monkeypatch: pytest.MonkeyPatch, pace: str) -> None:
    """A pace that no agent may adopt fails the function's start, by the variable's name."""
    monkeypatch.setenv("CUSTOMERS_TABLE", "customers")
    monkeypatch.setenv("REPORTS_TABLE", "reports")
    monkeypatch.setenv("MARKERS_TABLE", "markers")
    monkeypatch.setenv("REPORT_EVERY_SECONDS", pace)
    with pytest.raises(SettingsError, match="REPORT_EVERY_SECONDS"):
        start("ingest")


def test_a_conflict_restores_the_marker_of_what_is_stored(service: Service, body: dict[str, Any]) -> None:
    """A first attempt that died before its marker is made good even if only a twin knocks afterwards."""
    service.tables.reports.put(Report.model_validate_json(json.dumps(body)))
    assert 409 == service.post(body | {"counters": {"http_requests": 43}}).status
    assert (1, 1) == stored(service)
