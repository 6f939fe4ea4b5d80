"""Running the pipeline to its end: what is dirty is recomputed, what is unsent is reported."""

from decimal import Decimal

from local.demo.waiting import wait_until
from local.stack.access import Stack
from metering.core.billable import all_contributions
from metering.core.catalog import builtin_catalog
from metering.core.periods import day_of
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.ledger import SENT, Ledger
from metering.tables.markers import Markers
from metering.tables.reports import Reports

_SECONDS = 90.0


class Books:
    """The stack's tables, read as an auditor would."""

    def __init__(self, stack: Stack) -> None:
        client = stack.client("dynamodb")
        self.customers = Customers(client, stack.tables["customers"])
        self.reports = Reports(client, stack.tables["reports"])
        self.markers = Markers(client, stack.tables["markers"])
        self.hours = Hours(client, stack.tables["hours"])
        self.ledger = Ledger(client, stack.tables["ledger"])


def settle(stack: Stack, books: Books, customer_id: str) -> None:
    """Recompute every dirty hour, then send every unsent contribution, the open hour's too.

    Raises
    ------
    TooLateError
        When an hour stays dirty or a contribution pending.
    """
    stack.invoke("aggregate", {"task": "dispatch", "include_open": True})
    wait_until(
        lambda: not list(books.markers.dirty_of(customer_id)), "dirty hours to be recomputed", _SECONDS
    )
    stack.invoke("stripe_report", {"task": "dispatch", "include_open": True})
    wait_until(lambda: _all_sent(books, customer_id), "contributions to be sent", _SECONDS)


def _all_sent(books: Books, customer_id: str) -> bool:
    """Whether the ledger holds every hour's contribution as sent; one of 0 need never be."""
    for period in books.customers.periods(customer_id):
        hours = list(books.hours.between(customer_id, period.span.first_hour, period.span.end_hour))
        days = {day_of(hour.start): books.ledger.day(customer_id, day_of(hour.start)) for hour in hours}
        for meter, by_hour in all_contributions(builtin_catalog(), hours, period.span).items():
            for hour, value in by_hour.items():
                entry = days[day_of(hour)].entries.get((meter, hour))
                there = (entry.value, entry.state) if entry else (Decimal(0), SENT)
                if there != (value, SENT):
                    return False
    return True
