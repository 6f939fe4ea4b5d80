"""Reports for tests: one plain hour of one journal, changed where a test says so."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from metering.core.contract import Report
from metering.core.instants import format_instant

HOUR = datetime(2026, 11, 22, 13, tzinfo=UTC)


def document(
    window_start: datetime = HOUR, span: tuple[int, int] = (0, 3600), **changes: Any
) -> dict[str, Any]:
    """Return a report as the agent's JSON; ``span`` is the observed part of the hour, in its seconds."""
    return {
        "schema_version": 1,
        "customer_id": "cust_8f2c",
        "instance_id": "default",
        "window_start": format_instant(window_start),
        "state_id": "journal-a",
        "revision": 1,
        "final": False,
        "observed_from": format_instant(window_start + timedelta(seconds=span[0])),
        "observed_until": format_instant(window_start + timedelta(seconds=span[1])),
        "agent_version": "1.0.0",
        "counters": {"mqtt_bytes_received": 123456, "http_requests": 42},
        "gauges": {},
        "sources": {},
    } | changes


def report(window_start: datetime = HOUR, span: tuple[int, int] = (0, 3600), **changes: Any) -> Report:
    """Return a report as the service reads it from its body."""
    return Report.model_validate_json(json.dumps(document(window_start, span, **changes)))


def gauge(last: int, maximum: int, integral: int, seconds: int = 3600) -> dict[str, int]:
    """Return a gauge as the agent's JSON."""
    return {"last": last, "max": maximum, "integral": integral, "seconds": seconds}


def source(status: str = "ok", covered_seconds: int = 3600, **more: Any) -> dict[str, Any]:
    """Return a source's state as the agent's JSON."""
    return {"status": status, "covered_seconds": covered_seconds} | more
