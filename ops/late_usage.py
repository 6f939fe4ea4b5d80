"""Late usage of final periods, and usage that no invoice bills: what there is, and the intents to bill it.

Source: docs/billing.md#late-usage.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import stripe

from metering.core.accounts import Account, BillingPeriod, Customer, PeriodState
from metering.core.billed import billed_of
from metering.core.catalog import Catalog
from metering.core.charges import Charge, ChargeState
from metering.core.late_usage import LateItem, LateUsage, late_usage, unbilled_usage
from metering.core.periods import is_past_retention
from metering.core.settlements import SettleItem, is_unbilled
from metering.core.usage import PeriodUsage
from metering.tables.ledger import SENT
from metering.tables.tables import Tables
from metering.tables.usage import period_usage
from ops.errors import OperatorError
from ops.invoice_items import charge_states, is_deleted, make_invoice_items


class NotBilledError(OperatorError):
    """Nothing of one customer was billed, for a reason of its own: the other customers are."""


class TooMuchCreditError(NotBilledError):
    """More is to be credited to a customer than the operator allowed."""


class DeletedStripeCustomerError(NotBilledError):
    """An intent could never be made, and would cover its quantity for ever."""


@dataclass(frozen=True)
class LatePeriod:
    """What a final period lacks, and what beside its invoice covers its usage."""

    billing: BillingPeriod
    usage: list[LateUsage]
    billed: list[LateItem]
    settled: list[SettleItem]

    @property
    def covered(self) -> list[Charge]:
        """All charges of the period."""
        return [*self.billed, *self.settled]


@dataclass(frozen=True)
class UnbilledPeriod:
    """A period that no invoice bills: what of it is neither billed nor covered.

    ``void`` tells that its invoice is void and that no line of it was settled yet.
    """

    billing: BillingPeriod
    usage: list[LateUsage]
    settled: list[SettleItem]
    void: bool


@dataclass(frozen=True)
class Billing:
    """Finds late and unbilled usage at a present, and bills what is late where there is a client.

    ``credit_limit`` is how many dollars may be credited to a customer, None where nothing is to be.
    """

    tables: Tables
    catalog: Catalog
    now: datetime
    client: stripe.StripeClient | None = None
    credit_limit: Decimal | None = None

    def late(self, account: Account) -> list[LatePeriod]:
        """Return each final period's late usage; periods without any charge or late usage are left out.

        Of a period whose first hours have expired the difference says nothing: it is left out as well.
        """
        periods = (self._late(account.customer, billing) for billing in account.periods)
        return [period for period in periods if period is not None and (period.usage or period.covered)]

    def unbilled(self, account: Account) -> list[UnbilledPeriod]:
        """Return each period that is over, sold, and billed by no invoice though its time has come."""
        periods = (self._unbilled(account.customer, billing) for billing in account.periods)
        return [period for period in periods if period is not None]

    def bill(self, account: Account, periods: Iterable[LatePeriod]) -> Iterator[tuple[LateItem, str]]:
        """Put the intents of all periods, then make their invoice items, yielding each with its Stripe id.

        Raises
        ------
        TooMuchCreditError
            Before anything is written, when the credits are more than the limit; the text names the sum.
        DeletedStripeCustomerError
            Before anything is written, when there is usage to be billed and nobody to bill it to.
        """
        assert self.client is not None
        periods = list(periods)
        whose = account.customer.stripe_customer_id
        if whose is not None and any(one.usage for one in periods) and is_deleted(self.client, whose):
            raise DeletedStripeCustomerError(
                f"{account.customer.customer_id}: the Stripe customer {whose} was deleted; attach another"
            )
        credit = -sum(
            (usage.amount for period in periods for usage in period.usage if usage.amount < 0),
            Decimal("0.00"),
        )
        if self.credit_limit is not None and credit > self.credit_limit:
            raise TooMuchCreditError(
                f"{account.customer.customer_id}: {credit} dollars to be credited are more than "
                f"--credit-limit {self.credit_limit}; nothing was billed or credited"
            )
        items = [item for period in periods for item in self.put_intents(account, period)]
        yield from make_invoice_items(self.client, account.customer, items, self.tables.late, self.catalog)

    def states(self, account: Account, charges: Iterable[Charge]) -> list[tuple[Charge, ChargeState]]:
        """Tell what has become of each charge."""
        return charge_states(self.client, account.customer, charges)

    def put_intents(self, account: Account, period: LatePeriod) -> list[LateItem]:
        """Store an item for each late usage of a period; return all of the period's items.

        A number that somebody else took meanwhile changes what is late, so that it is worked out anew.
        """
        while True:
            items = self._items(account.customer, period)
            if all(self.tables.late.put(item) for item in items):
                return [*period.billed, *items]
            anew = self._late(account.customer, period.billing)
            assert anew is not None
            period = anew

    def _late(self, customer: Customer, billing: BillingPeriod) -> LatePeriod | None:
        if billing.state is not PeriodState.FINALISED or is_past_retention(billing.span, self.now):
            return None
        tables, customer_id = self.tables, customer.customer_id
        usage = period_usage(tables, customer_id, billing, self.catalog)
        late = tables.late.of_period(customer_id, billing.start)
        settled = tables.settlements.of_period(customer_id, billing.start)
        billed = billed_of(billing, tables.invoices.of_period(customer_id, billing.start))
        found = late_usage(usage, billed, [*late, *settled], sent_by_hour(customer_id, usage, tables))
        return LatePeriod(billing, found, late, settled if billed.counted else [])

    def _unbilled(self, customer: Customer, billing: BillingPeriod) -> UnbilledPeriod | None:
        tables, customer_id = self.tables, customer.customer_id
        in_stripe = (billing.stripe_customer_id or customer.stripe_customer_id) is not None
        if not in_stripe or is_past_retention(billing.span, self.now):
            return None
        records = tables.invoices.of_period(customer_id, billing.start)
        billed = billed_of(billing, records)
        if not is_unbilled(billing, records, self.now):
            return None
        settled = tables.settlements.of_period(customer_id, billing.start)
        usage = period_usage(tables, customer_id, billing, self.catalog)
        covered = [*tables.late.of_period(customer_id, billing.start), *settled]
        found = unbilled_usage(usage, billed, covered, sent_by_hour(customer_id, usage, tables))
        return UnbilledPeriod(billing, found, settled, void=billed.void and not settled)

    def _items(self, customer: Customer, period: LatePeriod) -> list[LateItem]:
        following = max((item.number for item in period.billed), default=0) + 1
        usages = [one for one in period.usage if self.credit_limit is not None or one.amount >= 0]
        return [
            LateItem(
                customer_id=customer.customer_id,
                period_start=period.billing.start,
                number=number,
                meter=usage.meter,
                quantity=usage.quantity,
                amount=usage.amount,
                days=usage.days,
                stripe_customer_id=customer.stripe_customer_id,
            )
            for number, usage in enumerate(usages, following)
        ]


def sent_by_hour(customer_id: str, usage: PeriodUsage, tables: Tables) -> dict[tuple[str, datetime], Decimal]:
    """Return what the ledger says was sent of a period, by meter and hour."""
    days = list(usage.span.days())
    if not days:
        return {}
    return {
        key: entry.value
        for day in tables.ledger.between(customer_id, days[0], days[-1])
        for key, entry in day.entries.items()
        if entry.state == SENT
    }
