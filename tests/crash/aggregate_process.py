"""An aggregate worker as a process of its own that stops before each call to DynamoDB until it is told to go.

``python -m tests.crash.aggregate_process URL ACCESS_KEY CUSTOMER HOUR``. It writes a line before each call
and reads one to go on; its parent may kill it there.
"""

import sys
from datetime import UTC, datetime
from typing import Any

import boto3

from aggregate.recompute import recompute
from metering.aws.clients import RETRIES
from metering.core.catalog import builtin_catalog
from metering.core.instants import parse_instant
from metering.tables.tables import Tables


def _wait(model: Any, **_: Any) -> None:
    sys.stdout.write(f"{model.name}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def main() -> None:
    """Recompute one hour."""
    url, access_key, customer, hour = sys.argv[1:]
    client = boto3.client(
        "dynamodb",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key="test",
        config=RETRIES,
    )
    client.meta.events.register("before-call.dynamodb", _wait)
    tables = Tables.plain(client)
    recompute(customer, parse_instant(hour), datetime.now(UTC), tables, builtin_catalog())


if __name__ == "__main__":
    main()
