"""A period's usage: all that follows from its hours, its terms and the catalogue.

Whatever shows, sends, prices or compares a period is a projection of this; what only exists to check it
(`metering.core.conservation`) computes apart. Pure. Source: docs/billing.md#contributions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from metering.core.accounts import BillingPeriod
from metering.core.adjustments import Adjusted, Adjustment, adjusted
from metering.core.billable import Contributions, all_contributions
from metering.core.catalog import Catalog, Terms
from metering.core.forecast import Forecast, forecast
from metering.core.periods import Period
from metering.core.rating import Line, invoice_total, quantities, rate
from metering.core.rollup import Hour


@dataclass(frozen=True)
class PeriodUsage:
    """What a customer has used in one billing period, and what it costs under the period's terms.

    Parameters
    ----------
    billing
        The period: bounds, plan version, overrides.
    hours
        The period's stored hours, in order; hours of other periods are passed over.
    catalog
        The meters and prices.
    adjustments
        What operators added to the period's quantities, or took from them.
    """

    billing: BillingPeriod
    hours: Sequence[Hour]
    catalog: Catalog
    adjustments: Sequence[Adjustment] = ()

    @property
    def span(self) -> Period:
        """The period's bounds."""
        return self.billing.span

    @cached_property
    def terms(self) -> Terms:
        """What the customer pays in this period."""
        return self.billing.terms(self.catalog)

    @cached_property
    def unadjusted(self) -> Contributions:
        """What the stored hours alone add to each meter's quantity, in the meter's units, sold or not."""
        return all_contributions(self.catalog, self.hours, self.span)

    @cached_property
    def contributions(self) -> Contributions:
        """What each hour adds to each meter's quantity: with adjustments, in its units, sold or not."""
        return self._adjusted.contributions

    @property
    def unapplied(self) -> Mapping[int, Decimal]:
        """What of each adjustment found no usage, by its number, in the meter's units."""
        return self._adjusted.unapplied

    @cached_property
    def _adjusted(self) -> Adjusted:
        return adjusted(self.unadjusted, self.adjustments, self.span)

    @cached_property
    def sold(self) -> Contributions:
        """The contributions of the meters that the period sells: what is sent and billed."""
        return {name: value for name, value in self.contributions.items() if name in self.terms.meters}

    @cached_property
    def quantities(self) -> Mapping[str, Decimal]:
        """Each meter's billable quantity: the sum of its contributions."""
        return quantities(self.contributions)

    @cached_property
    def lines(self) -> Sequence[Line]:
        """The invoice's lines if the period ended now: the fee, then one for each meter of the terms."""
        return rate(self.quantities, self.terms)

    @property
    def total(self) -> Decimal:
        """The lines' total in dollars, before discounts and tax."""
        return invoice_total(self.lines)

    def forecast(self, now: datetime) -> Forecast:
        """Project every meter to the period's end; adjustments say nothing of what is to come."""
        projected = {
            name: forecast(meter, self.unadjusted[name], self.hours, self.span, now)
            for name, meter in self.catalog.meters.items()
        }
        return Forecast(projected, self.terms)
