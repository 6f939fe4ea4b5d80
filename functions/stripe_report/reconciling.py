"""Comparing a period with Stripe's summaries, hour by hour, and sending again what differs.

Source: docs/stripe-protocol.md#reconciliation. The rules are in `metering.core.reconcile`.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from metering.core.accounts import Account, BillingPeriod
from metering.core.instants import HOUR
from metering.core.reconcile import HourValues, Verdict, is_sent_again, verdict
from metering.tables.ledger import PENDING, SENT, Day, Entry
from stripe_report.desk import Desk
from stripe_report.plan import Key, with_entries
from stripe_report.report import Sent, settled_hours
from stripe_report.sending import Due, send_entries


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How many hours were compared, those that differ, those overdue among them, and what was sent again."""

    compared: int = 0
    differing: tuple[HourValues, ...] = ()
    overdue: tuple[HourValues, ...] = ()
    sent: Sent = field(default_factory=Sent)

    def answer(self, now: datetime) -> dict[str, Any]:
        """Return it as JSON; ``rows`` holds each differing hour (see `HourValues.row`)."""
        return {
            "compared": self.compared,
            "rows": [values.row(now) for values in self.differing],
            "sent_again": self.sent.sent,
            "pending": self.sent.pending,
            "refused": len(self.sent.refused),
        }


def reconcile_period(
    desk: Desk, account: Account, billing: BillingPeriod, now: datetime, *, fix: bool
) -> Reconciliation:
    """Compare the settled hours of a period: usage, ledger, Stripe; with ``fix`` send again what differs.

    An hour still open or unsettled is left to the reporting. Of a period that is not sold nothing is sent.

    Raises
    ------
    stripe.StripeError
        When Stripe's summaries cannot be read.
    metering.tables.ledger.VersionConflictError
        When another run wrote a ledger meanwhile; run again.
    """
    if not billing.sold:
        return Reconciliation()
    span, customer = billing.span, account.customer
    used = desk.usage(customer.customer_id, billing)
    settled = settled_hours(span.hours(), used.hours, account, now)
    if not settled:
        return Reconciliation()
    days = {
        day.day: day
        for day in desk.tables.ledger.between(customer.customer_id, min(settled).date(), max(settled).date())
    }
    usage = {(meter, hour): value for meter, by_hour in used.sold.items() for hour, value in by_hour.items()}
    at_stripe = {
        (meter, hour): value
        for meter in {*used.terms.meters, *(key[0] for key in _in_ledger(days))}
        for hour, value in desk.gateway.reader.hourly(
            meter, _stripe_customer(account, billing), min(settled), max(settled) + HOUR
        ).items()
    }
    compared = [
        _values(key, usage, days, at_stripe)
        for key in sorted(usage.keys() | at_stripe.keys() | _in_ledger(days))
        if key[1] in settled
    ]
    differing = tuple(values for values in compared if not values.agrees)
    sent = _put_right(desk, account, billing, compared, days, now) if fix else Sent()
    overdue = tuple(values for values in differing if verdict(values, now) is Verdict.OVERDUE)
    return Reconciliation(len(compared), differing, overdue, sent)


def _stripe_customer(account: Account, billing: BillingPeriod) -> str:
    """Return whose usage it is at Stripe: one who comes back may do so as another Stripe customer."""
    found = billing.stripe_customer_id or account.customer.stripe_customer_id
    assert found is not None
    return found


def _in_ledger(days: dict[date, Day]) -> set[Key]:
    return {key for day in days.values() for key in day.entries}


def _values(
    key: Key, usage: dict[Key, Decimal], days: dict[date, Day], at_stripe: dict[Key, Decimal]
) -> HourValues:
    meter, hour = key
    day = days.get(hour.date())
    entry = day.entries.get(key) if day else None
    return HourValues(
        meter=meter,
        hour=hour,
        usage=usage.get(key, Decimal(0)),
        ledger=entry.value if entry else Decimal(0),
        stripe=at_stripe.get(key),
        sent_at=entry.sent_at if entry and entry.sent_at else hour + HOUR,
        differs_since=entry.differs_since if entry else None,
    )


def _put_right(
    desk: Desk,
    account: Account,
    billing: BillingPeriod,
    compared: list[HourValues],
    days: dict[date, Day],
    now: datetime,
) -> Sent:
    by_day: dict[date, list[HourValues]] = defaultdict(list)
    for values in compared:
        by_day[values.hour.date()].append(values)
    total = Sent()
    for when, of_day in by_day.items():
        day = days.get(when, Day(account.customer.customer_id, when))
        again = dict(_sent_again(of_day, day, now))
        recovered = dict(_recovered(of_day, day))
        if again:
            due = {
                key: Due(entry, max(key[1], billing.start), _stripe_customer(account, billing))
                for key, entry in again.items()
            }
            day = send_entries(desk, account.customer, with_entries(day, recovered), due, now)
            total += Sent.of(day.entries[key] for key in again)
        elif recovered:
            desk.tables.ledger.put(with_entries(day, recovered))
    return total


def _sent_again(of_day: list[HourValues], day: Day, now: datetime) -> Iterator[tuple[Key, Entry]]:
    """The hours that take the next number: a refused one as well, and one that Stripe has from elsewhere."""
    for values in of_day:
        if is_sent_again(values, now):
            key = values.meter, values.hour
            present = day.entries.get(key)
            number = present.number + 1 if present else 1
            yield key, Entry(number, values.usage, PENDING, now, values.differs_since or now)


def _recovered(of_day: list[HourValues], day: Day) -> Iterator[tuple[Key, Entry]]:
    """The hours that agree again, and numbers that count although their answer was lost or a refusal."""
    for values in of_day:
        key = values.meter, values.hour
        entry = day.entries.get(key)
        if entry is None or not values.agrees:
            continue
        state = SENT if entry.value == values.stripe else entry.state
        if (state, None) != (entry.state, entry.differs_since):
            yield key, replace(entry, state=state, differs_since=None)
