"""A world whose Stripe is the simulator's program, behind real HTTP."""

from dataclasses import dataclass
from datetime import datetime
from typing import override

import httpx
import stripe

from stripe_report.gateway import stripe_client
from stripe_simulator.serving.server import RunningSimulator
from tests.stripe.world import GRACE, Wire, World, prepare


class _NoWait(stripe.RequestsClient):
    """The SDK's own transport, without its pause before a retry, and a timeout for calls that hang."""

    def _sleep_time_seconds(self, num_retries: int) -> float:
        return 0


@dataclass
class HttpWorld(World):
    """One customer whose calls to Stripe go through sockets."""

    running: RunningSimulator | None = None

    @override
    def _connected(self) -> tuple[stripe.StripeClient, Wire]:
        assert self.running is not None
        self._control("reset")
        self._control("clock", {"now": int(self.now.timestamp())})
        self._control("settings", {"grace_s": int(GRACE.total_seconds()), "hold_s": 0})
        client = stripe.StripeClient(
            "sk_test_simulated",
            base_addresses={"api": self.running.url},
            http_client=_NoWait(timeout=2),
            max_network_retries=2,
        )
        # Only calls that are made to hang may run into the short timeout, however loaded the machine is.
        prepare(stripe_client("sk_test_simulated", self.running.url), self.catalog)
        self.account = self.running.stripe
        return client, self.running.simulator

    @override
    def at(self, now: datetime) -> World:
        assert now >= self.now
        self.now = now
        self._control("clock", {"now": int(now.timestamp())})
        return self

    def _control(self, what: str, words: dict[str, int] | None = None) -> None:
        assert self.running is not None
        httpx.post(f"{self.running.url}/_sim/{what}", json=words or {}, trust_env=False).raise_for_status()
