"""The simulated account: a call and a time in, an answer out. No HTTP, no clock, no chance."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stripe_simulator.engine.event_log import API_VERSION
from stripe_simulator.engine.state import Asked, Json, Settings, State
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.forms import Form
from stripe_simulator.protocol.parameters import read
from stripe_simulator.resources.api import ENDPOINTS
from stripe_simulator.resources.endpoint import Endpoint
from stripe_simulator.resources.rendering import rendered
from stripe_simulator.serving.call_limit import CallLimit
from stripe_simulator.serving.expansion import refuse_too_deep, shaped
from stripe_simulator.serving.idempotency import IdempotencyKeys, Kept

_PATTERNS = [
    (re.compile(re.escape(endpoint.path).replace(r"\{id\}", r"([^/]+)")), endpoint) for endpoint in ENDPOINTS
]
_BROKEN = 500
_HINTS = {name: getattr(hint, "__value__", hint) for name, hint in get_type_hints(Settings).items()}
_CHOICES = {name: get_args(hint) for name, hint in _HINTS.items() if get_origin(hint) is Literal}
"""The words that some settings may be."""
_INTERNAL_ERROR: Json = {
    "error": {"message": "An unknown error occurred.", "type": "api_error"},
}


@dataclass(frozen=True)
class Call:
    """One HTTP call, its form decoded.

    Parameters
    ----------
    form
        The body of a POST, the query of anything else.
    api_key
        The bearer token, None without one.
    fails
        Answer 500 ``before`` the operation changed anything, or ``after``; kept under the key either way.
    processed_after_s
        How much later than the answer a meter event is processed.
    """

    method: str
    path: str
    form: Form = field(default_factory=dict)
    api_key: str | None = None
    idempotency_key: str | None = None
    fails: str | None = None
    processed_after_s: int = 0


@dataclass(frozen=True)
class Answer:
    """Status, JSON body and the headers that carry meaning."""

    status: int
    body: Json
    headers: dict[str, str]


class StripeAccount:
    """A Stripe account as a state machine.

    Everything that Stripe does by itself (ending periods, finalising drafts, processing events) happens at
    its own instant when the next call or ``advance`` passes it, in order.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.state = State(rendered, settings or Settings())
        self._keys = IdempotencyKeys()
        self._limit = CallLimit()

    def advance(self, now: int) -> None:
        """Let everything happen that is due by an instant (epoch seconds)."""
        self.state.agenda.run_until(now)

    def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Change some of the settings by name.

        Raises
        ------
        ValueError
            A name that is no setting, or a word that is none of a setting's.
        """
        names = {field.name for field in fields(Settings)}
        if set(changes) - names:
            raise ValueError(f"No such setting: {', '.join(sorted(set(changes) - names))}.")
        for name, value in changes.items():
            choices = _CHOICES.get(name)
            if choices and value not in choices:
                raise ValueError(f"{name} is one of {', '.join(map(repr, choices))}.")
            setattr(self.state.settings, name, tuple(value) if isinstance(value, list) else value)

    def answer(self, call: Call, now: int) -> Answer:
        """The answer to a call made now (epoch seconds)."""
        self.advance(now)
        request_id = self.state.new_id("req")
        if self._limit.reached(self.state.settings.calls_per_second, now):
            return too_many(self.state, "rate_limit", "Request rate limit exceeded.", request_id)
        try:
            _authenticate(call.api_key)
            endpoint, identity = _endpoint(call.method, call.path)
            key = call.idempotency_key if call.method == "POST" else None
            kept = key and self._keys.first_answer(key, call.method, call.path, call.form, now)
            if kept:
                return _replayed(kept, request_id)
            parameters = read(endpoint.parameters, call.form)
        except StripeRefusalError as refusal:
            return refused(refusal, request_id)
        asked = Asked(now, parameters, identity, request_id, call.idempotency_key, call.processed_after_s)
        status, body, keep = self._operate(endpoint, asked, call.fails)
        if key and keep:
            self._keys.keep(key, Kept(call.method, call.path, call.form, status, body, request_id, now))
        return Answer(status, body, _headers(request_id, status))

    def _operate(self, endpoint: Endpoint, asked: Asked, fails: str | None) -> tuple[int, Json, bool]:
        if fails == "before":
            return _BROKEN, _INTERNAL_ERROR, True
        try:
            expand = asked.parameters.get("expand", [])
            refuse_too_deep(expand)
            body = endpoint.operation(self.state, asked)
            body = shaped(self.state, body, expand, asked.now, strict=endpoint.method == "GET")
        except StripeRefusalError as refusal:
            return refusal.status, refusal.body(), not refusal.before_endpoint
        return (_BROKEN, _INTERNAL_ERROR, True) if fails == "after" else (200, body, True)


def path_template(method: str, path: str) -> str:
    """The path of the endpoint that a path belongs to, ids replaced by ``{id}``; the path itself if none."""
    try:
        return _endpoint(method, path)[0].path
    except StripeRefusalError:
        return path


def refused(refusal: StripeRefusalError, request_id: str) -> Answer:
    """The answer that a refusal makes."""
    return Answer(refusal.status, refusal.body(), _headers(request_id, refusal.status))


def too_many(state: State, code: str, message: str, request_id: str) -> Answer:
    """The 429 of a limit that is reached, with the advice that settings give beside it."""
    answer = refused(StripeRefusalError(message, status=429, code=code), request_id)
    advice = state.settings.retry_advice
    headers = {**answer.headers, **({"Stripe-Should-Retry": advice} if advice else {})}
    if code == "rate_limit":
        headers |= {"Retry-After": "1", "Stripe-Rate-Limited-Reason": "global-rate"}
    return Answer(answer.status, answer.body, headers)


def _endpoint(method: str, path: str) -> tuple[Endpoint, str]:
    for pattern, endpoint in _PATTERNS:
        match = pattern.fullmatch(path)
        if match is not None and endpoint.method == method:
            return endpoint, next(iter(match.groups()), "")
    raise StripeRefusalError(f"Unrecognized request URL ({method}: {path}).", status=404)


def _authenticate(api_key: str | None) -> None:
    if not api_key:
        raise StripeRefusalError(
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            status=401,
        )
    if not api_key.startswith(("sk_", "rk_")):
        raise StripeRefusalError(f"Invalid API Key provided: {api_key[:3]}***", status=401)


def _replayed(kept: Kept, request_id: str) -> Answer:
    headers = {
        **_headers(request_id, kept.status),
        "Idempotent-Replayed": "true",
        "Original-Request": kept.request_id,
    }
    return Answer(kept.status, kept.body, headers)


def _headers(request_id: str, status: int) -> dict[str, str]:
    headers = {"Request-Id": request_id, "Stripe-Version": API_VERSION}
    # a kept 500 would only be replayed, so Stripe tells its SDK not to try again under the same key
    return {**headers, "Stripe-Should-Retry": "false"} if status == _BROKEN else headers
