"""The thread on the deployed stack: posted reports can be read, and are on the invoice to the cent."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import stripe

from local.demo.customer import DemoCustomer, make_customer
from local.demo.figures import MeterRow, meter_rows
from local.demo.settle import settle, tables_of
from local.stack.access import Stack
from local.stack.running import STRIPE_API_KEY
from metering.core.contract import MAX_REPORT_BYTES
from metering.core.instants import format_instant, hour_of
from metering.tables.tables import Tables

CUSTOMER = "cust_e2e"


@pytest.fixture(scope="module")
def customer(stack: Stack, stripe_api_base: str) -> DemoCustomer:
    """A customer made with the operator's commands."""
    return make_customer(stack, stripe_api_base, CUSTOMER)


@pytest.fixture(scope="module")
def api(stack: Stack, customer: DemoCustomer) -> Iterator[httpx.Client]:
    """The deployed API, with the instance's key."""
    headers = {"Authorization": f"Bearer {customer.key}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


def report(**changes: Any) -> dict[str, Any]:
    """A report of the present hour's first minute."""
    hour = hour_of(datetime.now(UTC))
    return {
        "schema_version": 1,
        "customer_id": CUSTOMER,
        "instance_id": "default",
        "window_start": format_instant(hour),
        "state_id": "journal",
        "revision": 1,
        "final": False,
        "observed_from": format_instant(hour),
        "observed_until": format_instant(hour + timedelta(minutes=1)),
        "agent_version": "1.0.0",
        "counters": {"mqtt_bytes_sent": 3 * 2**20, "mqtt_bytes_received": 2**20, "http_requests": 250_500},
        "gauges": {"active_devices": {"last": 12, "max": 13, "integral": 43_200, "seconds": 3_600}},
        "sources": {"mqtt": {"status": "ok", "covered_seconds": 60}},
    } | changes


def test_a_posted_report_is_read_and_billed_to_the_cent(
    stack: Stack, customer: DemoCustomer, api: httpx.Client, stripe_api_base: str
) -> None:
    """Accepted, visible in the next read, and the same in hours, ledger, Stripe and estimate."""
    tables = tables_of(stack)
    for revision, calls in ((1, 250_500), (2, 300_600)):
        counters = {"mqtt_bytes_sent": 3 * 2**20, "mqtt_bytes_received": 2**20, "http_requests": calls}
        posted = api.post("/api/usage/report", json=report(revision=revision, counters=counters))
        assert 202 == posted.status_code, posted.text

        page = api.get(f"/api/usage/current-period/{CUSTOMER}").json()
        assert str(calls) == page["api_calls"]

        settle(stack, tables, CUSTOMER)
        rows = {row.meter: row for row in _rows(tables, customer, stack, stripe_api_base)}
        assert [] == [row for row in rows.values() if not row.agrees]
        assert Decimal(calls) / 1000 == rows["api_calls"].invoiced
    # 300.6 thousand calls, 100 included, $0.50 for each thousand beyond.
    assert Decimal("100.30") == rows["api_calls"].invoice_amount
    # 4 MiB at the demo contract's $20,000 a GB.
    assert Decimal("78.13") == rows["mqtt_traffic"].invoice_amount


def test_the_same_page_is_not_sent_twice(api: httpx.Client) -> None:
    """A page that polls with its ETag gets 304 while nothing has changed."""
    first = api.get("/api/billing/usage/current-period")
    again = api.get("/api/billing/usage/current-period", headers={"If-None-Match": first.headers["ETag"]})

    assert (200, 304) == (first.status_code, again.status_code)


def test_whoami_tells_the_identity_behind_a_key(api: httpx.Client) -> None:
    """The agent's first call."""
    answer = api.get("/api/usage/whoami").json()

    assert (CUSTOMER, "default") == (answer["customer_id"], answer["instance_id"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"not json", 422, "not_json", id="not JSON"),
        pytest.param(b" " * (MAX_REPORT_BYTES + 1), 413, "too_large", id="too large"),
        pytest.param({"customer_id": "cust_other"}, 403, "forbidden", id="other customer"),
        pytest.param({"instance_id": "other"}, 403, "forbidden", id="other instance"),
        pytest.param({"counters": {"http_requests": -1}}, 422, "invalid_report", id="negative counter"),
        pytest.param({"counters": {"http_requests": 1.5}}, 422, "invalid_report", id="fractional counter"),
        pytest.param({"window_start": "2026-11-22T13:30:00Z"}, 422, "invalid_report", id="no full hour"),
        pytest.param({"days": -500}, 422, "window_too_old", id="too old"),
        pytest.param({"days": 1}, 422, "window_in_future", id="in the future"),
    ],
)
def test_a_bad_report_is_refused_and_stores_nothing(
    stack: Stack, api: httpx.Client, body: Any, status: int, code: str
) -> None:
    """The contract's status and error body, and no item more in Reports."""
    before = _items(stack)

    answer = api.post("/api/usage/report", content=_content(body))

    assert (status, code) == (answer.status_code, answer.json()["error"]["code"])
    assert answer.json()["error"]["message"]
    assert before == _items(stack)


def _content(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    changes = dict(body)
    if days := changes.pop("days", 0):
        hour = hour_of(datetime.now(UTC)) + timedelta(days=days)
        names = ("window_start", "observed_from", "observed_until")
        changes |= dict.fromkeys(names, format_instant(hour))
    return json.dumps(report(revision=9) | changes).encode()


def _items(stack: Stack) -> int:
    count: int = stack.client("dynamodb").scan(TableName=stack.tables["reports"], Select="COUNT")["Count"]
    return count


def _rows(tables: Tables, customer: DemoCustomer, stack: Stack, stripe_api_base: str) -> list[MeterRow]:
    client = stripe.StripeClient(STRIPE_API_KEY, base_addresses={"api": stripe_api_base})
    period = tables.customers.periods(CUSTOMER)[0].span
    return meter_rows(tables, customer, client, stack.api_url, period, CUSTOMER)
