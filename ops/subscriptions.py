"""A customer's Stripe customer and monthly subscription: made, attached to, found again after a crash.

Source: docs/stripe-protocol.md#setting-up.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import stripe

from metering.core.accounts import Customer
from metering.core.catalog import Catalog
from metering.core.instants import hour_of
from metering.core.periods import Period
from metering.core.stripe_names import LARGEST_PAGE, OUR_ID, our_id
from ops.errors import OperatorError, WrongInputError
from ops.stripe_account import DAYS_UNTIL_DUE
from ops.stripe_objects import apply, catalog_prices, customer_prices, existing_prices, missing


@dataclass(frozen=True)
class SubscriptionRequest:
    """How a customer is to be in Stripe: existing objects to attach to, and how invoices are paid.

    A new Stripe customer has no payment method, and a subscription that charges one automatically would stay
    ``incomplete`` and expire: so invoices are sent, due after ``days_until_due``. None charges automatically.
    """

    stripe_customer_id: str | None = None
    stripe_subscription_id: str | None = None
    days_until_due: int | None = DAYS_UNTIL_DUE

    def check(self) -> None:
        """Look at the ids, which the operator typed.

        Raises
        ------
        WrongInputError
            When an id is of another kind.
        """
        for option, value, prefix in (
            ("--stripe-customer", self.stripe_customer_id, "cus_"),
            ("--stripe-subscription", self.stripe_subscription_id, "sub_"),
        ):
            if value is not None and not value.startswith(prefix):
                raise WrongInputError(f"{option} must be an id that begins with {prefix}, not {value!r}")


@dataclass(frozen=True)
class Subscribed:
    """A customer with the ids of its Stripe objects, and its present period."""

    customer: Customer
    period: Period


def subscribe(
    client: stripe.StripeClient,
    customer: Customer,
    catalog: Catalog,
    now: datetime,
    request: SubscriptionRequest | None = None,
) -> Subscribed:
    """Make a customer's Stripe customer and subscription, or find those there are.

    A new subscription starts on its anchor, at the full hour before now, so that there is no stub period: it
    is dated back to that hour and its cycle keeps the day and hour.

    Raises
    ------
    OperatorError
        When a price of the catalogue is not in Stripe, an object belongs to another customer, or the
        subscription has other prices or no monthly periods.
    """
    request = request or SubscriptionRequest()
    lookup_keys = make_own_prices(client, customer, catalog)
    subscription = _given_subscription(client, customer, request)
    if subscription is not None:
        stripe_customer_id = str(subscription["customer"])
        _claim_customer(client, customer, stripe_customer_id)
    else:
        stripe_customer_id = _stripe_customer(client, customer, request)
        subscription = _own_subscription(client, customer, stripe_customer_id)
    if subscription is None:
        subscription = _create_subscription(client, customer, stripe_customer_id, lookup_keys, now, request)
    _check_prices(subscription, lookup_keys)
    if our_id(subscription["metadata"]) is None:
        metadata: Any = {"metadata": {OUR_ID: customer.customer_id}}
        client.v1.subscriptions.update(str(subscription["id"]), metadata)
    period, anchor = _present_period(subscription)
    ids = {"stripe_customer_id": stripe_customer_id, "stripe_subscription_id": str(subscription["id"])}
    return Subscribed(customer.model_copy(update=ids | {"anchor": anchor}), period)


def make_own_prices(client: stripe.StripeClient, customer: Customer, catalog: Catalog) -> list[str]:
    """Make the customer's own prices where they are missing; return the lookup keys of all that it pays.

    Raises
    ------
    OperatorError
        When something of the catalogue is not in Stripe.
    """
    wanted = list(
        customer_prices(customer.customer_id, catalog.terms(customer.plan, customer.override), catalog)
    )
    absent = missing(client, catalog, wanted)
    shared = {price.lookup_key for price in catalog_prices(catalog)}
    unsynced = [name for kind, name in absent.rows if kind != "price" or name in shared]
    if unsynced:
        raise OperatorError(f"not in Stripe yet: {', '.join(unsynced)}; run `ops stripe sync` first")
    for _made in apply(client, absent):
        continue
    return [price.lookup_key for price in wanted]


def _create_subscription(
    client: stripe.StripeClient,
    customer: Customer,
    stripe_customer_id: str,
    lookup_keys: list[str],
    now: datetime,
    request: SubscriptionRequest,
) -> Any:
    prices = existing_prices(client, lookup_keys)
    start = hour_of(now)
    params: dict[str, Any] = {
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
        "metadata": {OUR_ID: customer.customer_id},
    }
    if request.days_until_due is not None:
        params |= {"collection_method": "send_invoice", "days_until_due": request.days_until_due}
    options: Any = {"idempotency_key": f"subscribe-{customer.customer_id}-{start:%Y%m%d%H}"}
    made: Any = params
    return client.v1.subscriptions.create(made, options)


def _given_subscription(client: stripe.StripeClient, customer: Customer, request: SubscriptionRequest) -> Any:
    """Retrieve the subscription that the operator named."""
    if request.stripe_subscription_id is None:
        return None
    subscription: Any = client.v1.subscriptions.retrieve(request.stripe_subscription_id)
    if request.stripe_customer_id not in {None, subscription["customer"]}:
        raise OperatorError(
            f"the subscription {request.stripe_subscription_id} is of {subscription['customer']}, not of "
            f"{request.stripe_customer_id}"
        )
    if subscription["ended_at"] is not None:
        raise OperatorError(f"the subscription {request.stripe_subscription_id} has ended")
    _check_owner(subscription, customer, f"the subscription {request.stripe_subscription_id}")
    return subscription


def _own_subscription(client: stripe.StripeClient, customer: Customer, stripe_customer_id: str) -> Any:
    """Find the subscription that a crash left behind."""
    listed = client.v1.subscriptions.list({"customer": stripe_customer_id, "limit": LARGEST_PAGE})
    return next(
        (one for one in listed.auto_paging_iter() if our_id(one.metadata) == customer.customer_id), None
    )


def _stripe_customer(client: stripe.StripeClient, customer: Customer, request: SubscriptionRequest) -> str:
    if request.stripe_customer_id is not None:
        _claim_customer(client, customer, request.stripe_customer_id)
        return request.stripe_customer_id
    for found in client.v1.customers.list({"limit": LARGEST_PAGE}).auto_paging_iter():
        if our_id(found.metadata) == customer.customer_id:
            return found.id
    params: Any = {"name": customer.name, "metadata": {OUR_ID: customer.customer_id}}
    if customer.billing_email:
        params["email"] = customer.billing_email
    options: Any = {"idempotency_key": f"customer-{customer.customer_id}"}
    return client.v1.customers.create(params, options).id


def _claim_customer(client: stripe.StripeClient, customer: Customer, stripe_customer_id: str) -> None:
    """Write our id on an existing Stripe customer, unless it bears another's."""
    found: Any = client.v1.customers.retrieve(stripe_customer_id)
    _check_owner(found, customer, f"the Stripe customer {stripe_customer_id}")
    if our_id(found.metadata) is None:
        metadata: Any = {"metadata": {OUR_ID: customer.customer_id}}
        client.v1.customers.update(stripe_customer_id, metadata)


