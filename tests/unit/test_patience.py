"""Within Stripe's limits: reads at a pace, and a call that is one too many waits as long as it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, override

import pytest
import stripe

from stripe_report.patience import LONGEST_WAIT_S, TRIES, Pace, PatientTransport, wait_before
from stripe_report.retrying import NIGHT, comes_back_after, turn_in_the_night

_READ = "https://api.stripe.com/v1/subscriptions/sub_1"
_EVENT = "https://api.stripe.com/v1/billing/meter_events"
type _Answer = tuple[int, Mapping[str, str]]


class _Scripted(stripe.HTTPClient):
    """Gives the answers that it was given, the last one for ever."""

    name = "scripted"

    def __init__(self, *answers: _Answer) -> None:
        super().__init__()
        self.answers = list(answers)
        self.calls = 0

    @override
    def request(self, *_given: Any, **_more: Any) -> tuple[str, int, Mapping[str, str]]:
        self.calls += 1
        status, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return "{}", status, headers

    @override
    def close(self) -> None:
        """Nothing is open."""


class _Clock:
    """A clock that moves by sleeping alone."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def _ask(*answers: _Answer, url: str = _READ) -> tuple[_Scripted, _Clock, tuple[str, int, Mapping[str, str]]]:
    scripted, clock = _Scripted(*answers), _Clock()
    patient = PatientTransport(scripted, Pace(), clock.sleep)
    return scripted, clock, patient.request("get", url, {})


@pytest.mark.parametrize("url", [_READ, _EVENT])
def test_a_call_that_is_one_too_many_is_made_again(url: str) -> None:
    """A read and a meter event alike wait, longer each time, until Stripe takes them."""
    scripted, clock, (_, status, _) = _ask((429, {}), (429, {}), (200, {}), url=url)
    assert (200, 3) == (status, scripted.calls)
    first, second = clock.slept
    assert 0.5 <= first <= 1.0 <= second <= 2.0


@pytest.mark.parametrize("name", ["Retry-After", "retry-after"])
def test_what_stripe_asks_for_is_waited(name: str) -> None:
    """Retry-After counts, not our own back-off."""
    _, clock, (_, status, _) = _ask((429, {name: "7"}), (200, {}))
    assert (200, [7.0]) == (status, clock.slept)


def test_a_long_wait_is_the_messages() -> None:
    """A function does not sleep for longer than ten seconds at a time: the message comes back instead."""
    scripted, clock, (_, status, _) = _ask((429, {"Retry-After": str(int(LONGEST_WAIT_S) + 1)}))
    assert (429, 1, []) == (status, scripted.calls, clock.slept)


def test_patience_ends() -> None:
    """After four calls it is the message's turn, and the SDK does not begin anew."""
    scripted, clock, (_, status, headers) = _ask((429, {"Stripe-Should-Retry": "true", "Request-Id": "r"}))
    assert (429, TRIES) == (status, scripted.calls)
    assert sum(clock.slept) <= 7
    assert {"Request-Id": "r"} == headers


@pytest.mark.parametrize("status", [200, 400, 409, 500, 503])
def test_other_answers_are_the_sdks(status: int) -> None:
    """Only a limit is waited for here."""
    scripted, clock, answer = _ask((status, {"Retry-After": "1"}))
    assert (status, 1, []) == (answer[1], scripted.calls, clock.slept)


@pytest.mark.parametrize("asked", ["", "soon", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_an_odd_retry_after_is_none(asked: str) -> None:
    """What is no number of seconds leaves the back-off as it is."""
    waited = wait_before(1, {"Retry-After": asked})
    assert waited is not None
    assert 0.5 <= waited <= 1.0


def test_reads_are_spread_evenly() -> None:
    """Twenty reads at ten a second take two seconds, whatever they were asked at once."""
    clock = _Clock()
    pace = Pace(10, clock, clock.sleep)
    patient = PatientTransport(_Scripted((200, {})), pace, clock.sleep)
    for _ in range(20):
        patient.request("get", _READ, {})
    assert 1.9 == pytest.approx(clock.now - 100)
    # After a pause nothing is made up for.
    clock.now += 60
    patient.request("get", _READ, {})
    assert 61.9 == pytest.approx(clock.now - 100)


def test_meter_events_have_a_limit_of_their_own() -> None:
    """Meter events wait for no read's turn: Stripe takes a thousand a second."""
    clock = _Clock()
    patient = PatientTransport(_Scripted((200, {})), Pace(1, clock, clock.sleep), clock.sleep)
    for _ in range(20):
        patient.request("post", _EVENT, {})
    assert [] == clock.slept


# ------------------------------------------------------------------ the night

CALLS_A_RECONCILIATION = 41
"""The most that were measured of one customer with nothing changed, at the end of a month."""

LIMIT_A_SECOND = 25
"""Of Stripe's calls in a sandbox, and of any one endpoint in live mode ("Rate limits")."""


def test_ten_thousand_customers_fit_the_limit() -> None:
    """The nightly reconciliation of 10,000 customers never needs more than 25 calls a second."""
    begun = datetime(2026, 11, 22, 2, 50, tzinfo=UTC)
    turns = [turn_in_the_night(f"cust_{n}") for n in range(10_000)]
    assert timedelta(0) <= min(turns)
    assert max(turns) < NIGHT
    # The calendar is read every five minutes.
    runs = Counter(int((begun + turn).timestamp()) // 300 for turn in turns)
    assert max(runs.values()) * CALLS_A_RECONCILIATION / 300 <= LIMIT_A_SECOND


def test_a_customers_turn_is_its_own() -> None:
    """A customer is looked at at the same time each night, so that two looks lie a day apart."""
    assert turn_in_the_night("acme") == turn_in_the_night("acme")
    assert turn_in_the_night("acme") != turn_in_the_night("other")
    assert comes_back_after("acme", 0) >= timedelta(minutes=5)
