"""A subscription as Stripe has it now: its status, its items and their period. Pure.

What becomes of each status is in docs/billing.md#statuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from metering.core.catalog import Catalog


class SubscriptionStatus(StrEnum):
    """Stripe's states of a subscription."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    CANCELED = "canceled"
    UNPAID = "unpaid"
    PAUSED = "paused"

    @property
    def has_ended(self) -> bool:
        """Whether it is over for good."""
        return self in {SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED}


@dataclass(frozen=True, slots=True)
class SubscriptionItem:
    """One price of a subscription, and the item's own present period ``[start, end)``.

    ``price`` is the price's lookup key, or its id where it has none. ``meter`` is the meter of ours that it
    is priced on; None for a fixed price and for a meter of others. ``interval`` is how often it recurs, such
    as ``1 month``.
    """

    item_id: str
    price: str
    meter: str | None
    interval: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription.

    ``customer_id`` is ours, None where it is none of ours. ``began`` is when it began, ``anchor`` from when
    its periods are counted. ``collects`` is False while its collection is paused. ``cancel_at`` is when it
    will end, ``ended_at`` when it ended, ``trial_end`` when its trial ends or ended.
    """

    subscription_id: str
    customer_id: str | None
    status: SubscriptionStatus
    items: tuple[SubscriptionItem, ...]
    began: datetime
    anchor: datetime
    collects: bool = True
    cancel_at: datetime | None = None
    ended_at: datetime | None = None
    trial_end: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it is over for good."""
        return self.ended_at is not None or self.status.has_ended

    @property
    def metered(self) -> Mapping[str, str]:
        """The price of each item on a meter of ours, by the item's id."""
        return {item.item_id: item.price for item in self.items if item.meter is not None}

    def of_ours(self, catalog: Catalog) -> tuple[SubscriptionItem, ...]:
        """Return the items that a plan of ours makes: on our meters, or with a lookup key of ours.

        What else is in the subscription, a yearly add-on say, is a matter between it and Stripe.
        """
        ours = {*catalog.plans, self.customer_id}
        return tuple(item for item in self.items if item.meter or item.price.partition(".")[0] in ours)

    def lookup_keys(self, catalog: Catalog) -> frozenset[str]:
        """Return the prices of our items."""
        return frozenset(item.price for item in self.of_ours(catalog))

    def span(self, catalog: Catalog) -> tuple[datetime, datetime]:
        """Return the present period: that of the metered items, else of our items, else of all.

        An item that was added or exchanged within the period may begin later than the others of its interval;
        the period began with the first. A subscription that is to be cancelled within it ends it there.
        """
        metered = tuple(item for item in self.items if item.meter)
        deciding = metered or self.of_ours(catalog) or self.items
        end = min(item.end for item in deciding)
        intervals = {item.interval for item in deciding}
        together = [
            item
            for item in (*self.of_ours(catalog), *deciding)
            if item.end == end and item.interval in intervals
        ]
        start = min(item.start for item in together)
        if self.cancel_at is not None and start < self.cancel_at < end:
            end = self.cancel_at
        return start, end