def _check_owner(stripe_object: Any, customer: Customer, name: str) -> None:
    owner = our_id(stripe_object["metadata"])
    if owner not in {None, customer.customer_id}:
        raise OperatorError(f"{name} belongs to {owner}: its metadata say so")


def _check_prices(subscription: Any, lookup_keys: list[str]) -> None:
    present = {str(item["price"]["lookup_key"]) for item in subscription["items"]["data"]}
    wanted = set(lookup_keys)
    if present != wanted:
        differences = [
            *(f"lacks {key}" for key in sorted(wanted - present)),
            *(f"has {key}" for key in sorted(present - wanted)),
        ]
        raise OperatorError(
            f"the subscription {subscription['id']} {', '.join(differences)}: give the customer the plan and "
            "override that it has, or change the subscription in Stripe first"
        )


def _present_period(subscription: Any) -> tuple[Period, datetime]:
    """Return the subscription's present period and the anchor from which its periods are counted."""
    item = subscription["items"]["data"][0]
    start = datetime.fromtimestamp(item["current_period_start"], UTC)
    end = datetime.fromtimestamp(item["current_period_end"], UTC)
    # An anchor on the 31st shows its day in the anchor alone when the present period starts on the 28th.
    for anchor in (datetime.fromtimestamp(subscription["billing_cycle_anchor"], UTC), start):
        counted = Period.anchored(anchor, start)
        if (counted.start, counted.end) == (start, end):
            return Period(start, end, first=True), anchor
    raise OperatorError(
        f"the subscription {subscription['id']} has the period {start} .. {end}, which is no full month; "
        "give it monthly prices and a full first period"
    )
