"""Payments that do not come about."""

from stripe_simulator.protocol.errors import StripeRefusalError


def refused_payment(method: str | None) -> StripeRefusalError:
    """The refusal of a call that needs a payment, without a payment method or with one that is declined."""
    if method is None:
        return StripeRefusalError(
            "This customer has no attached payment source or default payment method. Please consider adding "
            "a default payment method.",
            code="resource_missing",
        )
    return StripeRefusalError("Your card was declined.", status=402, code="card_declined", kind="card_error")
