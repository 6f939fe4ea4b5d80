"""A customer's Stripe customer and monthly subscription: made, attached to, found again after a crash.

Source: docs/stripe-protocol.md#setting-up.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import stripe

from metering.core.accounts import BillingPeriod, Customer
from metering.core.catalog import Catalog
from metering.core.instants import HOUR, hour_of
from metering.core.periods import Period, add_months
from metering.core.stripe_names import LARGEST_PAGE, OUR_ID, our_id
from ops.errors import OperatorError, WrongInputError
from ops.stripe_account import DAYS_UNTIL_DUE
from ops.stripe_objects import apply, catalog_prices, customer_prices, existing_prices, missing

_REFUSED_STATES = {
    "incomplete": "its first payment waits; give the Stripe customer a payment method, or attach without "
    "--automatically",
    "incomplete_expired": "its first payment never came; attach a new one",
    "trialing": "what is used in a trial is not sold; attach when it has ended",
    "paused": "it makes no invoices; resume it in Stripe first",
    "unpaid": "its invoices stay drafts; see to its payment in Stripe first",
}
"""States in which a subscription bills no usage, and what to do."""


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
    previous: BillingPeriod | None = None,
) -> Subscribed:
    """Make a customer's Stripe customer and subscription, or find those there are.

    A new subscription's first period begins at the next full hour, and never within the ``previous`` one:
    until then it has a stub without a fee, in which nothing is sold. It is not dated back, since what Stripe
    bills of such a past is nobody's to choose (docs/decisions/0022-no-subscription-is-dated-back.md).

    Raises
    ------
    OperatorError
        When a price of the catalogue is not in Stripe, an object belongs to another customer, or the
        subscription has other prices, no monthly periods, or a state that bills no usage.
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
        terms = _NewTerms(lookup_keys, _begins(now, previous), request.days_until_due, previous)
        subscription = _create_subscription(client, customer, stripe_customer_id, terms)
    _check_state(subscription)
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


@dataclass(frozen=True)
class _NewTerms:
    """What a new subscription is to be: its prices, when it begins, how it is paid, and what it follows."""

    lookup_keys: list[str]
    begins: datetime
    days_until_due: int | None
    previous: BillingPeriod | None

    def idempotency_key(self, customer_id: str) -> str:
        """Return a key that is the same for the same wish alone: one who left and comes back wishes anew."""
        followed = self.previous.subscription_id if self.previous else None
        wish = f"{followed} {' '.join(self.lookup_keys)} {self.days_until_due}"
        digest = hashlib.sha256(wish.encode()).hexdigest()[:16]
        return f"subscribe-{customer_id}-{self.begins:%Y%m%d%H}-{digest}"


def _begins(now: datetime, previous: BillingPeriod | None) -> datetime:
    """Return the next full hour, or where the last period ends later, the first that is not in it."""
    following = hour_of(now) + HOUR
    return max(following, previous.span.end_hour) if previous else following


def _check_state(subscription: Any) -> None:
    """Refuse, by its name, a subscription in a state that bills no usage."""
    status = str(subscription["status"])
    if status in _REFUSED_STATES:
        raise OperatorError(f"the subscription {subscription['id']} is {status}: {_REFUSED_STATES[status]}")


def _create_subscription(
    client: stripe.StripeClient, customer: Customer, stripe_customer_id: str, terms: _NewTerms
) -> Any:
    prices = existing_prices(client, terms.lookup_keys)
    params: dict[str, Any] = {
        "customer": stripe_customer_id,
        "items": [{"price": prices[key].id} for key in terms.lookup_keys],
        "billing_cycle_anchor": int(terms.begins.timestamp()),
        "proration_behavior": "none",
        "billing_mode": {"type": "flexible"},
        "metadata": {OUR_ID: customer.customer_id},
    }
    if terms.days_until_due is not None:
        params |= {"collection_method": "send_invoice", "days_until_due": terms.days_until_due}
    options: Any = {"idempotency_key": terms.idempotency_key(customer.customer_id)}
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
    """Find the subscription that a crash left behind; one whose first payment never came is none."""
    listed = client.v1.subscriptions.list({"customer": stripe_customer_id, "limit": LARGEST_PAGE})
    ours = (one for one in listed.auto_paging_iter() if our_id(one.metadata) == customer.customer_id)
    return next((one for one in ours if one.status != "incomplete_expired"), None)


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
    if getattr(found, "deleted", False):
        raise OperatorError(
            f"the Stripe customer {stripe_customer_id} of {customer.customer_id} was deleted; give another "
            "with --stripe-customer"
        )
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
    anchored = datetime.fromtimestamp(subscription["billing_cycle_anchor"], UTC)
    if start < anchored == end:
        # The stub before the anchor: what is sold begins with the anchor.
        return Period(anchored, add_months(anchored, 1)), anchored
    # An anchor on the 31st shows its day in the anchor alone when the present period starts on the 28th.
    for anchor in (anchored, start):
        counted = Period.anchored(anchor, start)
        if (counted.start, counted.end) == (start, end):
            return Period(start, end), anchor
    raise OperatorError(
        f"the subscription {subscription['id']} has the period {start} .. {end}, which is no full month; "
        "give it monthly prices and a full first period"
    )
