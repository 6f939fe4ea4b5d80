"""Several customers on one Stripe account, taken up where they were recorded, and what becomes of them."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from aggregate.conservation import conserve
from aggregate.recompute import recompute
from metering.core.catalog import builtin_catalog
from metering.core.contract import Report
from metering.core.instants import parse_instant
from metering.tables.tables import Tables
from stripe_report.desk import Desk
from stripe_report.dispatch import due_closings, due_customers
from stripe_report.events import read_event
from stripe_report.gateway import Gateway
from stripe_report.messages import Reconcile
from stripe_report.work import Writer
from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.account import StripeAccount
from testing.dynamodb import FakeDynamoDb
from tests.stripe.transport import InProcess, in_process_client
from tests.stripe.world import partner_event

type Plain = dict[str, Any]


class Fleet:
    """The Stripe half of the service over one account, and all customers of its tables."""

    def __init__(self, dynamodb: FakeDynamoDb, account: StripeAccount, now: datetime) -> None:
        self.dynamodb, self.account, self.now = dynamodb, account, now
        self.clock = Clock(int(now.timestamp()))
        self.wire = InProcess(account, self.clock)
        self.stripe = in_process_client(self.wire)
        self.catalog = builtin_catalog()
        self.tables = Tables.plain(cast("Any", dynamodb))
        # One meter after the other, so that the same steps are taken each time.
        self.gateway = Gateway(self.stripe, parallel=1)
        self.writer = Writer(Desk(self.tables, lambda: self.gateway, self.catalog))
        self.heard = {event["id"] for event in self._told()}
        self.differences: list[Any] = []

    def at(self, now: datetime) -> None:
        """Go to an instant; Stripe does what is due until then."""
        self.now = now
        self.clock.set(int(now.timestamp()))
        self.account.advance(self.clock.now())

    def customers(self) -> list[str]:
        """Every customer, in order."""
        return [item["pk"]["S"] for item in self.dynamodb.items("customers") if item["sk"]["S"] == "profile"]

    def report(self, document: Mapping[str, Any]) -> None:
        """Store a report as ingest does: its hour is dirty."""
        report = Report.model_validate_json(json.dumps(document))
        self.tables.reports.put(report)
        self.tables.markers.touch_dirty(report.customer_id, report.window_start)

    def recompute(self, customer_id: str) -> None:
        """Recompute a customer's dirty hours."""
        for marker in list(self.tables.markers.dirty_of(customer_id)):
            recompute(customer_id, marker.hour, self.now, self.tables, self.catalog)

    def work(self) -> None:
        """Do what the schedules of these minutes do: recompute, send, close, hear what Stripe tells."""
        for customer_id in self.customers():
            self.recompute(customer_id)
        for unsent in due_customers(self.tables.markers, include_open=False):
            self.writer.work(unsent, self.now)
        for look in due_closings(self.tables.closings, self.now):
            self.writer.work(look, self.now)
        self.hear()

    def hear(self) -> None:
        """Hear what Stripe has told since, and do what it leads to."""
        for event in self._told():
            if event["id"] not in self.heard:
                self.heard.add(event["id"])
                for work in read_event(partner_event(event), self.gateway.reader).work:
                    self.writer.work(work, self.now)

    def _told(self) -> list[Plain]:
        """Return all of Stripe's events as the partner bus has them."""
        state = self.account.state
        thin = [{name: value for name, value in e.items() if name != "data"} for e in state.thin_events]
        return [*state.events, *thin]

    def night(self) -> None:
        """Reconcile every customer, then see whether usage is conserved, as the schedules of a night do."""
        for customer_id in self.customers():
            self.writer.work(Reconcile(customer_id=customer_id), self.now)
            found = conserve(customer_id, self.now, self.tables, self.catalog)
            self.differences += [(customer_id, difference) for difference in found.differences]

    def go_on(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Take recorded steps: at an instant reports, then the schedules' work, or a whole night's."""
        for step in steps:
            self.at(parse_instant(step["at"]))
            for document in step.get("reports", ()):
                self.report(document)
            self.work()
            if step.get("night"):
                self.night()

    # ------------------------------------------------------------------ what came of it

    def periods(self) -> Plain:
        """Return each customer's periods as stored: what was invoiced of which."""
        kept = (
            "start",
            "end",
            "nominal_end",
            "first",
            "plan",
            "state",
            "invoice_id",
            "invoice_total",
            "invoiced",
        )
        return {
            customer_id: [
                {name: value for name, value in json.loads(period.model_dump_json()).items() if name in kept}
                for period in self.tables.customers.periods(customer_id)
            ]
            for customer_id in self.customers()
        }

    def invoices(self) -> Plain:
        """Return every final invoice by its id: total in cents, and of each line quantity and amount."""
        state = self.account.state
        found: Plain = {}
        for invoice in state.invoices.values():
            if not invoice.draft:
                lines = [
                    [
                        state.prices[line.price].lookup_key if line.price else line.description,
                        f"{line.quantity.normalize():f}",
                        line.amount,
                    ]
                    for line in invoice.lines or ()
                ]
                found[invoice.id] = {
                    "customer": state.customers[invoice.customer].name,
                    "total": sum(line[2] for line in lines),
                    "lines": lines,
                }
        return found

    def events(self) -> list[str]:
        """Return every meter event that Stripe was given, in order: its identifier, value and timestamp."""
        return [
            f"{event.identifier} {event.payload['value']} {event.timestamp}"
            for event in self.account.state.accepted
        ]
