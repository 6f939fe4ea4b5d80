"""Each instance's last hour, read from the keys of the Reports table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metering.core.instants import HOUR as ONE_HOUR
from metering.tables.reports import Reports
from testing.reports import HOUR, report

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def test_the_last_hour_of_every_instance(client: DynamoDBClient) -> None:
    """Of several hours and journals the last hour counts, from the span's start up to, not with, its end."""
    reports = Reports(client, "table")
    for back, instance, journal in (
        (0, "a", "x"),
        (1, "a", "y"),
        (2, "b", "x"),
        (2, "b", "y"),
        (5, "c", "x"),
    ):
        reports.put(report(HOUR - back * ONE_HOUR, instance_id=instance, state_id=journal))
    reports.put(report(HOUR, customer_id="cust_8f2c2", instance_id="stranger"))
    found = reports.last_hours("cust_8f2c", HOUR - 4 * ONE_HOUR, HOUR + ONE_HOUR)
    assert {"a": HOUR, "b": HOUR - 2 * ONE_HOUR} == found
    assert {"a": HOUR - ONE_HOUR} == reports.last_hours("cust_8f2c", HOUR - ONE_HOUR, HOUR)
