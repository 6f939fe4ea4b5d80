"""``ops stripe probe``: what we assume of Stripe, asked."""

import json

from ops.probe.assumptions import CHECKS
from tests.component.ops.desk import Desk

HOLD_S = 0.1
"""How long Stripe is busy with an event here: long enough that some of several at once meet."""


def test_every_assumption_holds_at_the_simulator(desk: Desk) -> None:
    """The simulator does what we assume of Stripe, every check of it, and the account is left tidy."""
    desk.settings(hold_s=HOLD_S)
    rows = desk.good("stripe", "probe", "--json", "--wait", "0").json

    assert [check.assumption for check in CHECKS] == [row["assumption"] for row in rows]
    assert [] == [row for row in rows if row["verdict"] != "holds"]
    assert [] == desk.stripe.v1.billing.meters.list({"status": "active"}).data
    assert [] == desk.stripe.v1.prices.list({"active": True}).data
    assert [] == desk.stripe.v1.subscriptions.list().data


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
    } == failed.keys()
    assert all(seen.startswith("400") for seen in failed.values())


def test_what_is_not_counted_in_time_is_unclear(desk: Desk) -> None:
    """Usage that Stripe does not count in time makes a check unclear, and that is no failure."""
    desk.settings(aggregation_delay_s=600, hold_s=HOLD_S)
    rows = desk.good("stripe", "probe", "--json", "--wait", "0").json

    unclear = [row["assumption"] for row in rows if row["verdict"] == "unclear"]
    assert 3 == len(unclear)


def test_a_live_key_is_refused(desk: Desk) -> None:
    """The probe makes objects of its own, so it never runs with a live key."""
    desk.monkeypatch.setenv("STRIPE_API_KEY", "rk_live_simulated")

    assert "test-mode key" in desk.wrong(1, "stripe", "probe")
    assert 0 == desk.simulator.simulator.calls.total()
