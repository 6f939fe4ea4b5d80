"""Asking a Stripe account in test mode whether it does what we assume.

Source: docs/stripe-assumptions.md#what-the-stripe-simulator-assumes. Each check asks one thing and says what
it saw; what Stripe does later is waited for, and what does not show in time is unclear, never held.
"""

from ops.probe import billing, events, invoices, lives, objects, subscriptions
from ops.probe.check import Check

CHECKS: tuple[Check, ...] = (
    *objects.CHECKS,
    *events.CHECKS,
    *subscriptions.CHECKS,
    *lives.CHECKS,
    *billing.CHECKS,
    *invoices.CHECKS,
)
"""All checks, in the order in which they are asked."""
