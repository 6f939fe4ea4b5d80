"""The operator's Stripe account."""

import os
from typing import Any

import stripe
import typer

from ops.errors import OperatorError

TIMEOUT_SECONDS = 20
RETRIES = 2


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
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
        **addresses,
    )


def is_live(key: str) -> bool:
    """Tell a live-mode key from a test-mode key."""
    return not key.startswith(("sk_test_", "rk_test_"))


def confirm_live(*, yes: bool) -> None:
    """Ask before anything is made in live mode, unless told yes; in test mode nobody is asked.

    Raises
    ------
    typer.Abort
        When the answer is no, or there is nobody to ask.
    """
    if is_live(api_key()) and not yes:
        typer.confirm("STRIPE_API_KEY is a live-mode key: change the live account?", abort=True, err=True)
