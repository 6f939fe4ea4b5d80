"""Giving entries to Stripe: into the ledger as pending, then sent, then their fate into the ledger.

Source: docs/stripe-protocol.md#the-protocol, steps 3 and 4. A crash after any of the three leaves a pending
number, which goes out again as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from metering.core.accounts import Customer
from metering.core.rollup import Hour
from metering.core.stripe_names import event_identifier, event_name
from metering.tables.ledger import PENDING, Day, Entry
from stripe_report.desk import Desk
from stripe_report.gateway import MeterEvent
from stripe_report.plan import Key, with_entries


@dataclass(frozen=True, slots=True)
class Due:
    """An entry that is to be given to Stripe now: under which timestamp, and of which Stripe customer."""

    entry: Entry
    timestamp: datetime
    stripe_customer_id: str


def send_entries(
    desk: Desk,
    customer: Customer,
    day: Day,
    due: Mapping[Key, Due],
    now: datetime,
    *,
    made_of: Iterable[Hour] = (),
) -> Day:
    """Send a day's entries under their numbers; return the day's ledger as it is stored then.

    Raises
    ------
    metering.tables.ledger.VersionConflictError
        When another run wrote the day's ledger meanwhile; what was sent stays pending there.
    """
    pending = {key: replace(one.entry, state=PENDING, sent_at=now) for key, one in due.items()}
    day = desk.tables.ledger.put(with_entries(day, pending, made_of))
    events = [_event(key, entry, due[key], customer) for key, entry in pending.items()]
    states = desk.gateway.send(events)
    answered = {
        key: replace(entry, state=states[_identifier(customer, key, entry)]) for key, entry in pending.items()
    }
    # Pending they are already: another write would say nothing new.
    return desk.tables.ledger.put(with_entries(day, answered)) if answered != pending else day


def _event(key: Key, entry: Entry, due: Due, customer: Customer) -> MeterEvent:
    return MeterEvent(
        event_name=event_name(key[0]),
        stripe_customer_id=due.stripe_customer_id,
        value=entry.value,
        timestamp=due.timestamp,
        identifier=_identifier(customer, key, entry),
    )


def _identifier(customer: Customer, key: Key, entry: Entry) -> str:
    return event_identifier(customer.customer_id, key[0], key[1], entry.number)
