"""Recomputes dirty hours: a schedule dispatches them to a FIFO queue, the queue's messages are worked on."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from aggregate.dispatch import due_hours
from aggregate.recompute import Tables, recompute
from metering.catalog import builtin_catalog
from metering.contract import parse_instant
from metering.observability import count, logger, metrics
from metering.queues import send_all, sqs
from metering.settings import Settings, read_settings
from metering.tables.client import dynamodb
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.markers import Markers
from metering.tables.reports import Reports


class AggregateSettings(Settings):
    """What aggregate reads from its environment."""

    customers_table: str
    reports_table: str
    markers_table: str
    hours_table: str
    aggregate_queue_url: str


SETTINGS = read_settings(AggregateSettings)
TABLES = Tables(
    customers=Customers(dynamodb(), SETTINGS.customers_table),
    reports=Reports(dynamodb(), SETTINGS.reports_table),
    markers=Markers(dynamodb(), SETTINGS.markers_table),
    hours=Hours(dynamodb(), SETTINGS.hours_table),
)
PROCESSOR = SqsFifoPartialProcessor(skip_group_on_error=True)


@metrics.log_metrics
@logger.inject_lambda_context
def handle(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse | dict[str, int]:
    """Work on a batch of messages, or dispatch for the schedule ``{"task": "dispatch"}``.

    ``"include_open": true`` beside the task takes the hours still open as well.
    """
    if "Records" in event:
        return process_partial_response(
            event=event, record_handler=_recompute, processor=PROCESSOR, context=context
        )
    if event.get("task") != "dispatch":
        raise ValueError(f"no such task: {event.get('task')!r}")
    now = datetime.now(UTC)
    messages = due_hours(TABLES.markers, now, include_open=bool(event.get("include_open")))
    sent = send_all(sqs(), SETTINGS.aggregate_queue_url, messages)
    count("dirty_hours", sent)
    return {"sent": sent}


def _recompute(record: SQSRecord) -> None:
    work = record.json_body
    hour = recompute(
        work["customer_id"], parse_instant(work["hour"]), datetime.now(UTC), TABLES, builtin_catalog()
    )
    count("hours_recomputed", 1 if hour else 0)
    logger.info("hour recomputed" if hour else "hour was clean", extra=work)
