"""What each function loads at a cold start: every module costs time, so none comes in unseen."""

import os
import subprocess
import sys
from functools import cache

import pytest

from metering.tables.tables import TABLES

ROOMS = ("metering.", "authorizer.", "ingest.", "aggregate.", "stripe_report.", "usage_query.")
COUNTED = ("stripe", "moto", "jwt")
VARIABLES = {f"{table.upper()}_TABLE": table for table in TABLES} | {
    "AGGREGATE_QUEUE_URL": "https://queue.example",
    "STRIPE_QUEUE_URL": "https://queue.example",
    "ALERT_BUS": "alerts",
    "OPERATOR_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:operator",
    "PORTAL_SECRET_NAME": "portal",
    "STRIPE_SECRET_NAME": "stripe",
}
EVERY = [
    "aws.clients",
    "aws.observability",
    "aws.settings",
    "composition",
    "core.contract",
    "core.instants",
    "core.metrics",
    "tables.access",
    "tables.tables",
]
"""What every function has, of metering."""
PRICED = [
    "core.accounts",
    "core.basis",
    "core.billable",
    "core.catalog",
    "core.currencies",
    "core.exact",
    "core.forecast",
    "core.instances",
    "core.journal_groups",
    "core.journals",
    "core.periods",
    "core.rating",
    "core.rollup",
    "core.usage",
    "tables.closings",
    "tables.customers",
    "tables.hours",
    "tables.markers",
    "tables.packing",
    "tables.records",
    "tables.shards",
]
"""What whoever prices usage has besides."""
LOADS = {
    "authorizer": [
        *EVERY,
        *["aws.secret", "aws.web", "core.instances", "tables.instances", "tables.records"],
    ],
    "ingest": [
        *EVERY,
        *["aws.web", "core.falls", "core.periods"],
        *["tables.markers", "tables.packing", "tables.reports", "tables.shards"],
    ],
    "aggregate": [
        *EVERY,
        *PRICED,
        *[
            "aws.messages",
            "aws.queues",
            "core.adjustments",
            "core.alert_texts",
            "core.alerts",
            "core.answers",
            "core.billed",
            "core.charges",
            "core.conservation",
            "core.falls",
            "core.late_usage",
            "core.reconcile",
            "core.settlements",
            "core.stripe_names",
            "tables.adjustments",
            "tables.alerts",
            "tables.charges",
            "tables.hour_pairs",
            "tables.late",
            "tables.ledger",
            "tables.reports",
            "tables.settlements",
            "tables.usage",
        ],
    ],
    "stripe_report": [
        *EVERY,
        *PRICED,
        *[
            "aws.messages",
            "aws.queues",
            "aws.secret",
            "core.adjustments",
            "core.billed",
            "core.charges",
            "core.late_usage",
            "core.reconcile",
            "core.settlements",
            "core.stripe_names",
            "tables.adjustments",
            "tables.charges",
            "tables.ledger",
            "tables.usage",
            "tables.settlements",
        ],
    ],
    "usage_query": [
        *EVERY,
        *PRICED,
        *[
            "aws.web",
            "core.adjustments",
            "core.alert_texts",
            "core.alerts",
            "core.answers",
            "core.billed",
            "core.charges",
            "core.falls",
            "core.settlements",
            "core.shown",
            "core.stripe_names",
            "tables.adjustments",
            "tables.alerts",
            "tables.charges",
            "tables.period_invoices",
            "tables.reports",
            "tables.settlements",
        ],
    ],
}


@cache
def loaded(function: str) -> frozenset[str]:
    """Return the modules of ours, and those counted, that a function's handler has at its start."""
    script = f"import sys, {function}.handler; print(*sorted(sys.modules), sep=chr(10))"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **VARIABLES},
    )
    return frozenset(name for name in ran.stdout.split() if name.startswith(ROOMS) or name in COUNTED)


@pytest.mark.parametrize("function", LOADS)
def test_a_start_loads_what_it_needs(function: str) -> None:
    """A function's start loads its own modules and those of metering that the table above names."""
    names = {name.removeprefix("metering.") for name in loaded(function) if name.startswith("metering.")}
    rooms = {"aws", "core", "tables"}
    assert set(LOADS[function]) == names - rooms


@pytest.mark.parametrize("function", ["authorizer", "ingest"])
def test_no_catalogue_at_the_door(function: str) -> None:
    """What every request passes prices nothing: it loads no catalogue."""
    assert not {"metering.core.catalog", "metering.core.accounts"} & loaded(function)


@pytest.mark.parametrize("function", [name for name in LOADS if name != "stripe_report"])
def test_stripe_is_loaded_where_it_is_used(function: str) -> None:
    """Stripe's SDK costs a start of its own: stripe_report alone has it."""
    assert "stripe" not in loaded(function)


def test_no_function_loads_another() -> None:
    """Each function is its own modules and metering."""
    for function in LOADS:
        rooms = {name.partition(".")[0] for name in loaded(function)} - {"metering", *COUNTED}
        assert {function} == rooms
