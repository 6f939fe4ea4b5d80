"""The report as the contract describes it: what is taken, what is refused, and which field is named."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from metering.core.contract import (
    LATEST_WINDOW,
    MAX_REPORT_BYTES,
    OLDEST_WINDOW,
    Report,
    ReportAnswer,
    field_errors,
)
from metering.core.instants import format_instant, parse_instant
from testing.reports import HOUR, document, gauge, report, source

EXAMPLE = """{
  "schema_version": 1,
  "customer_id": "cust_8f2c", "instance_id": "default",
  "window_start": "2026-11-22T13:00:00Z",
  "state_id": "0192", "revision": 7, "final": false,
  "observed_from": "2026-11-22T13:00:00Z", "observed_until": "2026-11-22T13:35:10Z",
  "agent_version": "1.0.0",
  "counters": {"mqtt_bytes_received": 123456, "http_requests": 42},
  "gauges": {"active_devices": {"last": 12, "max": 13, "integral": 25320, "seconds": 2110}},
  "sources": {"mqtt": {"status": "ok", "covered_seconds": 2110},
              "influxdb": {"status": "unreachable", "covered_seconds": 0, "detail": "connection refused"}}
}"""


def refused(**changes: Any) -> list[str]:
    """Return the fields that are named when a changed report is refused."""
    with pytest.raises(ValidationError) as caught:
        report(**changes)
    return [error.field for error in field_errors(caught.value)]


def test_the_contract_s_example() -> None:
    """The example on the contract's page is a report, value for value."""
    read = Report.model_validate_json(EXAMPLE)
    assert json.loads(EXAMPLE) == read.model_dump(mode="json", exclude_defaults=True)
    assert HOUR == read.window_start
    assert UTC is read.observed_until.tzinfo


@pytest.mark.parametrize("field", sorted(document()))
def test_required_fields(field: str) -> None:
    """Every field of a report is required, and the missing one is named."""
    body = document()
    del body[field]
    with pytest.raises(ValidationError) as caught:
        Report.model_validate_json(json.dumps(body))
    assert [field] == [error.field for error in field_errors(caught.value)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_version", 2),
        ("schema_version", "1"),
        ("customer_id", ""),
        ("customer_id", "a" * 41),
        ("customer_id", "cust#8f2c"),
        ("customer_id", "cust_8f2c\n"),
        ("customer_id", "cust.8f2c"),
        ("customer_id", "kundé"),
        ("customer_id", 8),
        ("instance_id", ""),
        ("instance_id", "a" * 41),
        ("instance_id", "de fault"),
        ("instance_id", None),
        ("window_start", "2026-11-22T13:30:00Z"),
        ("window_start", "2026-11-22T13:00:01Z"),
        ("window_start", "2026-11-22T13:00:00+00:00"),
        ("window_start", "2026-11-22T13:00:00.000Z"),
        ("window_start", "2026-11-22 13:00:00Z"),
        ("window_start", "2026-11-22T13:00Z"),
        ("window_start", "2026-02-30T13:00:00Z"),
        ("window_start", 1795352400),
        ("state_id", ""),
        ("state_id", "a#b"),
        ("revision", 0),
        ("revision", -1),
        ("revision", 2**31),
        ("revision", 1.0),
        ("revision", "1"),
        ("revision", True),
        ("final", "true"),
        ("final", 1),
        ("agent_version", ""),
        ("agent_version", "1.0 beta"),
        ("counters", []),
        ("gauges", None),
        ("sources", {"mqtt": "ok"}),
        ("unforeseen", 1),
    ],
)
def test_bad_fields(field: str, value: object) -> None:
    """A field of another form is refused and named."""
    with pytest.raises(ValidationError) as caught:
        Report.model_validate_json(json.dumps(document() | {field: value}))
    assert field == field_errors(caught.value)[0].field.partition(".")[0]


@pytest.mark.parametrize("value", [-1, 1.5, 1.0, 1e3, "1", None, True, 2**63, [1], {"amount": 1}], ids=repr)
def test_counters_are_natural_numbers(value: object) -> None:
    """A counter is an integer from 0 below 2^63; anything else is refused by its name."""
    assert ["counters.http_requests"] == refused(counters={"mqtt_bytes_sent": 1, "http_requests": value})


