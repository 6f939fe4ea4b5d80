"""A period's usage whose figures a test names itself."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from metering.core.accounts import BillingPeriod
from metering.core.billable import Contributions
from metering.core.catalog import Catalog, builtin_catalog
from metering.core.forecast import Forecast
from metering.core.usage import PeriodUsage


class GivenUsage(PeriodUsage):
    """Usage with given contributions, quantities or forecasts in place of those of its hours."""

    projected: Mapping[str, Decimal | None]

    def forecast(self, _now: datetime) -> Forecast:
        """Return the given forecasts."""
        return Forecast(self.projected, self.terms)


def given_usage(
    billing: BillingPeriod,
    contributions: Contributions | None = None,
    quantities: Mapping[str, Decimal] | None = None,
    forecasts: Mapping[str, Decimal | None] | None = None,
    catalog: Catalog | None = None,
) -> PeriodUsage:
    """Return a period's usage with these figures; what is not given follows from no hours at all."""
    made = GivenUsage(billing, (), catalog or builtin_catalog())
    given = {"contributions": contributions, "quantities": quantities, "projected": forecasts or {}}
    # A cached property that has a value already is not computed.
    made.__dict__.update({name: value for name, value in given.items() if value is not None})
    return made
