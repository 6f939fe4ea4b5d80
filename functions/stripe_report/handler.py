"""Reports contributions to Stripe: a schedule dispatches customers to a FIFO queue, which is worked on."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from metering.catalog import builtin_catalog
from metering.observability import count, logger, metrics
from metering.queues import send_all, sqs
from metering.settings import Settings, read_settings
from metering.tables.client import dynamodb
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.ledger import Ledger
from metering.tables.markers import Markers
from stripe_report.dispatch import due_customers
from stripe_report.gateway import Gateway
from stripe_report.report import Tables, is_reported, report_customer
from stripe_report.subscription import refresh_period


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
def handle(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse | dict[str, int]:
    """Work on a batch of messages, or dispatch for the schedule ``{"task": "dispatch"}``.

    ``"include_open": true`` beside the task sends hours that are not over or settled as well; they are
    overwritten later.
    """
    if "Records" in event:
        return process_partial_response(
            event=event, record_handler=_report, processor=PROCESSOR, context=context
        )
    if event.get("task") != "dispatch":
        raise ValueError(f"no such task: {event.get('task')!r}")
    messages = due_customers(TABLES.markers, include_open=bool(event.get("include_open")))
    sent = send_all(sqs(), SETTINGS.stripe_queue_url, messages)
    count("unsent_customers", sent)
    return {"sent": sent}


def _report(record: SQSRecord) -> None:
    work, now = record.json_body, datetime.now(UTC)
    customer_id = work["customer_id"]
    gateway = _gateway(_api_key())
    account = TABLES.customers.account(customer_id)
    if account is not None and is_reported(account.customer):
        refresh_period(account, now, TABLES.customers, gateway)
    done = report_customer(
        customer_id, now, TABLES, gateway, builtin_catalog(), include_open=bool(work.get("include_open"))
    )
    count("contributions_sent", done.sent)
    logger.info("customer reported", extra={"customer_id": customer_id, "sent": done.sent})
    if done.refused:
        count("contributions_refused", len(done.refused))
        logger.error("Stripe refused", extra={"customer_id": customer_id, "codes": sorted({*done.refused})})
    if done.pending:
        count("contributions_pending", done.pending)
        logger.warning("not answered by Stripe", extra={"customer_id": customer_id, "pending": done.pending})


def _api_key() -> str:
    """Read the key through a cache of five minutes, so that it can be rotated without a deploy."""
    return str(parameters.get_secret(SETTINGS.stripe_secret_name, max_age=_KEY_SECONDS))


@cache
def _gateway(api_key: str) -> Gateway:
    return Gateway(api_key, SETTINGS.stripe_api_base or None)
