"""Meter events that Stripe refused after it had answered 200.

Source: docs/stripe-protocol.md#closing-a-period: a report that names the newest number of an hour marks it
refused. A refused number is tried again by the reconciliation only.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from metering.tables.ledger import Entry, Ledger, refused
from stripe_report.messages import RefusedNumber
from stripe_report.plan import Key, with_entries

if TYPE_CHECKING:
    from datetime import date


def mark_refused(customer_id: str, refusals: Iterable[RefusedNumber], ledger: Ledger) -> list[RefusedNumber]:
    """Mark the newest numbers among them in the ledger; return those. An older number is history."""
    by_day: dict[date, list[RefusedNumber]] = defaultdict(list)
    for refusal in refusals:
        by_day[refusal.hour.date()].append(refusal)
    marked: list[RefusedNumber] = []
    for when, of_day in by_day.items():
        day = ledger.day(customer_id, when)
        entries: dict[Key, Entry] = {}
        for refusal in of_day:
            key = refusal.meter, refusal.hour
            newest = day.entries.get(key)
            if newest is not None and newest.number == refusal.number:
                entries[key] = replace(newest, state=refused(refusal.code))
                marked.append(refusal)
        if entries:
            ledger.put(with_entries(day, entries))
    return marked
