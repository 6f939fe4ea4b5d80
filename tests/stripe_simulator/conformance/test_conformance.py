"""Everything that the simulator answers is of the types that Stripe publishes for this version of its API."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from stripe_simulator.engine.event_log import API_VERSION
from stripe_simulator.resources.api import ENDPOINTS
from stripe_simulator.serving.account import Answer, Call, path_template
from stripe_simulator.serving.server import RunningSimulator
from tests.stripe_simulator.conformance.life import live
from tests.stripe_simulator.conformance.published import Conformance
from tests.stripe_simulator.shop import Shop

_LEFT_OUT = Path(__file__).with_name("left_out.txt")


def _left_out() -> set[str]:
    lines = _LEFT_OUT.read_text(encoding="utf-8").splitlines()
    return {line.partition(":")[0] for line in lines if line and not line.startswith("#")}


def _statuses(answers: list[tuple[str, dict[str, Any]]], kind: str) -> set[str]:
    """The statuses that objects of a kind had, in answers and in lists."""
    shown = [one for _, body in answers for one in (body["data"] if body.get("object") == "list" else [body])]
    return {one["status"] for one in shown if one.get("object") == kind and "status" in one}


@pytest.fixture
def answers(simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Every answer that was no refusal, with the call that it was to."""
    given: list[tuple[str, dict[str, Any]]] = []
    answer = simulator.stripe.answer

    def recorded(call: Call, now: int) -> Answer:
        found = answer(call, now)
        if found.status < 400:
            given.append((f"{call.method} {path_template(call.method, call.path)}", found.body))
        return found

    monkeypatch.setattr(simulator.stripe, "answer", recorded)
    return given


def test_every_answer_of_a_whole_life_is_as_published(
    answers: list[tuple[str, dict[str, Any]]],
    client: stripe.StripeClient,
    shop: Shop,
    clock: Clock,
    control: httpx.Client,
) -> None:
    """What is always there is there, nothing is null that may not be, and nothing is made up."""
    live(client, shop, clock, lambda changes: control.post("/settings", json=changes))
    conformance = Conformance()
    for _, body in answers:
        conformance.check(body)

    assert {f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS} == {call for call, _ in answers}
    assert set() == conformance.complaints
    assert sorted(conformance.declared - conformance.seen) == sorted(_left_out())
    assert {"draft", "open", "paid", "uncollectible", "void"} == _statuses(answers, "invoice")
    assert {
        "active",
        "canceled",
        "incomplete",
        "incomplete_expired",
        "past_due",
        "paused",
        "trialing",
        "unpaid",
    } == _statuses(answers, "subscription")


def test_the_types_are_of_the_same_version() -> None:
    """The published types are those of the API version that the simulator says it speaks."""
    assert API_VERSION == Conformance().version


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"created": None}, "Customer.created: None is not of its type"),
        ({"balance": "0"}, "Customer.balance: '0' is not of its type"),
        ({"made_up": 1}, "Customer.made_up: not in the type"),
        ({"metadata": {"a": 1}}, "Customer.metadata: an object is not of its type"),
    ],
)
def test_what_is_not_as_published_is_found(
    answers: list[tuple[str, dict[str, Any]]], shop: Shop, change: dict[str, Any], complaint: str
) -> None:
    """The check tells null, another type and a made-up field from what it should be."""
    [customer] = [body for call, body in answers if call == "POST /v1/customers"]
    conformance = Conformance()
    conformance.check({**customer, **change})

    assert {complaint} == conformance.complaints


def test_what_is_absent_is_found(answers: list[tuple[str, dict[str, Any]]], shop: Shop) -> None:
    """A field that Stripe always sends is missed where it is not; one that may be absent is not."""
    [customer] = [body for call, body in answers if call == "POST /v1/customers"]
    conformance = Conformance()
    conformance.check({name: one for name, one in customer.items() if name not in {"email", "address"}})

    assert {"Customer.email: absent"} == conformance.complaints
