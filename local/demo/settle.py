"""Running the pipeline to its end: what is dirty is recomputed, what is unsent is reported."""

from local.demo.waiting import wait_until
from local.stack import Stack
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.ledger import PENDING, Ledger
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
    days = [marker.day for marker in books.markers.unsent_of(customer_id)]
    stack.invoke("stripe_report", {"task": "dispatch", "include_open": True})

    def all_sent() -> bool:
        ledgers = [books.ledger.day(customer_id, day) for day in days]
        entries = [entry for ledger in ledgers for entry in ledger.entries.values()]
        return all(ledger.version for ledger in ledgers) and all(e.state != PENDING for e in entries)

    wait_until(all_sent, "contributions to be sent", _SECONDS)
