"""What a period's usage would cost under another plan or a draft catalogue. Nothing is changed.

Source: docs/billing.md#rating: rating is a pure function of contributions, plan version and period.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from metering.core.accounts import Account, BillingPeriod
from metering.core.catalog import Catalog, Override
from metering.core.instants import hour_of
from metering.tables.tables import Tables
from metering.tables.usage import period_usage


@dataclass(frozen=True)
class Simulated:
    """A period's total as it is and as it would be, in dollars, to date."""

    customer_id: str
    period_start: datetime
    plan: str
    total: Decimal
    other_plan: str
    other_total: Decimal

    @property
    def difference(self) -> Decimal:
        """How much more the other would cost."""
        return self.other_total - self.total


@dataclass(frozen=True)
class Simulation:
    """What is tried: a draft in place of the catalogue that is charged, and a plan of it.

    Without a plan each customer keeps its own, in its newest version. An override stays the customer's own
    on its own plan, and is left out on another.
    """

    charged: Catalog
    draft: Catalog
    plan: str | None = None


def simulate(
    simulation: Simulation,
    account: Account,
    tables: Tables,
    now: datetime,
    billing: BillingPeriod | None = None,
) -> Simulated | None:
    """Price a customer's period as it is and as it would be; None when it has no period now.

    Parameters
    ----------
    simulation
        What is tried.
    account, tables
        The customer, and where its usage is.
    now
        The present.
    billing
        The period; the present one unless given.

    Raises
    ------
    metering.core.catalog.CatalogError
        When the draft has no such plan, or its fee is custom.
    """
    billing = billing or account.period_at(hour_of(now))
    if billing is None:
        return None
    customer_id = account.customer.customer_id
    used = period_usage(tables, customer_id, billing, simulation.charged)
    other_plan = simulation.draft.newest(simulation.plan or billing.plan.partition("@")[0])
    own = other_plan.partition("@")[0] == billing.plan.partition("@")[0]
    override = billing.override if own else Override()
    other = billing.on_plan(other_plan, override, simulation.draft)
    return Simulated(
        customer_id=customer_id,
        period_start=billing.start,
        plan=billing.plan,
        total=used.total,
        other_plan=other_plan,
        other_total=replace(used, billing=other, catalog=simulation.draft).total,
    )
