"""The operator's Stripe account."""

import os
from typing import Any

import stripe

from ops.errors import OperatorError

DAYS_UNTIL_DUE = 30
"""In which a customer without a payment method pays an invoice, unless the operator says otherwise."""
_TIMEOUT_SECONDS = 20
_NETWORK_RETRIES = 2


def api_key() -> str:
    """Return the key from ``STRIPE_API_KEY``.

    Raises
    ------
    OperatorError
        When there is none, or it is no secret key.
    """
    key = os.environ.get("STRIPE_API_KEY", "")
    if not key.startswith(("sk_", "rk_")):
        found = (
            "it is a publishable key" if key.startswith("pk_") else "it is no key" if key else "it is not set"
        )
        raise OperatorError(
            f"STRIPE_API_KEY must be the account's secret key (sk_test_... for test mode); {found}"
        )
    return key


def stripe_client(api_base: str | None) -> stripe.StripeClient:
    """Return a client with the key from ``STRIPE_API_KEY``; errors as in `api_key`."""
    addresses: Any = {"base_addresses": {"api": api_base}} if api_base else {}
    return stripe.StripeClient(
        api_key(),
        max_network_retries=_NETWORK_RETRIES,
        http_client=stripe.RequestsClient(timeout=_TIMEOUT_SECONDS),
        **addresses,
    )


def known_stripe_client(api_base: str | None) -> stripe.StripeClient | None:
    """Return a client where there is a key, for what is only read; None where there is none."""
    return stripe_client(api_base) if os.environ.get("STRIPE_API_KEY") else None


def is_live(key: str) -> bool:
    """Tell a live-mode key from a test-mode key."""
    return not key.startswith(("sk_test_", "rk_test_"))
