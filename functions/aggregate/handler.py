"""Recomputes dirty hours and sweeps the fleet: schedules put work on a FIFO queue, and it is worked off."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from aggregate import conservation
from aggregate.alerts import Watch
from aggregate.dispatch import due_hours
from aggregate.publish import Publisher
from aggregate.recompute import Tables, recompute
from aggregate.sweeps import customer_messages, shard_messages
from metering.aws.observability import count, logger, metrics
from metering.aws.queues import Message, send_all, sqs
from metering.aws.settings import Settings, read_settings
from metering.core.catalog import builtin_catalog
from metering.core.contract import format_instant, parse_instant
from metering.tables.alerts import Alerts
from metering.tables.client import dynamodb
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.ledger import Ledger
from metering.tables.markers import Markers
from metering.tables.reports import Reports


class AggregateSettings(Settings):
    """What aggregate reads from its environment."""

    customers_table: str
    reports_table: str
    markers_table: str
    hours_table: str
    ledger_table: str
    aggregate_queue_url: str
    alert_bus: str
    alert_sender: str = ""
    operator_topic_arn: str


SETTINGS = read_settings(AggregateSettings)
TABLES = Tables(
    customers=Customers(dynamodb(), SETTINGS.customers_table),
    reports=Reports(dynamodb(), SETTINGS.reports_table),
    markers=Markers(dynamodb(), SETTINGS.markers_table),
    hours=Hours(dynamodb(), SETTINGS.hours_table),
)
WATCH = Watch(
    customers=TABLES.customers,
    reports=TABLES.reports,
    hours=TABLES.hours,
    alerts=Alerts(dynamodb(), SETTINGS.customers_table),
    publisher=Publisher(SETTINGS.alert_bus, SETTINGS.operator_topic_arn, SETTINGS.alert_sender),
    catalog=builtin_catalog(),
)
CONSERVED = conservation.Tables(
    TABLES.customers,
    TABLES.reports,
    TABLES.markers,
    TABLES.hours,
    Ledger(dynamodb(), SETTINGS.ledger_table),
)
PROCESSOR = SqsFifoPartialProcessor(skip_group_on_error=True)

TASKS: dict[str, Callable[[dict[str, Any], datetime], Iterable[Message]]] = {
    "dispatch": lambda event, now: due_hours(
        TABLES.markers, now, include_open=bool(event.get("include_open"))
    ),
    "sweep_hourly": lambda _event, now: shard_messages("hourly", now),
    "sweep_daily": lambda _event, now: shard_messages("daily", now),
}
"""What the schedules ask for: each task yields the messages to be worked on."""

SWEEPS: dict[str, Callable[[str, datetime], object]] = {"hourly": WATCH.sweep}
"""What each sweep does for one customer."""


@metrics.log_metrics
@logger.inject_lambda_context
def handle(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse | dict[str, int]:
    """Work on a batch of messages, or enqueue a schedule's task, as in ``{"task": "dispatch"}``.

    ``"include_open": true`` beside the task "dispatch" takes the hours still open as well.
    """
    if "Records" in event:
        return process_partial_response(
            event=event, record_handler=_work, processor=PROCESSOR, context=context
        )
    task = TASKS.get(event.get("task", ""))
    if task is None:
        raise ValueError(f"no such task: {event.get('task')!r}")
    sent = send_all(sqs(), SETTINGS.aggregate_queue_url, task(event, datetime.now(UTC)))
    count(f"{event['task']}_messages", sent)
    return {"sent": sent}


def _work(record: SQSRecord) -> None:
    work = record.json_body
    match work:
        case {"sweep": sweep, "shard": shard}:
            messages = customer_messages(sweep, work["hour"], shard, TABLES.customers)
            count("customers_swept", send_all(sqs(), SETTINGS.aggregate_queue_url, messages))
        case {"sweep": "daily", "customer_id": customer}:
            _conserve(customer, work)
        case {"sweep": sweep, "customer_id": customer}:
            SWEEPS[sweep](customer, datetime.now(UTC))
            count(f"swept_{sweep}")
        case _:
            _recompute(work)


def _recompute(work: dict[str, str]) -> None:
    hour = recompute(
        work["customer_id"],
        parse_instant(work["hour"]),
        datetime.now(UTC),
        TABLES,
        builtin_catalog(),
        WATCH.hour_recomputed,
    )
    count("hours_recomputed", 1 if hour else 0)
    logger.info("hour recomputed" if hour else "hour was clean", extra=work)


def _conserve(customer: str, work: dict[str, str]) -> None:
    since = parse_instant(work["since"]) if "since" in work else None
    found = conservation.conserve(customer, datetime.now(UTC), CONSERVED, builtin_catalog(), since)
    count("conservation_hours", found.hours)
    count("conservation_difference", len(found.differences))
    for difference in found.differences:
        logger.error(
            "usage is not conserved",
            extra={
                "customer_id": customer,
                "stage": difference.stage,
                "hour": format_instant(difference.hour) if difference.hour else "the period",
                "metric": difference.metric,
                "expected": difference.expected or "nothing",
                "found": difference.found or "nothing",
            },
        )
    if found.rest_from is not None:
        rest = format_instant(found.rest_from)
        message = Message(
            body=work | {"since": rest},
            group=f"{customer}#daily",
            deduplication=f"daily#{work['hour']}#{rest}",
        )
        send_all(sqs(), SETTINGS.aggregate_queue_url, [message])
