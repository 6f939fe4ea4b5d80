"""The equation of billing, from both ends: what was reported, and what Stripe's own account says is billed.

Σ contributions + adjustments = billed + covered + unbilled + not sold, for every meter over all of a
customer's time. Contributions are made of the reports; billed is read from the simulated account's invoices,
not through our reader; unbilled is what the operator is told (``ops late-usage``, the nightly check). Source:
docs/billing.md#what-billed-means.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aggregate.conservation import conserve
from metering.core.accounts import Account, BillingPeriod, PeriodState
from metering.core.billed import billed_of, newest
from metering.core.conservation import Stage
from metering.core.instants import HOUR, hour_of
from metering.core.periods import is_past_retention
from metering.core.rating import tiered_amount
from metering.core.rollup import NEWEST_VERSION, Hour, rollup
from metering.core.settlements import UNBILLED_AFTER
from metering.core.stripe_names import LATE_ITEM, OUR_ID, SETTLE_ITEM, meter_of_event_name
from metering.core.usage import PeriodUsage
from ops.late_usage import Billing
from stripe_simulator.engine.billed import Invoice
from tests.stripe.world import CUSTOMER, World

if TYPE_CHECKING:
    from metering.core.contract import Report
    from metering.core.late_usage import LateUsage

_COUNTED = frozenset({"open", "paid", "uncollectible"})
_LONG_BEFORE = timedelta(days=400)

type Quantities = dict[str, Decimal]


@dataclass(frozen=True)
class Books:
    """Both sides of the equation: quantities by meter, in the meters' units.

    ``awaited`` is of periods whose invoice may still come; ``nowhere`` are hours with usage that belong to no
    period although they should.
    """

    contributed: Quantities
    adjusted: Quantities
    billed: Quantities
    covered: Quantities
    unbilled: Quantities
    not_sold: Quantities
    awaited: Quantities
    nowhere: tuple[datetime, ...] = ()

    def differences(self) -> dict[str, Decimal]:
        """Return what each meter's left side has more than its right side; nothing where all is accounted."""
        found = {}
        for meter in sorted({*self.contributed, *self.billed, *self.covered}):
            left = _of(self.contributed, meter) + _of(self.adjusted, meter)
            kinds = (self.billed, self.covered, self.unbilled, self.not_sold, self.awaited)
            right = sum((_of(kind, meter) for kind in kinds), Decimal(0))
            if left != right:
                found[meter] = left - right
        return found


def books(world: World) -> Books:
    """Work out both sides of the equation as they are now."""
    account = account_of(world)
    hours = _hours(world)
    contributed, adjusted, not_sold, awaited = _sums(), _sums(), _sums(), _sums()
    for billing in account.periods:
        if is_past_retention(billing.span, world.now):
            # Its hours are gone: what is known of it is what was billed.
            for meter, quantity in world.billed(billing).quantities.items():
                contributed[meter] += quantity
            continue
        adjustments = world.tables.adjustments.of_period(CUSTOMER, billing.start)
        usage = PeriodUsage(billing, hours, world.catalog, adjustments)
        prices = usage.terms.meters
        for meter in world.catalog.meters:
            contributed[meter] += sum(usage.unadjusted[meter].values(), Decimal(0))
            if not billing.sold or meter not in prices or prices[meter].unlimited:
                not_sold[meter] += sum(usage.contributions[meter].values(), Decimal(0))
            elif _is_awaited(billing, world.now):
                awaited[meter] += sum(usage.contributions[meter].values(), Decimal(0))
        for one in adjustments:
            adjusted[one.meter] += one.quantity - usage.unapplied.get(one.number, Decimal(0))
    unbilled = _told(world, account)
    outside, nowhere = _outside(account, hours)
    for meter, quantity in _after_end(world, account, outside).items():
        contributed[meter] += quantity
        last = max(account.periods, key=lambda period: period.start)
        if last.terms(world.catalog).meters[meter].unlimited:
            not_sold[meter] += quantity
    billed, covered = billed_at_stripe(world), _covered(world, account)
    return Books(contributed, adjusted, billed, covered, unbilled, not_sold, awaited, nowhere)


def _is_awaited(billing: BillingPeriod, now: datetime) -> bool:
    """Tell whether a period's invoice may still come: as long as a draft may last after its end."""
    return billing.state is not PeriodState.FINALISED and now < billing.end + UNBILLED_AFTER


