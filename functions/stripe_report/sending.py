"""Giving entries to Stripe: into the ledger as pending, then sent, then their fate into the ledger.

Source: docs/stripe-protocol.md#the-protocol, steps 3 and 4. A crash after any of the three leaves a pending
number, which goes out again as it is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from zlib import crc32

from metering.core.accounts import Customer
from metering.core.rollup import Hour
from metering.core.stripe_names import event_identifier, event_name
from metering.tables.ledger import PENDING, Day, Entry, EntryState
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
    # A number that waits for an answer keeps the time of its first try: the reconciliation counts from it.
    pending = {
        key: replace(one.entry, state=PENDING, sent_at=one.entry.sent_at or now) for key, one in due.items()
    }
    day = desk.tables.ledger.put(with_entries(day, pending, made_of))
    events = [_event(key, entry, due[key], customer, now) for key, entry in pending.items()]
    states = desk.gateway.send(events)
    answered = {
        key: _answered(entry, states[_identifier(customer, key, entry)], now)
        for key, entry in pending.items()
    }
    # Pending they are already: another write would say nothing new.
    return desk.tables.ledger.put(with_entries(day, answered)) if answered != pending else day


def _answered(entry: Entry, state: EntryState, now: datetime) -> Entry:
    return entry if state == PENDING else replace(entry, state=state, sent_at=now)


def _event(key: Key, entry: Entry, due: Due, customer: Customer, now: datetime) -> MeterEvent:
    return MeterEvent(
        event_name=event_name(key[0]),
        stripe_customer_id=due.stripe_customer_id,
        value=entry.value,
        timestamp=due.timestamp,
        identifier=_identifier(customer, key, entry),
        turn=_turn(key, due.entry, now),
    )


def _turn(key: Key, entry: Entry, now: datetime) -> int:
    """Return an event's turn: after all that go out for the first time, in another order each run."""
    if entry.sent_at is None or entry.sent_at == now:
        return 0
    return 1 + crc32(f"{key}{now}".encode())


def _identifier(customer: Customer, key: Key, entry: Entry) -> str:
    return event_identifier(customer.customer_id, key[0], key[1], entry.number)
