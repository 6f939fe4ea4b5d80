"""Asking a Stripe account in test mode whether it does what we assume.

Source: docs/stripe-assumptions.md. Each check asks one thing and says what it saw; what Stripe does later is
waited for, and what does not show in time is unclear, never held.
"""

from ops.probe.check import Check, Verdict
from ops.probe.events import CHECKS as EVENTS
from ops.probe.objects import CHECKS as OBJECTS
from ops.probe.sandbox import Sandbox
from ops.probe.subscriptions import CHECKS as SUBSCRIPTIONS

CHECKS: tuple[Check, ...] = (*OBJECTS, *EVENTS, *SUBSCRIPTIONS)

__all__ = ["CHECKS", "Check", "Sandbox", "Verdict"]
