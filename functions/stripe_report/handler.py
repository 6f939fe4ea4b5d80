"""Reports contributions to Stripe: schedules and Stripe's events fill a FIFO queue, which is worked off."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from metering.aws.observability import count, logger, metrics
from metering.aws.queues import send_all, sqs
from metering.aws.settings import Settings, read_settings
from metering.core.catalog import builtin_catalog
from metering.core.contract import parse_instant
from metering.tables.client import dynamodb
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.ledger import Ledger
from metering.tables.markers import Markers
from stripe_report.dispatch import due_closings, due_customers, whole_fleet
from stripe_report.events import hear, is_partner_event
from stripe_report.gateway import Gateway, stripe_client
from stripe_report.report import Tables
from stripe_report.work import Writer


class StripeReportSettings(Settings):
    """What stripe_report reads from its environment; an empty ``STRIPE_API_BASE`` means Stripe's own."""

    customers_table: str
    markers_table: str
    hours_table: str
    ledger_table: str
    stripe_queue_url: str
    stripe_secret_name: str
    stripe_api_base: str = ""


SETTINGS = read_settings(StripeReportSettings)
TABLES = Tables(
    customers=Customers(dynamodb(), SETTINGS.customers_table),
    markers=Markers(dynamodb(), SETTINGS.markers_table),
    hours=Hours(dynamodb(), SETTINGS.hours_table),
    ledger=Ledger(dynamodb(), SETTINGS.ledger_table),
)
PROCESSOR = SqsFifoPartialProcessor(skip_group_on_error=True)
_KEY_SECONDS = 300


@metrics.log_metrics
@logger.inject_lambda_context
def handle(event: dict[str, Any], context: LambdaContext) -> Any:
    """Work on a batch of messages, hear an event of Stripe's, or do a schedule's or the operator's task.

    Tasks: ``{"task": "dispatch"}`` finds unsent days (``"include_open": true`` sends hours that are not over
    or settled as well; they are overwritten later). ``{"task": "close"}`` finds periods to be looked at.
    ``{"task": "reconcile"}`` asks for the daily reconciliation of the fleet; with ``customer_id``,
    ``period_start`` (ISO 8601, or null for the present period) and ``fix`` it reconciles one period at once
    and answers ``{customer_id, period_start, state, compared, rows, sent_again, pending, refused}``, where
    ``rows`` has ``{meter, hour, usage, ledger, stripe, difference, age}`` for each hour that differs.
    """
    count("invocations")
    if "Records" in event:
        return process_partial_response(
            event=event, record_handler=_work, processor=PROCESSOR, context=context
        )
    if is_partner_event(event):
        return _hear(event)
    now = datetime.now(UTC)
    match event.get("task"):
        case "dispatch":
            return _send(
                "unsent_customers",
                due_customers(TABLES.markers, include_open=bool(event.get("include_open"))),
            )
        case "close":
            return _send("closings_due", due_closings(TABLES.customers, now))
        case "reconcile" if "customer_id" in event:
            start = event.get("period_start")
            return _writer().reconcile(
                event["customer_id"],
                parse_instant(start) if start else None,
                now,
                fix=bool(event.get("fix")),
            )
        case "reconcile":
            return _send("customers_to_reconcile", whole_fleet(TABLES.customers))
        case other:
            raise ValueError(f"no such task: {other!r}")


def _send(metric: str, messages: Any) -> dict[str, int]:
    sent = send_all(sqs(), SETTINGS.stripe_queue_url, messages)
    count(metric, sent)
    return {"sent": sent}


def _hear(event: dict[str, Any]) -> dict[str, int]:
    heard = hear(event, _gateway(_api_key()).reader)
    if heard.refused:
        count("events_refused", heard.refused)
        logger.error("Stripe reports refused meter events", extra={"events": heard.refused})
    logger.info("heard from Stripe", extra={"type": heard.kind, "messages": len(heard.messages)})
    return _send("events_heard", heard.messages)


def _work(record: SQSRecord) -> None:
    _writer().work(record.json_body, datetime.now(UTC))


def _writer() -> Writer:
    return Writer(TABLES, _gateway(_api_key()), builtin_catalog())


def _api_key() -> str:
    """Read the key through a cache of five minutes, so that it can be rotated without a deploy."""
    return str(parameters.get_secret(SETTINGS.stripe_secret_name, max_age=_KEY_SECONDS))


@cache
def _gateway(api_key: str) -> Gateway:
    return Gateway(stripe_client(api_key, SETTINGS.stripe_api_base or None))