def account_of(world: World) -> Account:
    """Return the customer's records."""
    account = world.customers.account(CUSTOMER)
    assert account is not None
    return account


# ------------------------------------------------------------------ Stripe's account, read by itself


def our_invoices(world: World, statuses: Iterable[str] = _COUNTED) -> list[Invoice]:
    """Return the invoices of the customer's own subscriptions, as the simulated account has them."""
    assert world.account is not None
    state = world.account.state
    ours = {one.id for one in state.subscriptions.values() if one.metadata.get(OUR_ID) == CUSTOMER}
    wanted = frozenset(statuses)
    return [one for one in state.invoices.values() if one.subscription in ours and one.status in wanted]


def metered_lines(world: World, invoice: Invoice) -> Iterator[tuple[str, Any]]:
    """Yield an invoice's lines with a price on a meter of ours, by the meter."""
    assert world.account is not None
    state = world.account.state
    for line in invoice.lines or ():
        recurring = state.prices[line.price].recurring if line.price else None
        if recurring is not None and recurring.meter is not None:
            meter = meter_of_event_name(state.meters[recurring.meter].event_name)
            assert meter is not None
            yield meter, line


def billed_at_stripe(world: World) -> Quantities:
    """Add up the metered lines of all invoices that count."""
    found = _sums()
    for invoice in our_invoices(world):
        for meter, line in metered_lines(world, invoice):
            found[meter] += line.quantity
    return found


def billed_twice(world: World) -> list[tuple[str, int]]:
    """Return meters and instants from which on two lines of invoices that count bill the same time.

    Tiers, and prices of one item, are lines of one span of one invoice; all others must not overlap.
    """
    spans: dict[str, set[tuple[int, int, str]]] = defaultdict(set)
    for invoice in our_invoices(world):
        for meter, line in metered_lines(world, invoice):
            if line.quantity:
                spans[meter].add((line.period_start, line.period_end, invoice.id))
    found = []
    for meter, ours in spans.items():
        ordered = sorted(ours)
        for before, after in itertools.pairwise(ordered):
            if after[0] < before[1]:
                found.append((meter, after[0]))
    return found


def made_twice(world: World) -> list[str]:
    """Return the charges of ours of which Stripe has more than one invoice item."""
    assert world.account is not None
    items = world.account.state.invoice_items.values()
    names = Counter(
        one.metadata[name] for one in items for name in (LATE_ITEM, SETTLE_ITEM) if name in one.metadata
    )
    return [name for name, number in names.items() if number > 1]


# ------------------------------------------------------------------ what our own records say


def billed_by_records(world: World) -> Quantities:
    """Add up what our records say is billed, over all periods."""
    found = _sums()
    for billing in account_of(world).periods:
        for meter, quantity in world.billed(billing).quantities.items():
            found[meter] += quantity
    return found


def _covered(world: World, account: Account) -> Quantities:
    found = _sums()
    for billing in account.periods:
        late = world.tables.late.of_period(CUSTOMER, billing.start)
        for item in [*late, *world.tables.settlements.of_period(CUSTOMER, billing.start)]:
            if item.meter in world.catalog.meters:
                found[item.meter] += item.quantity
    return found


def _told(world: World, account: Account) -> Quantities:
    """Add up what the operator is told is unbilled: late usage, periods without an invoice, after the end.

    What a mispriced invoice leaves is told by an alarm, and by the nightly check as a difference.
    """
    billing = Billing(world.tables, world.catalog, world.now)
    found = _sums()
    usages: list[LateUsage] = []
    for period in billing.late(account):
        usages += period.usage
    for unbilled in billing.unbilled(account):
        usages += unbilled.usage
    for usage in usages:
        found[usage.meter] += usage.quantity
    for one in account.periods:
        for meter, quantity in mispriced(world, one).items():
            found[meter] += quantity
    for difference in conserve(CUSTOMER, world.now, world.tables, world.catalog).differences:
        if difference.stage is Stage.AFTER_END:
            assert difference.expected is not None
            found[difference.metric] += Decimal(difference.expected)
    return found


