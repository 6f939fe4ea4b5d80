"""What a look at a customer's Stripe says in logs and metrics; each count here has an alarm.

Source: docs/stripe.md#alarms.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import stripe

from metering.aws.observability import count, logger
from metering.core.accounts import Account
from stripe_report.gateway import is_limit, is_refused_for_good
from stripe_report.subscription import Refreshed
from stripe_report.surroundings import Surroundings


@contextmanager
def refusals_named(customer_id: str) -> Iterator[None]:
    """Name a read that Stripe refuses for good, and let the rest of the work go on.

    Raises
    ------
    stripe.StripeError
        Anything that may pass with time.
    """
    try:
        yield
    except stripe.StripeError as error:
        if not is_refused_for_good(error):
            raise
        tell_failed(customer_id, error)


def tell_failed(customer_id: str, error: stripe.StripeError) -> None:
    """Say why Stripe did not do what was asked of it."""
    said = {"customer_id": customer_id, "status": error.http_status, "code": error.code}
    if is_refused_for_good(error):
        count("stripe_refuses_reads")
        logger.error("Stripe refuses to be read", extra=said | {"reason": error.user_message})
    elif is_limit(error):
        # Its message comes back; nobody need be woken.
        count("stripe_limited")
        logger.warning("Stripe's limit on calls is met; the work comes back", extra=said)
    else:
        count("stripe_unavailable")
        logger.warning("Stripe is away; the next schedule tries again", extra=said)


def tell_refreshed(account: Account, done: Refreshed) -> None:
    """Say what became of the periods, and what of the subscription is not as it should be."""
    said: dict[str, object] = {
        "customer_id": account.customer.customer_id,
        "subscription": account.customer.stripe_subscription_id,
        "status": done.status and done.status.value,
    }
    if done.prices_differ:
        count("subscription_differs")
        logger.error(
            "the subscription has other prices than its period or any plan of the catalogue",
            extra=said | {"plan": account.customer.plan},
        )
    if done.exchanged:
        count("prices_exchanged")
        logger.error(
            "a metered item was exchanged within the period: what was used before is billed under another"
            " price, or not at all",
            extra=said,
        )
    if not done.collects:
        count("subscriptions_uncollected")
        logger.error("Stripe collects no money from this subscription", extra=said)
    if done.missed:
        count("periods_missed", done.missed)
        logger.error("periods that no look saw are stored afterwards", extra=said | {"missed": done.missed})
    if done.added or done.cut or done.moved or done.ended:
        changes: dict[str, object] = {
            "added": done.added,
            "cut": done.cut,
            "moved": done.moved,
            "ended": done.ended,
        }
        logger.info("periods follow the subscription", extra=said | changes)


def tell_others(customer_id: str, found: Surroundings) -> None:
    """Say that the Stripe customer was deleted, or that another subscription bills the same usage."""
    if found.deleted:
        count("stripe_customers_deleted")
        logger.error(
            "the Stripe customer was deleted: nothing is billed any more, its periods need `ops settle`",
            extra={"customer_id": customer_id},
        )
    if found.others:
        count("subscriptions_competing", len(found.others))
        logger.error(
            "another living subscription of the Stripe customer is priced on our meters",
            extra={"customer_id": customer_id, "subscriptions": found.others},
        )
