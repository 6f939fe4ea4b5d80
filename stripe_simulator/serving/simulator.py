"""The simulated Stripe with everything around it: clock, faults, counters, one call at a time."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from stripe_simulator.engine.clock import Clock
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.forms import BadFormError, decode
from stripe_simulator.serving.account import Answer, Call, StripeAccount, path_template, refused, too_many
from stripe_simulator.serving.faults import Fault, Faults
from stripe_simulator.serving.state_file import StateFile

DEFAULT_HOLD_S = 0.01
METER_EVENTS = "/v1/billing/meter_events"


@dataclass
class Simulator:
    """What the HTTP layer serves.

    Parameters
    ----------
    hold_s
        How long, in real seconds, a meter event keeps its customer's meter busy before it is answered; a
        second event for the same two in that time gets a 429 ("one call at a time").
        Source: docs/stripe-protocol.md#what-stripe-does
    busy, keys
        The customers' meters, and the Idempotency-Keys, whose call is on its way.
    drop
        Cuts the connection of a client address; set by the server.
    """

    clock: Clock = field(default_factory=Clock)
    account: StripeAccount = field(default_factory=StripeAccount)
    state_file: StateFile = field(default_factory=StateFile)
    hold_s: float = DEFAULT_HOLD_S
    faults: Faults = field(default_factory=Faults)
    calls: Counter[str] = field(default_factory=Counter)
    busy: set[tuple[str, str]] = field(default_factory=set)
    keys: set[str | None] = field(default_factory=set)
    waiting: set[asyncio.Event] = field(default_factory=set)
    drop: Callable[[tuple[str, int]], None] = lambda _: None

    async def serve(self, request: Request) -> Response:
        """Answer one call of the API."""
        method, path = request.method, request.url.path
        self.calls[f"{method} {path_template(method, path)}"] += 1
        try:
            form = decode((await request.body()).decode() if method == "POST" else request.url.query)
        except (BadFormError, UnicodeDecodeError) as error:
            return _response(self._refusal(StripeRefusalError(str(error))))
        fault = self.faults.next_for(method, path, form)
        call = Call(
            method,
            path,
            form,
            _bearer(request),
            request.headers.get("Idempotency-Key"),
            fails={"500": "before", "500_after": "after"}.get(fault.kind) if fault else None,
            processed_after_s=fault.after_s if fault and fault.kind == "processed_late" else 0,
        )
        return await self._answer(request, call, fault)

    async def _answer(self, request: Request, call: Call, fault: Fault | None) -> Response:
        kind = fault.kind if fault else ""
        if kind == "429":
            return self._too_many("rate_limit", "Request rate limit exceeded.")
        key = call.idempotency_key if call.method == "POST" else None
        if kind == "409" or key in self.keys:
            return _response(self._refusal(_key_in_use()))
        if key is not None:
            self.keys.add(key)
        try:
            answer = await self._committed(request, call, kind)
        finally:
            self.keys.discard(key)
        if isinstance(answer, Response):
            return answer
        if kind == "hang_after":
            await self._wait(request)
        if kind in {"hang_after", "drop_after"}:
            return await self._dropped(request)
        return _response(answer)

    async def _committed(self, request: Request, call: Call, kind: str) -> Answer | Response:
        """What the account answers to a call, or a response without it where the call does not get there."""
        if kind == "hang":
            await self._wait(request)
        if kind in {"hang", "drop_before"}:
            return await self._dropped(request)
        meter = _meter_of(call)
        if meter in self.busy:
            return self._too_many("lock_timeout", "Another call for this meter is on.")
        if meter is not None:
            self.busy.add(meter)
        try:
            await self._hold(request, kind, meter)
            return self._commit(call)
        finally:
            if meter is not None:
                self.busy.discard(meter)

    def _commit(self, call: Call) -> Answer:
        now = self.clock.now()
        answer = self.account.answer(call, now)
        if call.method != "GET":
            self.state_file.write_call(call, now)
        return answer

    async def _hold(self, request: Request, kind: str, meter: tuple[str, str] | None) -> None:
        if kind == "hold":
            await self._wait(request)
        elif meter is not None and self.hold_s > 0:
            await self._wait(request, self.hold_s)

    async def _wait(self, request: Request, longest_s: float | None = None) -> None:
        """Wait until released, until the client has gone, or at most so many real seconds."""
        released = asyncio.Event()
        self.waiting.add(released)
        gone = asyncio.ensure_future(_until_disconnected(request))
        freed = asyncio.ensure_future(released.wait())
        await asyncio.wait({gone, freed}, timeout=longest_s, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        freed.cancel()
        self.waiting.discard(released)

    def release(self) -> None:
        """Let every call go on that hangs or is held."""
        for released in self.waiting:
            released.set()

    def reset(self) -> None:
        """Start over with an empty account; calls that wait are let go."""
        public_url = self.account.state.public_url
        self.release()
        self.account = StripeAccount()
        self.account.state.public_url = public_url
        self.hold_s = DEFAULT_HOLD_S
        self.faults.clear()
        self.calls.clear()
        self.state_file.forget()

    async def _dropped(self, request: Request) -> Response:
        assert request.client is not None
        self.drop((request.client.host, request.client.port))
        await _until_disconnected(request)
        return Response()

    def _too_many(self, code: str, message: str) -> Response:
        state = self.account.state
        return _response(too_many(state, code, message, state.new_id("req")))

    def _refusal(self, refusal: StripeRefusalError) -> Answer:
        return refused(refusal, self.account.state.new_id("req"))


def _key_in_use() -> StripeRefusalError:
    return StripeRefusalError(
        "There is currently another in-progress request using this Idempotent Key (that probably means you "
        "submitted twice, and the other request is still going through). Please use a different key if you "
        "want to submit a separate request.",
        status=409,
        code="idempotency_key_in_use",
    )


def _meter_of(call: Call) -> tuple[str, str] | None:
    """The customer and meter that a meter event keeps busy."""
    payload = call.form.get("payload")
    if (call.method, call.path) != ("POST", METER_EVENTS) or not isinstance(payload, dict):
        return None
    return str(payload.get("stripe_customer_id")), str(call.form.get("event_name"))


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme == "Bearer" else None


async def _until_disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _response(answer: Answer) -> Response:
    return JSONResponse(answer.body, answer.status, answer.headers)
