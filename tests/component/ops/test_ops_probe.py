"""``ops stripe probe``: what we assume of Stripe, asked."""

import json
import re
from pathlib import Path

import pytest

from ops.probe.assumptions import CHECKS
from ops.probe.check import Check, Finding, ProbeVerdict, held
from ops.probe.sandbox import Sandbox
from tests.component.ops.desk import Desk

_PAGE = Path(__file__).parents[3] / "docs" / "stripe-assumptions.md"
HOLD_S = 0.1
"""How long Stripe is busy with an event here: long enough that some of several at once meet."""

_BACKDATED = "a backdated subscription's first invoice is a draft of its usage so far, the cycle's has none"


@pytest.fixture(autouse=True)
def _clock_passes(desk: Desk) -> None:
    """Where the probe waits for the next second, Stripe's clock moves on and nobody waits."""
    desk.monkeypatch.setattr("ops.probe.sandbox.sleep", lambda _: desk.simulator.clock.advance(2))


def test_every_assumption_holds_at_the_simulator(desk: Desk) -> None:
    """The simulator does what we assume of Stripe, every check of it, and the account is left tidy."""
    desk.settings(hold_s=HOLD_S)
    rows = desk.good("stripe", "probe", "--json", "--wait", "0").json

    assert [check.assumption for check in CHECKS] == [row["assumption"] for row in rows]
    assert [] == [row for row in rows if row["verdict"] != "holds"]
    assert [] == desk.stripe.v1.billing.meters.list({"status": "active"}).data
    assert [] == desk.stripe.v1.prices.list({"active": True}).data
    assert [] == desk.stripe.v1.subscriptions.list().data


def test_the_page_of_assumptions_has_every_question() -> None:
    """Each check stands beside an assumption, and nothing is said to be asked that is not."""
    rows = [line for line in _PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    asked = [check for row in rows for check in re.findall(r"\*([^*]+)\*", row.split("|")[-2])]

    assert {check.assumption for check in CHECKS} == set(asked)
    assert len(CHECKS) == len({check.assumption for check in CHECKS})


def test_an_assumption_that_fails_is_shown(desk: Desk) -> None:
    """A Stripe that refuses at once what we think it reports later fails the check, with what was seen."""
    desk.settings(asynchronous=[], hold_s=HOLD_S)
    result = desk.run("stripe", "probe", "--json", "--wait", "0")

    failed = {row["assumption"]: row["seen"] for row in json.loads(result.out) if row["verdict"] != "holds"}
    assert 1 == result.status
    assert {
        "an unknown event name gets a 200 and a report afterwards",
        "an unknown customer gets a 200 and a report afterwards",
        "a value with an exponent gets a 200 and a report afterwards",
        "an event of a deleted customer gets a 200",
        "a refused event has used up its identifier",
        "a report's samples name the request's Idempotency-Key",
    } == failed.keys()
    assert all(seen.startswith("400") for seen in failed.values())


def test_what_is_not_counted_in_time_is_unclear(desk: Desk) -> None:
    """Usage that Stripe does not count in time makes a check unclear, and that is no failure."""
    desk.settings(aggregation_delay_s=600, hold_s=HOLD_S)
    rows = desk.good("stripe", "probe", "--json", "--wait", "0").json

    unclear = [row["seen"] for row in rows if row["verdict"] == "unclear"]
    assert 15 == len(unclear)
    assert [] == [seen for seen in unclear if "within 0 s" not in seen]


@pytest.mark.parametrize(
    ("settings", "fails"),
    [
        (
            {"backdated_usage": "cycle_invoice"},
            {_BACKDATED},
        ),
        (
            {
                "draft_usage": "at_each_read",
                "anchor_reset_invoice": "grace",
                "cancellation_invoice": "never",
                "error_samples_name": "id_and_idempotency_key",
            },
            {
                "a draft's metered lines are updated when it is finalised, not when it is read",
                "the invoice of a new anchor has the usage so far and is final at once",
                "the invoice of a cancellation has the usage so far and is final at once",
                "a report's samples name the request's Idempotency-Key",
            },
        ),
    ],
)
def test_another_reading_is_told(desk: Desk, settings: dict[str, str], fails: set[str]) -> None:
    """A Stripe of another reading of its pages fails the checks of that reading, and only those."""
    desk.settings(**settings, hold_s=HOLD_S)
    rows = json.loads(desk.run("stripe", "probe", "--json", "--wait", "0").out)

    assert fails == {row["assumption"] for row in rows if row["verdict"] == "does not hold"}


def test_an_answer_of_another_shape_is_unclear(desk: Desk) -> None:
    """A check that does not find what it looks for in an answer says so, and the others are asked."""

    def ask(_: Sandbox) -> Finding:
        answer: dict[str, bool] = {}
        return held(answer["status"], "")

    with Sandbox.made(desk.stripe, 0) as sandbox:
        verdict, seen = Check("it has a status", ask).run(sandbox)

    assert (ProbeVerdict.UNCLEAR, "another answer than expected: KeyError('status')") == (verdict, seen)


def test_a_live_key_is_refused(desk: Desk) -> None:
    """The probe makes objects of its own, so it never runs with a live key."""
    desk.monkeypatch.setenv("STRIPE_API_KEY", "rk_live_simulated")

    assert "test-mode key" in desk.wrong(1, "stripe", "probe")
    assert 0 == desk.simulator.simulator.calls.total()
