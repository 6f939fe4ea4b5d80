"""The demo's customer: made with the operator's own commands, as an operator would."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import stripe

from local.environment import scrubbed
from local.stack.access import Stack
from local.stack.running import STRIPE_API_KEY
from metering.core.accounts import Customer
from metering.core.catalog import builtin_catalog
from metering.core.instants import hour_of
from ops.subscriptions import subscribe

CUSTOMER_ID = "cust_demo"
NAME = "Demo GmbH"
PLAN = "starter"
STACK_NAME = "zemfyre-billing-local"

# A minute of a demo's traffic is a millionth of a GB, so the demo's contract has prices at which it costs
# something; the fee and the other meters are the plan's.
OVERRIDE = {
    "meters": {
        "mqtt_traffic": {"included": "0", "overage": "20000"},
        "storage": {"included": "0", "overage": "30000"},
        "devices": {"included": "0", "overage": "50000"},
    }
}


class CommandFailedError(RuntimeError):
    """An operator's command failed; the text is what it said."""


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """The customer as `ops customers add` printed it, and its instance's key."""

    stripe_customer_id: str
    stripe_subscription_id: str
    key: str


def make_customer(stack: Stack, stripe_url: str, customer_id: str = CUSTOMER_ID) -> DemoCustomer:
    """Sync Stripe's objects, then add a customer on ``starter`` and its instance.

    A new subscription begins at the next full hour, for which nobody would wait: the customer attaches to one
    that began with the present hour, so that what it uses from now on is sold.

    Raises
    ------
    CommandFailedError
        With what the command said.
    """
    _ops(stack, stripe_url, "stripe", "sync", "--json")
    subscribed = _subscribed_since_this_hour(stripe_url, customer_id)
    added = _ops(
        stack,
        stripe_url,
        *("customers", "add", customer_id, "--name", NAME, "--plan", PLAN),
        *("--override", json.dumps(OVERRIDE), "--json"),
        *("--stripe-customer", str(subscribed.stripe_customer_id)),
        *("--stripe-subscription", str(subscribed.stripe_subscription_id)),
    )
    instance = _ops(stack, stripe_url, "instances", "add", customer_id, "--json")
    return DemoCustomer(added["stripe_customer_id"], added["stripe_subscription_id"], instance["key"])


def _subscribed_since_this_hour(stripe_url: str, customer_id: str) -> Customer:
    """Subscribe a customer as `ops` does, by a clock of Stripe's that stands a minute before this hour."""
    catalog = builtin_catalog()
    profile = Customer.model_validate(
        {"customer_id": customer_id, "name": NAME, "plan": catalog.newest(PLAN), "override": OVERRIDE}
    )
    before = hour_of(datetime.now(UTC)) - timedelta(minutes=1)
    client = stripe.StripeClient(STRIPE_API_KEY, base_addresses={"api": stripe_url})
    _set_clock(stripe_url, int(before.timestamp()))
    subscribed = subscribe(client, profile, catalog, before)
    _set_clock(stripe_url, None)
    return subscribed.customer


def _set_clock(stripe_url: str, now: int | None) -> None:
    """Let Stripe's clock stand at an instant, or run with real time again."""
    httpx.post(f"{stripe_url}/_sim/clock", json={"now": now}, trust_env=False).raise_for_status()


def _ops(stack: Stack, stripe_url: str, *arguments: str) -> Any:
    environment = scrubbed(
        stack.environment()
        | {"STRIPE_API_KEY": STRIPE_API_KEY, "STRIPE_API_BASE": stripe_url, "ZEMFYRE_STACK": STACK_NAME}
    )
    done = subprocess.run(
        [sys.executable, "-m", "ops", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode != 0:
        raise CommandFailedError(f"ops {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return json.loads(done.stdout)
