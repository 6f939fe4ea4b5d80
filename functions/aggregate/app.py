"""Recomputes dirty hours and sweeps the fleet: schedules put work on a FIFO queue, and it is worked off."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from aggregate.alerts import AlertRaiser
from aggregate.conservation import Part, conserve
from aggregate.dispatch import due_shards, of_shard
from aggregate.messages import (
    Conserve,
    Dispatch,
    DispatchShard,
    Recompute,
    SweepAlerts,
    SweepDaily,
    SweepHourly,
    SweepShard,
    Task,
    Work,
    read,
    read_task,
)
from aggregate.publish import Publisher, sender_of
from aggregate.recompute import recompute
from aggregate.sweeps import of_customers, of_shards
from metering.aws.clients import Clients
from metering.aws.observability import count, logger
from metering.aws.queues import Queue
from metering.aws.settings import Settings
from metering.core.catalog import Catalog, builtin_catalog
from metering.core.instants import format_instant
from metering.tables.tables import Tables


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
    alert_sender_name: str = ""
    operator_topic_arn: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Works on a batch of messages, or enqueues what a task finds."""

    tables: Tables
    queue: Queue
    alerts: AlertRaiser
    catalog: Catalog

    def handle(self, event: dict[str, Any], context: Any) -> PartialItemFailureResponse | dict[str, int]:
        """Work on a batch of messages, or do a task such as ``{"task": "dispatch"}`` (`messages.Task`)."""
        if "Records" in event:
            return process_partial_response(
                event=event,
                record_handler=self._record,
                processor=SqsFifoPartialProcessor(skip_group_on_error=True),
                context=context,
            )
        task = read_task(event)
        sent = self.queue.send(self._found(task, datetime.now(UTC)))
        count(f"{task.task}_messages", sent)
        return {"sent": sent}

    def _found(self, task: Task, now: datetime) -> Iterable[Work]:
        match task:
            case Dispatch():
                return due_shards(self.tables.markers, now, include_open=task.include_open)
            case SweepHourly():
                return of_shards("hourly", now)
            case SweepDaily():
                return of_shards("daily", now)

    def _record(self, record: SQSRecord) -> None:
        self.work(read(record.body), datetime.now(UTC))

    def work(self, work: Work, now: datetime) -> None:
        """Do one unit of work."""
        match work:
            case Recompute():
                self._recompute(work, now)
            case DispatchShard():
                count("hours_dispatched", self.queue.send(of_shard(work, self.tables.markers, now)))
            case SweepShard():
                count("customers_swept", self.queue.send(of_customers(work, self.tables.customers)))
            case SweepAlerts():
                self.alerts.sweep(work.customer_id, now)
                count("swept_hourly")
            case Conserve():
                self._conserve(work, now)

    def _recompute(self, work: Recompute, now: datetime) -> None:
        evaluate = self.alerts.hour_recomputed
        hour = recompute(work.customer_id, work.hour, now, self.tables, self.catalog, evaluate)
        count("hours_recomputed", 1 if hour else 0)
        logger.info(
            "hour recomputed" if hour else "hour was clean",
            extra={"customer_id": work.customer_id, "hour": format_instant(work.hour)},
        )

    def _conserve(self, work: Conserve, now: datetime) -> None:
        part = Part(work.since, work.until) if work.since and work.until else None
        found = conserve(work.customer_id, now, self.tables, self.catalog, part)
        count("conservation_hours", found.hours)
        count("conservation_difference", len(found.differences))
        for difference in found.differences:
            logger.error(
                "usage is not conserved",
                extra={
                    "customer_id": work.customer_id,
                    "stage": difference.stage,
                    "hour": format_instant(difference.hour) if difference.hour else "the period",
                    "metric": difference.metric,
                    "expected": difference.expected or "nothing",
                    "found": difference.found or "nothing",
                },
            )
        # All at once: Lambda ends a chain of messages after sixteen links.
        self.queue.send(
            Conserve(customer_id=work.customer_id, hour=work.hour, since=rest.since, until=rest.until)
            for rest in found.rest
        )


def build(settings: AggregateSettings, tables: Tables, clients: Clients) -> Aggregate:
    """Put aggregate together."""
    tables.load("customers", "reports", "markers", "hours", "ledger", "alerts")
    tables.load("late", "settlements", "adjustments")
    sender = sender_of(settings.alert_sender, settings.alert_sender_name)
    publisher = Publisher(clients, settings.alert_bus, settings.operator_topic_arn, sender)
    catalog = builtin_catalog()
    return Aggregate(
        tables=tables,
        queue=Queue(clients, settings.aggregate_queue_url),
        alerts=AlertRaiser(tables, publisher, catalog),
        catalog=catalog,
    )
