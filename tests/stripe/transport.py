"""Stripe's SDK on the simulator without a network between them: as fast as histories by the thousand need.

The client, its retries and its errors are the SDK's own; the account is the simulator's own state machine.
What a fault does to the wire is done here, in the words of ``stripe_simulator/serving/faults.py``.
"""

import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, override
from urllib.parse import urlsplit

import stripe

from stripe_simulator.engine.clock import Clock
from stripe_simulator.protocol.forms import decode
from stripe_simulator.serving.account import Call, StripeAccount, path_template
from stripe_simulator.serving.faults import Fault, Faults
from testing.steps import Steps

METER_EVENTS = "POST /v1/billing/meter_events"
_TOO_MANY = {
    "error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."}
}


class InProcess(stripe.HTTPClient):
    """The transport of a `stripe.StripeClient` that talks to an account in this process."""

    name = "in_process"

    def __init__(self, account: StripeAccount, clock: Clock, steps: Steps | None = None) -> None:
        super().__init__()
        self.account = account
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self._clock = clock
        self._steps = steps or Steps()
        self._one_at_a_time = threading.Lock()

    @override
    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Answer a call, with whatever fault is due."""
        with self._one_at_a_time:
            step = f"{method.upper()} {path_template(method.upper(), urlsplit(url).path)}"
            self._steps.begin(step)
            answer = self._answer(method.upper(), url, headers or {}, post_data)
            self._steps.end(step)
            return answer

    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        parts = urlsplit(url)
        form = decode((post_data or "") if method == "POST" else parts.query)
        self.calls[f"{method} {path_template(method, parts.path)}"] += 1
        fault = self.faults.next_for(method, parts.path, form)
        kind = fault.kind if fault else ""
        if kind == "429":
            return json.dumps(_TOO_MANY), 429, {}
        if kind in {"drop_before", "hang"}:
            raise _cut()
        given = {name.lower(): value for name, value in headers.items()}
        call = Call(
            method,
            parts.path,
            form,
            given["authorization"].removeprefix("Bearer "),
            given.get("idempotency-key"),
            fails={"500": "before", "500_after": "after"}.get(kind),
            processed_after_s=fault.after_s if fault and kind == "processed_late" else 0,
        )
        answer = self.account.answer(call, self._clock.now())
        if kind in {"drop_after", "hang_after"}:
            raise _cut()
        return json.dumps(answer.body), answer.status, {k.lower(): v for k, v in answer.headers.items()}

    @override
    def close(self) -> None:
        """Nothing is open."""

    @override
    def _sleep_time_seconds(self, num_retries: int) -> float:
        return 0


def in_process_client(transport: InProcess, retries: int = 2) -> stripe.StripeClient:
    """Return the real SDK's client on a transport."""
    return stripe.StripeClient("sk_test_simulated", http_client=transport, max_network_retries=retries)


def fault(kind: str, **more: Any) -> Fault:
    """Return a fault of meter events."""
    return Fault(kind, "POST", "/v1/billing/meter_events", **more)


def _cut() -> stripe.APIConnectionError:
    return stripe.APIConnectionError("The connection was cut.", should_retry=True)  # type: ignore[no-untyped-call]  # the SDK's
