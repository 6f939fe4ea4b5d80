"""The state of the fleet: what waits, since when, and what differs."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from metering.core.accounts import Account, BillingPeriod, PeriodState
from metering.core.instants import DAY, HOUR, format_instant, hour_of
from metering.core.periods import day_hours
from metering.tables.ledger import Ledger
from metering.tables.shards import SHARDS
from ops.deployment import Deployment

ENDED_FOR = timedelta(days=4)
"""A period not final by then is named: the longest grace is 72 hours."""
_DEAD_LETTERS = {"aggregate": "AggregateDeadLetters", "stripe_report": "StripeDeadLetters"}
"""The queues of dead letters in the template, by the function whose messages they take."""


@dataclass(frozen=True)
class Backlog:
    """Markers of one kind: how many, and how long the oldest one's hour or day has been over, in seconds."""

    count: int = 0
    oldest: str | None = None
    age: int = 0


@dataclass(frozen=True)
class DifferingHour:
    """An hour that the reconciliation has sent again, or that Stripe refused."""

    customer_id: str
    meter: str
    hour: str
    value: str
    state: str
    since: str | None


@dataclass
class FleetStatus:
    """What `ops status` shows."""

    customers: dict[str, int] = field(default_factory=dict)
    periods: dict[str, int] = field(default_factory=dict)
    overdue_periods: list[str] = field(default_factory=list)
    dirty: Backlog = field(default_factory=Backlog)
    unsent: Backlog = field(default_factory=Backlog)
    dead_letters: dict[str, int] = field(default_factory=dict)
    differences: list[DifferingHour] = field(default_factory=list)
    not_conserved: int = 0

    @property
    def healthy(self) -> bool:
        """Whether nothing waits for a person: no dead letters, no overdue periods, no differences."""
        lost = self.overdue_periods or self.differences or self.not_conserved
        return not (lost or any(self.dead_letters.values()))

    def answer(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "healthy": self.healthy}


def fleet_status(deployment: Deployment, accounts: Iterable[Account], now: datetime) -> FleetStatus:
    """Read the state of the fleet.

    Parameters
    ----------
    deployment
        The stack: its tables, its queues, and what its functions counted in the last two days.
    accounts
        All of its customers.
    now
        The present.
    """
    markers, ledger = deployment.tables.markers, deployment.tables.ledger
    swept = (hour_of(now) - 2 * DAY, hour_of(now) + HOUR)
    status = FleetStatus(not_conserved=deployment.counted("conservation_difference", "aggregate", *swept))
    customers, periods = Counter[str](), Counter[str]()
    for account in accounts:
        customer = account.customer
        customers[customer.status.value] += 1
        customers["with Stripe"] += customer.stripe_customer_id is not None
        for period in account.periods:
            periods[period.state.value] += 1
            if customer.stripe_customer_id is not None and _is_overdue(period, now):
                bounds = f"{format_instant(period.start)} to {format_instant(period.end)}"
                status.overdue_periods.append(f"{customer.customer_id} {bounds}")
            status.differences += _differences(customer.customer_id, period, ledger, now)
    status.customers, status.periods = dict(customers), dict(periods)
    dirty = [marker.hour for shard in range(SHARDS) for marker in markers.dirty(shard)]
    days = [marker.day for shard in range(SHARDS) for marker in markers.unsent(shard)]
    status.dirty = _waiting(dirty, HOUR, now)
    status.unsent = _waiting([next(day_hours(day)) for day in days], DAY, now)
    status.dead_letters = {name: deployment.queued(queue) for name, queue in _DEAD_LETTERS.items()}
    return status


def _is_overdue(period: BillingPeriod, now: datetime) -> bool:
    return period.state is not PeriodState.FINALISED and period.end + ENDED_FOR < now


def _differences(
    customer_id: str, period: BillingPeriod, ledger: Ledger, now: datetime
) -> Iterator[DifferingHour]:
    """The open period's hours that are marked in the ledger as differing or refused."""
    if period.state is PeriodState.FINALISED:
        return
    for day in ledger.between(customer_id, period.start.date(), min(now, period.end).date()):
        for (meter, hour), entry in day.entries.items():
            if entry.differs_since is None and not entry.state.is_refused:
                continue
            yield DifferingHour(
                customer_id,
                meter,
                format_instant(hour),
                f"{entry.value:f}",
                str(entry.state),
                format_instant(entry.differs_since.replace(microsecond=0)) if entry.differs_since else None,
            )


def _waiting(starts: list[datetime], length: timedelta, now: datetime) -> Backlog:
    if not starts:
        return Backlog()
    oldest = min(starts)
    age = max(now - (oldest + length), timedelta(0))
    return Backlog(len(starts), format_instant(oldest), int(age.total_seconds()))
