"""What is to be sent for one day: wanted contributions against the ledger. Pure.

Source: docs/stripe-protocol.md#the-protocol, step 2.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from metering.core.accounts import PeriodState
from metering.core.instants import HOUR
from metering.core.rollup import Hour
from metering.core.usage import PeriodUsage
from metering.tables.ledger import PENDING, Day, Entry

SETTLES_AFTER = timedelta(minutes=15)

type Key = tuple[str, datetime]
"""A meter and an hour."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A meter's contribution of one hour, and the timestamp under which Stripe gets it.

    ``stripe_customer_id`` is that of the hour's period, None where the period does not know it.
    """

    value: Decimal
    timestamp: datetime
    stripe_customer_id: str | None = None


def wanted_of(usage: PeriodUsage, chosen: Iterable[datetime]) -> dict[Key, Wanted]:
    """Return the contributions of the chosen hours that belong to the period; none once it is finalised.

    Parameters
    ----------
    usage
        The period, with the hours that the contributions depend on: those chosen, or all of the period where
        the catalogue `needs_whole_period`.
    chosen
        The hours to be sent.
    """
    if usage.billing.state is PeriodState.FINALISED:
        return {}
    kept = frozenset(chosen)
    return {
        (meter, hour): Wanted(value, max(hour, usage.span.start), usage.billing.stripe_customer_id)
        for meter, by_hour in usage.sold.items()
        for hour, value in by_hour.items()
        if hour in kept
    }


def is_settled(hour: datetime, final: int, instances: int, now: datetime) -> bool:
    """Tell whether an hour is over and settled: 15 minutes later, or all known instances have sent final."""
    end = hour + HOUR
    return now >= end + SETTLES_AFTER or (now >= end and final >= instances > 0)


def next_entry(present: Entry | None, value: Decimal) -> Entry | None:
    """Return the entry to be sent, or None when there is nothing to do.

    A number stands for one value for ever: another value takes the next one, the same value that is still
    pending goes out again under its own. A refused number is tried again by the reconciliation only. An hour
    never sent counts as 0 at Stripe.
    """
    if present is None:
        return Entry(1, value, PENDING) if value else None
    if present.value != value:
        return Entry(present.number + 1, value, PENDING)
    return present if present.state == PENDING else None


def to_send(day: Day, wanted: Mapping[Key, Wanted]) -> dict[Key, Entry]:
    """Return what of the wanted contributions is to be sent now, as pending entries."""
    entries = {key: next_entry(day.entries.get(key), want.value) for key, want in wanted.items()}
    return {key: entry for key, entry in entries.items() if entry is not None}


def with_entries(day: Day, entries: Mapping[Key, Entry], hours: Iterable[Hour] = ()) -> Day:
    """Return the day's ledger with these entries in place, and which state of the hours they were made of."""
    computed_from = {hour.start: hour.computed_from for hour in hours}
    return replace(
        day, entries={**day.entries, **entries}, computed_from={**day.computed_from, **computed_from}
    )


def is_done(day: Day, wanted: Mapping[Key, Wanted]) -> bool:
    """Tell whether each wanted contribution is sent, refused, or 0 and never sent."""
    return all(_settled_entry(day.entries.get(key), want.value) for key, want in wanted.items())


def _settled_entry(entry: Entry | None, value: Decimal) -> bool:
    if entry is None:
        return not value
    return entry.value == value and entry.state != PENDING
