"""Adding customers and instances: Stripe's objects first, then ours; each is found again after a crash."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import stripe

from metering.accounts import BillingPeriod, Customer, Instance, make_key, secret_digest
from metering.catalog import Catalog
from metering.periods import Period, hour_of
from metering.tables.customers import Customers
from ops.errors import OperatorError
from ops.stripe_objects import apply, catalog_prices, customer_prices, existing_prices, missing

_SECRET_BYTES = 32
_PAGE = 100


@dataclass(frozen=True)
class Subscribed:
    """A customer with the ids of its Stripe objects, and its first period."""

    customer: Customer
    period: Period


def subscribe(client: stripe.StripeClient, customer: Customer, catalog: Catalog, now: datetime) -> Subscribed:
    """Make a customer's Stripe customer and subscription, or find those a crash left behind.

    The subscription starts on its anchor, at the full hour before now, so that there is no stub period: it
    is dated back to that hour and its cycle keeps the day and hour.

    Raises
    ------
    OperatorError
        When a price of the catalogue is not in Stripe, or Stripe made another period than a full month.
    """
    lookup_keys = _make_own_prices(client, customer, catalog)
    stripe_customer_id = _stripe_customer(client, customer)
    subscription = _subscription(client, stripe_customer_id)
    if subscription is None:
        prices = existing_prices(client, lookup_keys)
        start = hour_of(now)
        params: Any = {
            "customer": stripe_customer_id,
            "items": [{"price": prices[key].id} for key in lookup_keys],
            "backdate_start_date": int(start.timestamp()),
            "billing_cycle_anchor_config": {
                "day_of_month": start.day,
                "hour": start.hour,
                "minute": 0,
                "second": 0,
            },
            "billing_mode": {"type": "flexible"},
            "metadata": {"customer_id": customer.customer_id},
        }
        options: Any = {"idempotency_key": f"subscribe-{customer.customer_id}-{start:%Y%m%d%H}"}
        subscription = client.v1.subscriptions.create(params, options)
    period = _first_period(subscription)
    ids = {"stripe_customer_id": stripe_customer_id, "stripe_subscription_id": str(subscription["id"])}
    return Subscribed(customer.model_copy(update=ids | {"anchor": period.start}), period)


def add_customer(customers: Customers, customer: Customer, period: Period | None) -> None:
    """Store a customer and its first period.

    Raises
    ------
    OperatorError
        When the customer is there already with another profile.
    """
    if not customers.add(customer) and customers.customer(customer.customer_id) != customer:
        raise OperatorError(f"the customer {customer.customer_id} exists already, with another profile")
    if period is not None:
        customers.add_period(customer.customer_id, BillingPeriod.of(customer, period))


def add_instance(customers: Customers, customer_id: str, instance_id: str) -> str:
    """Store a new instance and return its key, which is kept nowhere.

    Raises
    ------
    OperatorError
        When there is no such customer, or the instance exists.
    """
    if customers.customer(customer_id) is None:
        raise OperatorError(f"no customer {customer_id}; add it with `ops customers add`")
    if customers.instance(customer_id, instance_id) is not None:
        raise OperatorError(f"the instance {instance_id} of {customer_id} exists already")
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    instance = Instance(customer_id=customer_id, instance_id=instance_id, digests=(secret_digest(secret),))
    customers.put_instance(instance)
    return make_key(customer_id, instance_id, secret)


def _make_own_prices(client: stripe.StripeClient, customer: Customer, catalog: Catalog) -> list[str]:
    """Make the customer's own prices; return the lookup keys of all prices it pays."""
    terms = catalog.terms(customer.plan, customer.override)
    wanted = list(customer_prices(customer.customer_id, terms, catalog))
    absent = missing(client, catalog, wanted)
    shared = {price.lookup_key for price in catalog_prices(catalog)}
    unsynced = [name for kind, name in absent.rows if kind != "price" or name in shared]
    if unsynced:
        raise OperatorError(f"not in Stripe yet: {', '.join(unsynced)}; run `ops stripe sync` first")
    for _made in apply(client, absent):
        continue
    return [price.lookup_key for price in wanted]


def _first_period(subscription: Any) -> Period:
    item = subscription["items"]["data"][0]
    period = Period(
        datetime.fromtimestamp(item["current_period_start"], UTC),
        datetime.fromtimestamp(item["current_period_end"], UTC),
        first=True,
    )
    if Period.anchored(period.start, period.start).end != period.end:
        raise OperatorError(
            f"Stripe made the period {period.start} .. {period.end}, which is no full month; cancel the "
            f"subscription {subscription['id']} and create it with a full first period"
        )
    return period


def _stripe_customer(client: stripe.StripeClient, customer: Customer) -> str:
    for found in client.v1.customers.list({"limit": _PAGE}).auto_paging_iter():
        if found.metadata and found.metadata.to_dict().get("customer_id") == customer.customer_id:
            return found.id
    params: Any = {"name": customer.name, "metadata": {"customer_id": customer.customer_id}}
    if customer.billing_email:
        params["email"] = customer.billing_email
    options: Any = {"idempotency_key": f"customer-{customer.customer_id}"}
    return client.v1.customers.create(params, options).id


def _subscription(client: stripe.StripeClient, stripe_customer_id: str) -> Any:
    listed = client.v1.subscriptions.list({"customer": stripe_customer_id, "limit": _PAGE})
    return next(iter(listed.data), None)
