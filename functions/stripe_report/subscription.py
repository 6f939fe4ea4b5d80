"""Keeping a customer's billing periods in step with its Stripe subscription.

Source: design page "billing", section "Periods": a period comes from the subscription's item.
"""

from datetime import datetime

from metering.accounts import BillingPeriod
from metering.periods import Period
from metering.tables.customers import Account, Customers
from stripe_report.gateway import Gateway


def refresh_period(account: Account, now: datetime, customers: Customers, gateway: Gateway) -> bool:
    """Store the present period's snapshot when the newest one is over; tell whether one was added."""
    customer = account.customer
    if customer.stripe_subscription_id is None:
        return False
    if any(period.start <= now < period.end for period in account.periods):
        return False
    start, end = gateway.current_span(customer.stripe_subscription_id)
    span = Period(start, end, first=start == customer.anchor)
    return customers.add_period(customer.customer_id, BillingPeriod.of(customer, span))
