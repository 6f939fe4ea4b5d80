"""Raising alerts: put as pending by whichever worker is first, published, marked sent.

A crash in between leaves a pending alert, which the hourly sweep tells again under the same id. Source:
docs/billing.md#alerts; step 5 of docs/storage.md#recomputing-an-hour.

Reading a period costs up to 93 read units, so step 5 does it only for the last hour that is over; open hours,
and hours of the present period that come late, wait for the sweep (docs/decisions/0006). A period that is
over is followed until its invoice is final, by the sweep and by step 5 (docs/decisions/0018).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from aggregate.publish import Publisher
from metering.aws.observability import count
from metering.core.accounts import Account, BillingPeriod, Customer, PeriodState
from metering.core.alerts import (
    Alert,
    LastReport,
    has_limits,
    may_be_silent,
    open_silences,
    silence_alerts,
    usage_alerts,
)
from metering.core.catalog import Catalog
from metering.core.instants import HOUR, hour_of
from metering.tables.tables import Tables
from metering.tables.usage import period_usage

TOLD_AGAIN_AFTER = timedelta(minutes=5)
"""A pending alert younger than this may still be in the hands of the worker that put it."""

_RECENT = timedelta(hours=4)
"""Where the newest reports are sought first: three hours of grace and the one that is open."""
_FURTHER = timedelta(hours=24)
"""How far back the last report of a silent instance is sought; outages of the sweep shorter than this, less
the three hours of grace, hide no silence."""


@dataclass(frozen=True, slots=True)
class AlertRaiser:
    """Evaluates alerts: what it reads, where alerts are kept, and how they are told."""

    tables: Tables
    publisher: Publisher
    catalog: Catalog

    def hour_recomputed(self, customer_id: str, hour: datetime, now: datetime) -> int:
        """Tell what an hour has made of its period; return how many alerts were new.

        It is looked at when it is the last one that is over, or late and of a period that is not final.
        """
        if now < hour + HOUR:
            return 0
        customer = self.tables.customers.customer(customer_id)
        last = now < hour + 2 * HOUR
        if customer is None or not (last or _has_invoices(customer)):
            return 0
        # Without its instances: they are not asked for here, and a large customer has many.
        account = Account(customer, (), tuple(self.tables.customers.periods(customer_id)))
        billing = account.period_at(hour)
        if billing is None or not (last or _is_closing(customer, billing, now)):
            return 0
        crossed = self._crossed(customer, billing, now)
        if not crossed:
            return 0
        told = {stored.alert.key for stored in self.tables.alerts.of_period(customer_id, billing.start)}
        return self._raise((alert for alert in crossed if alert.key not in told), customer)

    def sweep(self, customer_id: str, now: datetime) -> int:
        """Tell a customer's pending alerts again, then everything that is new; return how many that was."""
        account = self.tables.customers.account(customer_id)
        if account is None:
            return 0
        customer, stored = account.customer, list(self.tables.alerts.of(customer_id))
        self._tell(
            [row.alert for row in stored if not row.sent and row.alert.at + TOLD_AGAIN_AFTER <= now], customer
        )
        told = {row.alert.key for row in stored}
        found = [*self._silence(account, (row.alert for row in stored), now)]
        for billing in _periods(account, now):
            found += self._crossed(customer, billing, now)
        return self._raise((alert for alert in found if alert.key not in told), customer)

    def _crossed(self, customer: Customer, billing: BillingPeriod, now: datetime) -> list[Alert]:
        if not has_limits(customer, billing.terms(self.catalog)):
            return []
        usage = period_usage(self.tables, customer.customer_id, billing, self.catalog)
        return usage_alerts(customer, usage, now)

    def _silence(self, account: Account, told: Iterable[Alert], now: datetime) -> list[Alert]:
        customer_id, silences = account.customer.customer_id, open_silences(told)
        instances = set(account.instance_ids)
        recent = hour_of(now) - _RECENT
        newest = self.tables.reports.last_hours(customer_id, recent, now + HOUR)
        if instances - newest.keys() - silences.keys():
            newest = self.tables.reports.last_hours(customer_id, now - _FURTHER, recent) | newest
        # The keys tell hours; only of those that may be silent is it worth reading until when they observed.
        doubtful = {name: hour for name, hour in newest.items() if may_be_silent(hour, now)}
        asked = {hour for name, hour in doubtful.items() if name in instances and name not in silences}
        seen = {name: LastReport(hour, hour + HOUR) for name, hour in newest.items() if name not in doubtful}
        for hour in asked:
            for report in self.tables.reports.of_hour(customer_id, hour):
                if doubtful.get(report.instance_id) == hour:
                    until = max(
                        report.observed_until, seen.get(report.instance_id, LastReport(hour, hour)).until
                    )
                    seen[report.instance_id] = LastReport(hour, until)
        return silence_alerts(customer_id, instances, seen, silences, now)

    def _raise(self, alerts: Iterable[Alert], customer: Customer) -> int:
        """Put alerts as pending, and tell those that no other worker put first."""
        won = [alert for alert in alerts if self.tables.alerts.put_pending(alert)]
        self._tell(won, customer)
        return len(won)

    def _tell(self, alerts: list[Alert], customer: Customer) -> None:
        if not alerts:
            return
        self.publisher.publish(alerts, customer.billing_email)
        for alert in alerts:
            self.tables.alerts.mark_sent(alert)
        count("alerts_sent", len(alerts))


def _has_invoices(customer: Customer) -> bool:
    """Tell whether Stripe invoices the customer's periods, or did before it left."""
    return customer.stripe_customer_id is not None


def _is_closing(customer: Customer, billing: BillingPeriod, now: datetime) -> bool:
    """Tell whether a period is over, and what comes late may still be on its invoice."""
    return _has_invoices(customer) and billing.end <= now and billing.state is not PeriodState.FINALISED


def _periods(account: Account, now: datetime) -> Iterator[BillingPeriod]:
    """Yield the present period and those that are over and not final, in order.

    For the present one's first hour the one before is among them in any case: its last hours are still
    coming in, and without Stripe it never becomes final.
    """
    present = hour_of(now)
    found = {one.start: one for one in account.periods if _is_closing(account.customer, one, now)}
    for hour in (present - HOUR, present):
        if (billing := account.period_at(hour)) is not None:
            found[billing.start] = billing
    yield from (found[start] for start in sorted(found))