@pytest.mark.parametrize("value", [0, 1, 2**53 + 1, 2**63 - 1])
def test_counters_keep_every_digit(value: int) -> None:
    """Every counter below 2^63 arrives exactly."""
    assert value == report(counters={"http_requests": value}).counters["http_requests"]


@pytest.mark.parametrize("part", ["last", "max", "integral", "seconds"])
@pytest.mark.parametrize("value", [-1, 0.5, "3", None])
def test_gauges_are_natural_numbers(part: str, value: object) -> None:
    """Every part of a gauge is an integer from 0; anything else is refused by its path."""
    bad = gauge(1, 1, 1, 1) | {part: value}
    assert [f"gauges.active_devices.{part}"] == refused(gauges={"active_devices": bad})


def test_a_gauge_covers_at_most_its_hour() -> None:
    """A gauge's covered seconds are at most 3,600."""
    covered = report(gauges={"active_devices": gauge(1, 1, 3600)}).gauges["active_devices"].seconds
    assert 3600 == covered
    assert ["gauges.active_devices.seconds"] == refused(gauges={"active_devices": gauge(1, 1, 1, 3601)})


def test_a_gauge_has_all_its_parts() -> None:
    """A gauge without its integral, or with a part nobody knows, is refused by its path."""
    assert ["gauges.active_devices.integral"] == refused(
        gauges={"active_devices": {"last": 1, "max": 1, "seconds": 1}}
    )
    assert ["gauges.active_devices.mean"] == refused(gauges={"active_devices": gauge(1, 1, 1) | {"mean": 1}})


def test_a_source_covers_at_most_its_hour() -> None:
    """A source's covered seconds are at most 3,600."""
    assert ["sources.mqtt.covered_seconds"] == refused(sources={"mqtt": source(covered_seconds=3601)})


def test_missing_is_not_zero() -> None:
    """A metric that was not read stays absent; nothing fills in a zero."""
    read = report(counters={}, gauges={}, sources={"influxdb": source("unreachable", 0, detail="refused")})
    assert ({}, {}) == (read.counters, read.gauges)
    assert "unreachable" == read.sources["influxdb"].status


def test_unknown_metrics_are_taken() -> None:
    """Names that the registry does not know are kept and listed: a newer agent loses nothing."""
    read = report(
        counters={"lora_frames": 5, "http_requests": 1}, gauges={"lora_gateways": gauge(1, 1, 9, 9)}
    )
    assert ["lora_frames", "lora_gateways"] == read.unknown_metrics()
    assert 5 == read.counters["lora_frames"]


def test_kinds_are_not_swapped() -> None:
    """A gauge of the registry given as a counter, or the other way round, is refused."""
    assert ["report"] == refused(counters={"active_devices": 3})
    assert ["report"] == refused(gauges={"http_requests": gauge(1, 1, 1)})


@pytest.mark.parametrize("name", ["", "HTTP_requests", "http requests", "1st", "a" * 65, "a#b"])
def test_metric_names(name: str) -> None:
    """A metric's name is lower-case words; another one is refused by its path."""
    assert [f"counters.{name}"] == refused(counters={name: 1})


def test_one_line_for_each_bad_field() -> None:
    """A field with two faults is named once, and every bad field is named."""
    fields = refused(counters={"Bad Name": -1, "http_requests": -1}, revision=0)
    assert ["revision", "counters.Bad Name", "counters.http_requests"] == fields


@pytest.mark.parametrize("span", [(-1, 60), (0, 3601), (61, 60), (3600, 3601)])
def test_observed_inside_the_window(span: tuple[int, int]) -> None:
    """What was observed lies, in order, inside the window."""
    assert ["report"] == refused(span=span)


