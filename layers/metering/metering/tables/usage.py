"""A period's usage as it is stored: its hours, and what operators added to it or took from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metering.core.usage import PeriodUsage

if TYPE_CHECKING:
    from metering.core.accounts import BillingPeriod
    from metering.core.catalog import Catalog
    from metering.tables.tables import Tables


def period_usage(tables: Tables, customer_id: str, billing: BillingPeriod, catalog: Catalog) -> PeriodUsage:
    """Read a customer's period, strongly consistent."""
    return PeriodUsage(
        billing,
        tables.hours.of_period(customer_id, billing.span),
        catalog,
        tables.adjustments.of_period(customer_id, billing.start),
    )
