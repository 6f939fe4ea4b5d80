"""What every piece of stripe_report's work has at hand."""

from collections.abc import Callable
from dataclasses import dataclass

from metering.core.accounts import BillingPeriod
from metering.core.catalog import Catalog
from metering.core.usage import PeriodUsage
from metering.tables.tables import Tables
from metering.tables.usage import period_usage
from stripe_report.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Desk:
    """The tables, the way to Stripe, and the catalogue.

    ``connect`` gives the way to Stripe when it is first needed: no key is read before.
    """

    tables: Tables
    connect: Callable[[], Gateway]
    catalog: Catalog

    @property
    def gateway(self) -> Gateway:
        """The way to Stripe."""
        return self.connect()

    def usage(self, customer_id: str, billing: BillingPeriod) -> PeriodUsage:
        """Return a period with its stored hours and its adjustments."""
        return period_usage(self.tables, customer_id, billing, self.catalog)
