"""What of a customer's past is on no invoice, as its page says it.

Source: docs/billing.md#what-billed-means. Looking costs reads, so that only the newest former periods are
looked at; the operator is told of all (`ops late-usage`).
"""

from collections.abc import Iterator
from datetime import datetime

from metering.core.accounts import Account, BillingPeriod
from metering.core.answers import Flag
from metering.core.billed import billed_of
from metering.core.instants import HOUR
from metering.core.periods import is_past_retention
from metering.core.settlements import is_unbilled
from metering.tables.tables import Tables
from usage_query.flags import unbilled, used_after

PERIODS = 3
"""How many former periods are looked at: a quarter of a year."""


def unbilled_flags(account: Account, shown: BillingPeriod, now: datetime, tables: Tables) -> Iterator[Flag]:
    """Yield a flag for each former period on no invoice, and for usage after the subscription's end."""
    customer = account.customer
    if customer.stripe_customer_id is None:
        return
    over = sorted((one for one in account.periods if one.end <= now), key=lambda one: one.start)
    former = [one for one in over[-PERIODS:] if not is_past_retention(one.span, now)]
    told = tables.invoices.since(customer.customer_id, former[0].start) if former else []
    for period in former:
        records = [record for record in told if record.period_start == period.start]
        on_none = is_unbilled(period, records, now) and not billed_of(period, records).counted
        if on_none and not _is_settled(customer.customer_id, period, tables):
            yield unbilled(period.start, period.end)
    if customer.has_left:
        after = tables.hours.between(customer.customer_id, shown.span.end_hour, now + HOUR)
        if any(hour.instances for hour in after):
            yield used_after(shown.end)


def _is_settled(customer_id: str, period: BillingPeriod, tables: Tables) -> bool:
    return bool(tables.settlements.of_period(customer_id, period.start))
