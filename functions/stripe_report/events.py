"""Stripe's events from the partner event bus, turned into messages for the customers' writers.

An event can be late, repeated or out of order, so it is a hint and no more: only the id in it is used, the
object is fetched, and the writer works from what the tables and Stripe say then. Source:
docs/stripe-protocol.md#closing-a-period.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import stripe

from metering.core.stripe_names import read_identifier
from stripe_report.messages import CloseEnded, MarkRefused, Refresh, RefusedNumber, Work
from stripe_report.reader import Reader

_INVOICES = frozenset(
    {
        "invoice.created",
        "invoice.finalized",
        "invoice.marked_uncollectible",
        "invoice.paid",
        "invoice.voided",
    }
)
_SUBSCRIPTIONS = frozenset({"customer.subscription.updated", "customer.subscription.deleted"})
_REFUSALS = frozenset({"v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found"})


@dataclass(frozen=True, slots=True)
class EventWork:
    """What an event leads to; ``refused`` counts the meter events that Stripe reports as refused.

    Stripe names only samples of them; the reconciliation finds the rest.
    """

    kind: str
    work: tuple[Work, ...] = ()
    refused: int = 0


def is_partner_event(event: dict[str, Any]) -> bool:
    """Tell whether an invocation comes from Stripe's partner event bus."""
    return str(event.get("source", "")).startswith("aws.partner/stripe.com")


def read_event(event: dict[str, Any], reader: Reader) -> EventWork:
    """Return what an event of the partner bus asks for; nothing for objects that are not ours, or gone.

    Raises
    ------
    stripe.StripeError
        When the object cannot be fetched; EventBridge delivers the event again, and the schedules poll.
    """
    detail = event["detail"]
    kind = str(detail["type"])
    if kind in _REFUSALS:
        return _refusals(kind, str(detail["id"]), reader)
    try:
        return EventWork(kind, tuple(_work(kind, detail, reader)))
    except stripe.InvalidRequestError as error:
        # A draft that was deleted since: the periods' own looks find what became of them.
        if error.code != "resource_missing":
            raise
        return EventWork(kind)


def _work(kind: str, detail: dict[str, Any], reader: Reader) -> Iterator[Work]:
    if kind in _INVOICES and (customer := reader.customer_of_invoice(_object_id(detail))):
        yield CloseEnded(customer_id=customer)
    if kind in _SUBSCRIPTIONS and (customer := reader.subscription(_object_id(detail)).customer_id):
        yield Refresh(customer_id=customer)


def _refusals(kind: str, event_id: str, reader: Reader) -> EventWork:
    samples, total = reader.refused_events(event_id)
    by_customer: dict[str, list[RefusedNumber]] = defaultdict(list)
    for sample in samples:
        if name := read_identifier(sample.identifier):
            refused = RefusedNumber(meter=name.meter, hour=name.hour, number=name.number, code=sample.code)
            by_customer[name.customer_id].append(refused)
    work = (MarkRefused(customer_id=who, refused=tuple(rows)) for who, rows in by_customer.items())
    return EventWork(kind, tuple(work), total)


def _object_id(detail: dict[str, Any]) -> str:
    return str(detail["data"]["object"]["id"])
