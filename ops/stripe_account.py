"""The operator's Stripe account."""

import os
from typing import Any

import stripe

from ops.errors import OperatorError

TIMEOUT_SECONDS = 20
RETRIES = 2


def stripe_client(api_base: str | None) -> stripe.StripeClient:
    """Return a client with the key from ``STRIPE_API_KEY``.

    Raises
    ------
    OperatorError
        When there is no key.
    """
    key = os.environ.get("STRIPE_API_KEY", "")
    if not key:
        raise OperatorError("set STRIPE_API_KEY to the account's secret key (sk_test_... for test mode)")
    addresses: Any = {"base_addresses": {"api": api_base}} if api_base else {}
    return stripe.StripeClient(
        key,
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
        **addresses,
    )


def is_live(client_key: str) -> bool:
    """Tell a live-mode key from a test-mode key."""
    return "_live_" in client_key
