"""What Stripe has of a period's invoices: those that may bill it, and the lines of one that is void.

Source: docs/billing.md#settling.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import stripe

from metering.core.accounts import BillingPeriod, Customer
from metering.core.billed import InvoiceStatus
from metering.core.rating import BASE_FEE
from metering.core.settlements import INVOICE_LINE
from metering.core.stripe_names import CENTS, LARGEST_PAGE, our_id
from ops.errors import OperatorError

_AT_A_PERIODS_END = frozenset({"subscription_cycle", "subscription_update"})


@dataclass(frozen=True)
class VoidLine:
    """A line of a void invoice: its id, what it is (`SettleItem.meter`), its amount in dollars, its text."""

    line_id: str
    meter: str
    amount: Decimal
    text: str


def refuse_unknown_invoices(
    client: stripe.StripeClient, customer: Customer, billing: BillingPeriod, known: set[str]
) -> None:
    """Refuse a period that has a draft, or an invoice that no look has written down.

    Raises
    ------
    OperatorError
        The text names the invoice.
    """
    invoices = _Invoices(client, customer, billing)
    for invoice in invoices.of_period():
        if invoice.status == InvoiceStatus.DRAFT:
            raise OperatorError(
                f"the draft {invoice.id} bills this period; finalise it or delete it in Stripe"
            )
        if invoice.id not in known:
            raise OperatorError(
                f"{invoice.id} bills this period and is not written down yet; wait for the next look"
            )


def voided_invoices(client: stripe.StripeClient, invoice_ids: Iterable[str]) -> Iterator[list[VoidLine]]:
    """Yield the lines of each void invoice, the newest invoice first, but for the metered ones.

    Metered lines are worked out of the usage.
    """
    prices = _Prices(client)
    invoices = [client.v1.invoices.retrieve(invoice_id) for invoice_id in invoice_ids]
    for invoice in sorted(invoices, key=lambda invoice: invoice.created, reverse=True):
        yield list(_other_lines(invoice, prices))


def lines_to_be_settled(voids: Sequence[list[VoidLine]], settled: Collection[str | None]) -> list[VoidLine]:
    """Choose one void invoice of a period: each later one was made in place of the one before.

    That is the one whose lines are settled already, else the newest.
    """
    for lines in voids:
        if any(line.line_id in settled for line in lines):
            return lines
    return voids[0] if voids else []


def _other_lines(invoice: stripe.Invoice, prices: "_Prices") -> Iterator[VoidLine]:
    for line in invoice.lines.auto_paging_iter():
        price_id = _price_of(line)
        if price_id is not None and prices.is_metered(price_id):
            continue
        is_fee = price_id is not None and BASE_FEE in prices.lookup_key(price_id).split(".")
        amount = Decimal(line.amount) / CENTS
        if amount:
            meter = BASE_FEE if is_fee else INVOICE_LINE
            yield VoidLine(line.id, meter, amount, line.description or meter)


class _Prices:
    """Stripe's prices, each asked for once."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client
        self._known: dict[str, stripe.Price] = {}

    def is_metered(self, price_id: str) -> bool:
        """Whether a price is on a meter."""
        recurring = self._price(price_id).recurring
        return recurring is not None and recurring.meter is not None

    def lookup_key(self, price_id: str) -> str:
        """Return a price's lookup key, empty where it has none."""
        return self._price(price_id).lookup_key or ""

    def _price(self, price_id: str) -> stripe.Price:
        if price_id not in self._known:
            self._known[price_id] = self._client.v1.prices.retrieve(price_id)
        return self._known[price_id]


class _Invoices:
    """What Stripe has now of a period's invoices: the schedule's next look may not have written it down."""

    def __init__(self, client: stripe.StripeClient, customer: Customer, billing: BillingPeriod) -> None:
        self._client = client
        self._customer = customer
        self._billing = billing
        self._prices = _Prices(client)

    def of_period(self) -> Iterator[stripe.Invoice]:
        """Yield those that bill the period, or did until they became void."""
        for invoice in self._listed():
            if self._bills(invoice):
                yield invoice

    def _listed(self) -> Iterator[stripe.Invoice]:
        subscription = self._billing.subscription_id or self._customer.stripe_subscription_id
        whose = self._billing.stripe_customer_id or self._customer.stripe_customer_id
        of = {"subscription": subscription} if subscription else {"customer": whose}
        since = {"gte": int(self._billing.start.timestamp())}
        query: Any = {**of, "created": since, "limit": LARGEST_PAGE}
        for invoice in self._client.v1.invoices.list(query).auto_paging_iter():
            details = invoice.parent.subscription_details if invoice.parent else None
            ours = details is not None and our_id(details.metadata) == self._customer.customer_id
            if subscription or ours:
                yield invoice

    def _bills(self, invoice: stripe.Invoice) -> bool:
        begins = datetime.fromtimestamp(invoice.period_start, UTC) == self._billing.start
        if begins and invoice.billing_reason in _AT_A_PERIODS_END:
            return True
        return any(self._is_usage_of_it(line) for line in invoice.lines.auto_paging_iter())

    def _is_usage_of_it(self, line: stripe.InvoiceLineItem) -> bool:
        price_id, start = _price_of(line), datetime.fromtimestamp(line.period.start, UTC)
        within = self._billing.start <= start < self._billing.end
        return within and price_id is not None and self._prices.is_metered(price_id)


def _price_of(line: stripe.InvoiceLineItem) -> str | None:
    details = line.pricing.price_details if line.pricing else None
    if details is None:
        return None
    return details.price if isinstance(details.price, str) else str(details.price.id)