def mispriced(world: World, billing: BillingPeriod) -> Quantities:
    """Return what is left to people, since an invoice's amount is not the rating of its quantity."""
    records = world.tables.invoices.of_period(CUSTOMER, billing.start)
    billed = billed_of(billing, records)
    if billing.state is not PeriodState.FINALISED or not (billed.counted and billed.mispriced):
        return {}
    usage = world.usage(billing)
    covered = [
        *world.tables.late.of_period(CUSTOMER, billing.start),
        *world.tables.settlements.of_period(CUSTOMER, billing.start),
    ]
    prices = usage.terms.meters
    return {
        meter: usage.quantities[meter]
        - sum((record.quantities.get(meter, Decimal(0)) for record in _counting(world, billing)), Decimal(0))
        - sum((item.quantity for item in covered if item.meter == meter), Decimal(0))
        for meter in billed.mispriced
        if meter in prices and not prices[meter].unlimited
    }


def wrongly_priced(world: World) -> list[tuple[datetime, str, Decimal, Decimal]]:
    """Return meters of periods whose charges are not the price of what was charged, unless that is told.

    Each with its period's start, what was charged, and the price of the quantity.
    """
    found = []
    for billing in account_of(world).periods:
        billed, prices = world.billed(billing), billing.terms(world.catalog).meters
        items = [
            *world.tables.late.of_period(CUSTOMER, billing.start),
            *world.tables.settlements.of_period(CUSTOMER, billing.start),
        ]
        for meter, price in prices.items():
            if meter in billed.mispriced or price.unlimited:
                continue
            records = _counting(world, billing)
            charged = sum((r.amounts.get(meter, Decimal(0)) for r in records), Decimal(0))
            charged += sum((i.amount for i in items if i.meter == meter), Decimal(0))
            quantity = billed.quantity(meter)
            quantity += sum((i.quantity for i in items if i.meter == meter), Decimal(0))
            if charged != (right := tiered_amount(quantity, price.tiers)):
                found.append((billing.start, meter, charged, right))
    return found


def _counting(world: World, billing: BillingPeriod) -> list[Any]:
    records = newest(world.tables.invoices.of_period(CUSTOMER, billing.start))
    return [record for record in records if record.status.counts]


# ------------------------------------------------------------------ the reports


def _hours(world: World) -> list[Hour]:
    by_hour: dict[datetime, list[Report]] = defaultdict(list)
    for report in world.reports.between(CUSTOMER, world.start - _LONG_BEFORE, world.now + HOUR):
        by_hour[report.window_start].append(report)
    stored = world.hours.between(CUSTOMER, world.start - _LONG_BEFORE, world.now + HOUR)
    versions = {hour.start: hour.version for hour in stored}
    return [
        rollup(hour, reports, versions.get(hour, NEWEST_VERSION)) for hour, reports in sorted(by_hour.items())
    ]


def _outside(account: Account, hours: list[Hour]) -> tuple[list[Hour], tuple[datetime, ...]]:
    """Return the hours after a subscription's end, and those that should be in a period and are in none.

    What lies before the first period is before billing began.
    """
    first = min(period.span.first_hour for period in account.periods)
    last = max(period.span.end_hour for period in account.periods)
    without = [
        hour
        for hour in hours
        if hour.start >= first and not any(period.span.has_hour(hour.start) for period in account.periods)
    ]
    after = [hour for hour in without if hour.start >= last and account.customer.has_left]
    return after, tuple(hour.start for hour in without if hour not in after)


def _after_end(world: World, account: Account, hours: list[Hour]) -> Quantities:
    """Return what was used after the last period, as one span up to the present."""
    if not hours:
        return {}
    last = max(account.periods, key=lambda period: period.start)
    span = last.model_copy(
        update={
            "start": last.span.end_hour,
            "end": hour_of(world.now) + HOUR,
            "nominal_end": None,
            "first": False,
        }
    )
    usage = PeriodUsage(span, hours, world.catalog)
    return {meter: quantity for meter, quantity in usage.quantities.items() if meter in usage.terms.meters}


def instant(seconds: int) -> datetime:
    """Return an instant of Stripe's."""
    return datetime.fromtimestamp(seconds, UTC)


def _sums() -> Quantities:
    return defaultdict(Decimal)


def _of(quantities: Quantities, meter: str) -> Decimal:
    return quantities.get(meter, Decimal(0))
