"""Giving Stripe to a customer that was added without it, or that had left and comes back.

Source: docs/billing.md#periods.
"""

from datetime import UTC, date, datetime
from typing import Any

import stripe

from metering.core.accounts import Account, BillingPeriod, Customer
from metering.core.catalog import Catalog
from metering.tables.closings import Closing
from metering.tables.tables import Tables
from ops.customers import replace_profile
from ops.errors import OperatorError
from ops.periods import end_unsold, keep_periods, mark_open_days, take_over
from ops.subscriptions import SubscriptionRequest, subscribe

_NEVER_BEGAN = "incomplete_expired"


def attach(
    client: stripe.StripeClient,
    account: Account,
    request: SubscriptionRequest,
    tables: Tables,
    catalog: Catalog,
    now: datetime,
) -> tuple[Customer, list[date]]:
    """Subscribe a customer, or attach what is in Stripe; return it and the days that are to be reported.

    What was used while there was no subscription is not sold. Each step may run twice.

    Raises
    ------
    OperatorError
        When the customer has another subscription, or as `ops.subscriptions.subscribe` says.
    """
    account = _without_ended(client, account, tables, catalog)
    customers, customer = tables.customers, account.customer
    present = customer.stripe_subscription_id
    if present is not None and request.stripe_subscription_id not in {None, present}:
        raise OperatorError(f"{customer.customer_id} has the subscription {present} already")
    if request.stripe_customer_id is None and customer.stripe_customer_id is not None:
        request = SubscriptionRequest(
            customer.stripe_customer_id, request.stripe_subscription_id or present, request.days_until_due
        )
    previous = max(account.periods, key=lambda period: period.start, default=None)
    subscribed = subscribe(client, customer, catalog, now, request, previous)
    if present is None:
        account = keep_periods(account, tables, catalog, now) if customer.anchor is None else account
        end_unsold(account, subscribed.period, tables)
        replace_profile(customers, customer, subscribed.customer)
    billing = BillingPeriod.opened(subscribed.customer, subscribed.period, catalog)
    take_over(account, billing, customers)
    attached = customers.account(customer.customer_id)
    assert attached is not None
    return attached.customer, mark_open_days(attached, tables.markers, now)


def _without_ended(
    client: stripe.StripeClient, account: Account, tables: Tables, catalog: Catalog
) -> Account:
    """Forget a subscription that has ended, and end its period there, if nobody has looked since.

    Its periods that no look saw are stored first. What it has not billed yet is its closing's: that is on the
    calendar from here on.
    """
    customer = account.customer
    if customer.stripe_subscription_id is None:
        return account
    ended: Any = client.v1.subscriptions.retrieve(customer.stripe_subscription_id)
    if ended["ended_at"] is None:
        return account
    end = datetime.fromtimestamp(ended["ended_at"], UTC)
    if ended["status"] != _NEVER_BEGAN:
        for span in account.months_missed(datetime.fromtimestamp(ended["start_date"], UTC), end):
            missed = BillingPeriod.opened(customer, span, catalog)
            tables.customers.add_period(customer.customer_id, missed)
    for period in account.periods:
        if period.outlives(customer.stripe_subscription_id, end):
            cut = period.cut(end)
            tables.closings.put(Closing(customer.customer_id, cut.start, cut.end))
            tables.customers.replace_period(customer.customer_id, period, cut)
    replace_profile(tables.customers, customer, customer.model_copy(update={"stripe_subscription_id": None}))
    again = tables.customers.account(customer.customer_id)
    assert again is not None
    return again