@pytest.mark.parametrize("span", [(0, 0), (0, 3600), (3600, 3600), (59, 60)])
def test_observed_up_to_the_bounds(span: tuple[int, int]) -> None:
    """The observed span may be empty and may touch the window's bounds."""
    assert span == tuple(
        (instant - HOUR).seconds + (instant - HOUR).days * 86400
        for instant in (report(span=span).observed_from, report(span=span).observed_until)
    )


def test_ids_of_forty_characters() -> None:
    """Ids have up to 40 letters, digits, hyphens and underscores."""
    name = "aZ09_-" * 6 + "last"
    assert name == report(customer_id=name).customer_id == report(instance_id=name).instance_id


def test_equal_reports_have_one_digest() -> None:
    """Order of keys, blanks and a null detail do not change a report's digest; they say the same."""
    plain = document(sources={"mqtt": source()})
    shuffled = dict(reversed(plain.items())) | {"sources": {"mqtt": source(detail=None, flags=[])}}
    first = Report.model_validate_json(json.dumps(plain))
    second = Report.model_validate_json(json.dumps(shuffled, indent=3))
    assert first.digest() == second.digest()
    assert first.canonical_json() == second.canonical_json()


@pytest.mark.parametrize(
    "changes",
    [
        {"revision": 2},
        {"final": True},
        {"span": (0, 3599)},
        {"counters": {"http_requests": 42}},
        {"counters": {"http_requests": 43, "mqtt_bytes_received": 123456}},
        {"sources": {"mqtt": source()}},
        {"agent_version": "1.0.1"},
    ],
)
def test_different_reports_differ_in_digest(changes: dict[str, Any]) -> None:
    """Whatever a report says differently changes its digest."""
    assert report().digest() != report(**changes).digest()


def test_the_digest_is_of_canonical_json() -> None:
    """Canonical JSON has sorted keys, no blanks, and reads back as the same report."""
    canonical = report(sources={"mqtt": source(detail="é")}).canonical_json()
    again = json.dumps(json.loads(canonical), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again.encode() == canonical
    assert report(sources={"mqtt": source(detail="é")}) == Report.model_validate_json(canonical)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T13:00:00",
        "2026-11-22T13:00:00+0000",
        "2026-11-22T24:00:00Z",
        "2026-11-22t13:00:00z",
        "2026-11- 2T13:00:00Z",
        "٢٠٢٦-11-22T13:00:00Z",
        "",
    ],
)
def test_instants_have_one_form(text: str) -> None:
    """An instant in any other form than YYYY-MM-DDTHH:MM:SSZ is refused, so that keys sort and compare."""
    with pytest.raises(ValueError, match="not an instant"):
        parse_instant(text)


def test_instants_round_trip() -> None:
    """An instant reads back as it was written, in UTC."""
    instant = datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)
    assert instant == parse_instant(format_instant(instant))
    assert UTC is parse_instant(format_instant(instant)).tzinfo


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=1))])
def test_only_utc_is_written(zone: timezone | None) -> None:
    """An instant of another zone, or of none, is never written as if it were UTC."""
    with pytest.raises(ValueError, match="not in UTC"):
        format_instant(datetime(2026, 11, 22, 13, tzinfo=zone))


def test_the_limits_of_the_contract() -> None:
    """64 KiB a report, 400 days back, 5 minutes ahead."""
    assert (65536, timedelta(days=400), timedelta(minutes=5)) == (
        MAX_REPORT_BYTES,
        OLDEST_WINDOW,
        LATEST_WINDOW,
    )


@pytest.mark.parametrize(("pace", "taken"), [(59, False), (60, True), (3600, True), (3601, False)])
def test_the_pace_lies_between_a_minute_and_an_hour(pace: int, *, taken: bool) -> None:
    """The service asks for a report every 60 to 3600 seconds, never another pace."""
    answer = {"status": "accepted", "revision": 1, "digest": "d", "server_time": HOUR}
    try:
        ReportAnswer.model_validate(answer | {"report_every_seconds": pace})
    except ValidationError:
        assert not taken
    else:
        assert taken


def test_a_report_never_changes() -> None:
    """A report is a value: its fields cannot be set."""
    with pytest.raises(ValidationError):
        report().revision = 2  # type: ignore[misc]  # what is refused here
