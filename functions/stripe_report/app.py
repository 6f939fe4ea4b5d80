"""Reports contributions to Stripe: schedules and Stripe's events fill a FIFO queue, which is worked off."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from pydantic import Field

from metering.aws.clients import Clients
from metering.aws.observability import count, logger
from metering.aws.queues import Queue
from metering.aws.secret import Secret
from metering.aws.settings import Settings
from metering.core.catalog import Catalog, builtin_catalog
from metering.tables.tables import Tables
from stripe_report.desk import Desk
from stripe_report.dispatch import due_closings, due_customers, enter_whole_fleet
from stripe_report.events import is_partner_event, read_event
from stripe_report.gateway import Gateway, stripe_client
from stripe_report.messages import CloseDue, Dispatch, ReconcileTask, Work, read, read_task
from stripe_report.work import Writer


class StripeReportSettings(Settings):
    """What stripe_report reads from its environment; an empty ``STRIPE_API_BASE`` means Stripe's own.

    ``STRIPE_READS_PER_SECOND`` are those of all ``STRIPE_QUEUE_CONCURRENCY`` processes that run at once.
    """

    customers_table: str
    markers_table: str
    hours_table: str
    ledger_table: str
    stripe_queue_url: str
    stripe_secret_name: str
    stripe_api_base: str = ""
    stripe_reads_per_second: float = Field(default=20, gt=0)
    stripe_queue_concurrency: int = Field(default=2, gt=0)

    @property
    def calls_per_second(self) -> float:
        """One process's share of the calls of Stripe, meter events aside."""
        return self.stripe_reads_per_second / self.stripe_queue_concurrency


@dataclass(frozen=True, slots=True)
class StripeReport:
    """Works on a batch of messages, reads an event of Stripe's, or does a task."""

    tables: Tables
    queue: Queue
    api_key: Secret
    api_base: str | None
    calls_per_second: float
    catalog: Catalog

    def handle(self, event: dict[str, Any], context: Any) -> Any:
        """Work on a batch of messages, read an event of Stripe's, or do a task (`messages.Task`).

        The reconciliation of one period answers ``{customer_id, period_start, state, compared, rows,
        sent_again, pending, refused}``, where ``rows`` has ``{meter, hour, usage, ledger, stripe, difference,
        age}`` for each hour that differs; that of the fleet ``{entered}``, every other task ``{sent}``.
        """
        count("invocations")
        if "Records" in event:
            return process_partial_response(
                event=event,
                record_handler=self._record,
                processor=SqsFifoPartialProcessor(skip_group_on_error=True),
                context=context,
            )
        if is_partner_event(event):
            return self._stripe_event(event)
        now = datetime.now(UTC)
        match read_task(event):
            case Dispatch(include_open=include_open):
                found = due_customers(self.tables.markers, include_open=include_open)
                return self._send("unsent_customers", found)
            case CloseDue():
                return self._send("closings_due", due_closings(self.tables.closings, now))
            case ReconcileTask(customer_id=None):
                entered = enter_whole_fleet(self.tables.customers, self.tables.closings, now)
                count("customers_to_reconcile", entered)
                return {"entered": entered}
            case ReconcileTask(customer_id=str() as customer_id, period_start=start, fix=fix):
                return self.writer().reconcile(customer_id, start, now, fix=fix)

    def writer(self) -> Writer:
        """Return what does a customer's work; the API key is read when Stripe is first needed."""
        return Writer(Desk(self.tables, self._gateway, self.catalog))

    def _gateway(self) -> Gateway:
        return _gateway(self.api_key.text(), self.api_base, self.calls_per_second)

    def _send(self, metric: str, work: Iterable[Work]) -> dict[str, int]:
        sent = self.queue.send(work)
        count(metric, sent)
        return {"sent": sent}

    def _stripe_event(self, event: dict[str, Any]) -> dict[str, int]:
        told = read_event(event, self._gateway().reader)
        if told.refused:
            count("events_refused", told.refused)
            logger.error("Stripe reports refused meter events", extra={"events": told.refused})
        logger.info("heard from Stripe", extra={"type": told.kind, "messages": len(told.work)})
        return self._send("events_heard", told.work)

    def _record(self, record: SQSRecord) -> None:
        self.writer().work(read(record.body), datetime.now(UTC))


def build(settings: StripeReportSettings, tables: Tables, clients: Clients) -> StripeReport:
    """Put stripe_report together."""
    tables.load("customers", "markers", "hours", "ledger", "closings", "adjustments", "settlements")
    return StripeReport(
        tables=tables,
        queue=Queue(clients, settings.stripe_queue_url),
        api_key=Secret(clients, settings.stripe_secret_name),
        api_base=settings.stripe_api_base or None,
        calls_per_second=settings.calls_per_second,
        catalog=builtin_catalog(),
    )


@cache
def _gateway(api_key: str, api_base: str | None, calls_per_second: float) -> Gateway:
    """Return the gateway of a key: its connections and what it knows of Stripe's meters are kept."""
    return Gateway(stripe_client(api_key, api_base, calls_per_second))
