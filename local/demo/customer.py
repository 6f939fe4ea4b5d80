"""The demo's customer: made with the operator's own commands, as an operator would."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from local.environment import scrubbed
from local.stack.access import Stack
from local.stack.running import STRIPE_API_KEY

CUSTOMER_ID = "cust_demo"
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

    Raises
    ------
    CommandFailedError
        With what the command said.
    """
    _ops(stack, stripe_url, "stripe", "sync", "--json")
    added = _ops(
        stack,
        stripe_url,
        *("customers", "add", customer_id, "--name", "Demo GmbH", "--plan", "starter"),
        *("--override", json.dumps(OVERRIDE), "--json"),
    )
    instance = _ops(stack, stripe_url, "instances", "add", customer_id, "--json")
    return DemoCustomer(added["stripe_customer_id"], added["stripe_subscription_id"], instance["key"])


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
