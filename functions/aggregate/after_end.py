"""Usage that belongs to no period, since its customer's subscription has ended: billed by nobody.

It is accepted, counted and named, and never charged without an operator's word. Source:
docs/billing.md#what-billed-means.
"""

from datetime import datetime

from metering.core.accounts import Account, BillingPeriod
from metering.core.catalog import Catalog
from metering.core.conservation import Difference, Stage
from metering.core.contract import OLDEST_WINDOW
from metering.core.instants import HOUR, hour_of
from metering.core.usage import PeriodUsage
from metering.tables.customers import Customers
from metering.tables.tables import Tables


def lies_after_end(customer_id: str, hour: datetime, customers: Customers) -> bool:
    """Tell whether an hour comes after the last period of a customer whose subscription has ended."""
    customer = customers.customer(customer_id)
    if customer is None or not customer.has_left:
        return False
    ends = [period.span.end_hour for period in customers.periods(customer_id)]
    return bool(ends) and hour >= max(ends)


def differences_after_end(
    account: Account, now: datetime, tables: Tables, catalog: Catalog
) -> list[Difference]:
    """Name each meter's usage after the last period, as far back as reports are taken.

    None of a customer who has a subscription. Usage on an unlimited meter is not sold, and not named.
    """
    last = max(account.periods, key=lambda period: period.start, default=None)
    if last is None or not account.customer.has_left:
        return []
    start, end = max(last.span.end_hour, hour_of(now) - OLDEST_WINDOW), hour_of(now) + HOUR
    if start >= end:
        return []
    billing = BillingPeriod(start=start, end=end, plan=last.plan, override=last.override, sold=False)
    usage = PeriodUsage(billing, tables.hours.of_period(account.customer.customer_id, billing.span), catalog)
    return [
        Difference(Stage.AFTER_END, None, meter, f"{usage.quantities[meter]:f}", None)
        for meter, price in usage.terms.meters.items()
        if usage.quantities[meter] and not price.unlimited
    ]
