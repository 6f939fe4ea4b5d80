"""Giving Stripe to a customer that was added without it, or that had left and comes back.

Source: docs/billing.md#periods.
"""

from datetime import date, datetime

import stripe

from metering.core.accounts import Account, BillingPeriod, Customer
from metering.core.catalog import Catalog
from metering.tables.tables import Tables
from ops.customers import replace_profile
from ops.errors import OperatorError
from ops.periods import first_snapshot, keep_periods, mark_open_days, settle_before
from ops.subscriptions import SubscriptionRequest, subscribe


def attach(
    client: stripe.StripeClient,
    account: Account,
    request: SubscriptionRequest,
    tables: Tables,
    catalog: Catalog,
    now: datetime,
) -> tuple[Customer, list[date]]:
    """Subscribe a customer, or attach what is in Stripe; return it and the days that are to be reported.

    What was used before the subscription's present period is not billed by Stripe: those periods are final.
    Each step may run twice.

    Raises
    ------
    OperatorError
        When the customer has another subscription, or as `ops.subscriptions.subscribe` says.
    """
    customers = tables.customers
    customer = account.customer
    present = customer.stripe_subscription_id
    if present is not None and request.stripe_subscription_id not in {None, present}:
        raise OperatorError(f"{customer.customer_id} has the subscription {present} already")
    if request.stripe_customer_id is None and customer.stripe_customer_id is not None:
        request = SubscriptionRequest(
            customer.stripe_customer_id, request.stripe_subscription_id or present, request.days_until_due
        )
    subscribed = subscribe(client, customer, catalog, now, request)
    if present is None:
        account = keep_periods(account, tables, now) if customer.anchor is None else account
        settle_before(account, subscribed.period.start, tables, catalog)
        replace_profile(customers, customer, subscribed.customer)
    span = first_snapshot(account, subscribed.period)
    customers.add_period(customer.customer_id, BillingPeriod.of(subscribed.customer, span))
    attached = customers.account(customer.customer_id)
    assert attached is not None
    return attached.customer, mark_open_days(attached, tables.markers, now)
