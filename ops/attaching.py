"""Giving Stripe to a customer that was added without it, or that had left and comes back."""

from datetime import date, datetime

import stripe

from metering.core.accounts import BillingPeriod, Customer
from metering.core.catalog import Catalog
from metering.tables.customers import Account, Customers
from metering.tables.hours import Hours
from metering.tables.markers import Markers
from ops.customers import StripeTerms, subscribe
from ops.errors import OperatorError
from ops.periods import first_snapshot, keep_periods, mark_open_days, settle_before


def attach(
    client: stripe.StripeClient,
    account: Account,
    terms: StripeTerms,
    tables: tuple[Customers, Hours, Markers],
    catalog: Catalog,
    now: datetime,
) -> tuple[Customer, list[date]]:
    """Subscribe a customer, or attach what is in Stripe; return it and the days that are to be reported.

    What was used before the subscription's present period is not billed by Stripe: those periods are final.
    Each step may run twice.

    Raises
    ------
    OperatorError
        When the customer has another subscription, or as `ops.customers.subscribe` says.
    """
    customers, hours, markers = tables
    customer = account.customer
    present = customer.stripe_subscription_id
    if present is not None and terms.subscription_id not in {None, present}:
        raise OperatorError(f"{customer.customer_id} has the subscription {present} already")
    if terms.customer_id is None and customer.stripe_customer_id is not None:
        terms = StripeTerms(
            customer.stripe_customer_id, terms.subscription_id or present, terms.days_until_due
        )
    subscribed = subscribe(client, customer, catalog, now, terms)
    if present is None:
        account = keep_periods(account, customers, hours, now) if customer.anchor is None else account
        settle_before(account, subscribed.period.start, customers, hours, catalog)
        if not customers.replace(customer, subscribed.customer):
            raise OperatorError(f"the profile of {customer.customer_id} was changed meanwhile; run again")
    span = first_snapshot(account, subscribed.period)
    customers.add_period(customer.customer_id, BillingPeriod.of(subscribed.customer, span))
    attached = customers.account(customer.customer_id)
    assert attached is not None
    return attached.customer, mark_open_days(attached, markers, now)
