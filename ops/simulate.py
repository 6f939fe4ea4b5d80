"""What a period's usage would cost under another plan or a draft catalogue. Nothing is changed.

Source: design page "billing", section "Rating": rating is a pure function of contributions, plan version and
period.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from metering.core.accounts import BillingPeriod, period_for
from metering.core.billable import all_contributions
from metering.core.catalog import Catalog
from metering.core.periods import hour_of
from metering.core.rating import invoice_total, quantities, rate
from metering.tables.customers import Account
from metering.tables.hours import Hours


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


def simulate(
    account: Account,
    hours: Hours,
    catalog: Catalog,
    draft: Catalog,
    plan: str | None,
    now: datetime,
    billing: BillingPeriod | None = None,
) -> Simulated | None:
    """Price a customer's period on a plan of the draft; None when it has no period now.

    Parameters
    ----------
    account, hours
        The customer and its usage.
    catalog, draft
        What is charged, and what might be.
    plan
        The plan to try; the newest version of the customer's own plan unless given. An override stays the
        customer's own on its own plan, and is left out on another.
    now
        The present.
    billing
        The period; the present one unless given.

    Raises
    ------
    metering.core.catalog.CatalogError
        When the draft has no such plan, or its fee is custom.
    """
    billing = billing or period_for(account.customer, account.periods, hour_of(now))
    if billing is None:
        return None
    span = billing.span
    stored = list(hours.between(account.customer.customer_id, span.first_hour, span.end_hour))
    other_plan = draft.newest(plan or billing.plan.partition("@")[0])
    own = other_plan.partition("@")[0] == billing.plan.partition("@")[0]
    present = rate(quantities(all_contributions(catalog, stored, span)), billing.terms(catalog))
    other = rate(
        quantities(all_contributions(draft, stored, span)),
        draft.terms(other_plan, billing.override if own else None),
    )
    return Simulated(
        customer_id=account.customer.customer_id,
        period_start=billing.start,
        plan=billing.plan,
        total=invoice_total(present),
        other_plan=other_plan,
        other_total=invoice_total(other),
    )
