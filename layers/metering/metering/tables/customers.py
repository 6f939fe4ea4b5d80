"""The Customers table: profiles, periods, and the directory of the fleet.

Keys: ``pk`` = customer with ``sk`` = ``profile`` or ``period#<start>``; ``pk`` = ``fleet#<shard>`` with
``sk`` = customer for the directory. ``instance#``, ``late#``, ``alert#`` and ``closing#`` items have modules
of their own. Source: docs/storage.md#tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.core.accounts import Account, BillingPeriod, Customer, PeriodState
from metering.core.instances import Instance
from metering.core.instants import format_instant
from metering.tables.access import key
from metering.tables.closings import Closing, Closings
from metering.tables.records import Records
from metering.tables.shards import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class Customers(Records):
    """Typed access to the customers' profiles and periods."""

    def customer(self, customer_id: str) -> Customer | None:
        """A customer's profile, strongly consistent."""
        item = self.get(customer_id, _PROFILE)
        return Customer.model_validate_json(item["j"]["S"]) if item else None

    def add(self, customer: Customer) -> bool:
        """Store a new customer and its directory entry; tell whether it was new."""
        added = self.add_record(customer.customer_id, _PROFILE, customer)
        self.put_item(key(f"fleet#{shard_of(customer.customer_id)}", customer.customer_id))
        return added

    def replace(self, old: Customer, new: Customer) -> bool:
        """Put a profile in place of the one that was read; tell whether that one was still there."""
        return self.replace_record(old.customer_id, _PROFILE, old, new)

    def periods(self, customer_id: str) -> list[BillingPeriod]:
        """A customer's period snapshots, in order, strongly consistent."""
        items = self.items_with_prefix(customer_id, "period#")
        return [BillingPeriod.model_validate_json(item["j"]["S"]) for item in items]

    def final_period_at(self, customer_id: str, hour: datetime) -> BillingPeriod | None:
        """The final period that an hour belongs to; None where its period is not final."""
        for period in self.periods(customer_id):
            if period.state is PeriodState.FINALISED and period.span.has_hour(hour):
                return period
        return None

    def add_period(self, customer_id: str, period: BillingPeriod) -> bool:
        """Store a period's snapshot unless there is one; tell whether it was new.

        It is put on the calendar of closings first: one that is there without its period removes itself.
        """
        Closings(self.client, self.table).put(Closing(customer_id, period.start, period.end))
        return self.add_record(customer_id, _period(period.start), period)

    def replace_period(self, customer_id: str, old: BillingPeriod, new: BillingPeriod) -> bool:
        """Put a snapshot in place of the one that was read; tell whether that one was still there.

        Raises
        ------
        ValueError
            When the old one is finalised: what an invoice billed is written once.
        """
        if old.state is PeriodState.FINALISED or old.start != new.start:
            raise ValueError(f"the period {old.start} of {customer_id} is {old.state}; it becomes no other")
        return self.replace_record(customer_id, _period(old.start), old, new)

    def account(self, customer_id: str) -> Account | None:
        """Profile, instances and periods in one strongly consistent query."""
        profile: Customer | None = None
        instances: list[Instance] = []
        periods: list[BillingPeriod] = []
        for item in self.items_between(customer_id, "instance#", _PROFILE):
            sort, json = item["sk"]["S"], item["j"]["S"] if "j" in item else ""
            if sort == _PROFILE:
                profile = Customer.model_validate_json(json)
            elif sort.startswith("instance#"):
                instances.append(Instance.model_validate_json(json))
            elif sort.startswith("period#"):
                periods.append(BillingPeriod.model_validate_json(json))
        return Account(profile, tuple(instances), tuple(periods)) if profile else None

    def fleet(self, shard: int) -> Iterator[str]:
        """The ids of one shard's customers, in order."""
        for item in self.query("pk = :pk", pk=f"fleet#{shard}"):
            yield item["sk"]["S"]


def _period(start: datetime) -> str:
    return f"period#{format_instant(start)}"
