"""Keeping within Stripe's limits: reads are spread evenly, and what is one too many waits and is tried again.

Stripe allows a number of calls a second, and answers any more with 429; its SDK does not try those again.
Source: docs/stripe-protocol.md#limits; docs/decisions/0024-within-stripes-limits.md.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import uniform
from typing import Any, override

import stripe

TOO_MANY = 429
"""HTTP's number for a call that is one too many."""

TRIES = 4
"""How often a call is made in all before its message has to come back."""

LONGEST_WAIT_S = 10.0
"""A longer ``Retry-After`` is waited for by the message, not by the function."""

_FIRST_WAIT_S = 1.0
_UNPACED = "/v1/billing/meter_events"
"""Meter events have a limit of their own, forty times the others'."""


@dataclass(slots=True)
class Pace:
    """Spreads calls evenly, over all threads: at most so many a second; None spreads nothing."""

    per_second: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> None:
        """Wait for the next turn."""
        if self.per_second is None:
            return
        with self._lock:
            now = self.clock()
            turn = max(now, self._next)
            self._next = turn + 1 / self.per_second
        if turn > now:
            self.sleep(turn - now)


def wait_before(tried: int, headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait after a call was one too many ``tried`` times, None to give up for now.

    What Stripe asks for counts (``Retry-After``, whole seconds); else 1, 2, 4 s, less up to a half by chance.
    """
    if tried >= TRIES:
        return None
    asked = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    if asked.isdecimal():
        return float(asked) if float(asked) <= LONGEST_WAIT_S else None
    longest = _FIRST_WAIT_S * (1 << (tried - 1))
    return uniform(longest / 2, longest)  # noqa: S311  spreads calls, hides nothing


class PatientTransport(stripe.HTTPClient):
    """Another transport, at a pace, whose calls wait and are made again where they were one too many."""

    name = "patient"

    def __init__(
        self, transport: stripe.HTTPClient, pace: Pace, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__()
        self._transport = transport
        self._pace = pace
        self._sleep = sleep

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
        """Make a call, as often as it takes within bounds; a limit is met before the Idempotency-Key is."""
        tried = 0
        while True:
            if not url.partition("?")[0].endswith(_UNPACED):
                self._pace.take()
            body, status, told = self._transport.request(method, url, headers, post_data)
            if status != TOO_MANY:
                return body, status, told
            tried += 1
            wait = wait_before(tried, told)
            if wait is None:
                # Or the SDK would begin anew, if Stripe advises to try again.
                return body, status, {k: v for k, v in told.items() if k.lower() != "stripe-should-retry"}
            self._sleep(wait)

    @override
    def close(self) -> None:
        self._transport.close()  # type: ignore[no-untyped-call]  # the SDK's
