"""The simulator as a program: it says where it listens, serves this machine alone, keeps its state."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import stripe

from stripe_simulator.__main__ import main
from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.server import NotLoopbackError, listening, running_simulator
from tests.stripe_simulator.shop import DAY, HOUR, NOON

_PROGRAM = [sys.executable, "-m", "stripe_simulator"]
_DEADLINE_S = 30


@contextmanager
def _running(*arguments: str) -> Iterator[str]:
    """The program's address, read from the one line that it prints."""
    with subprocess.Popen([*_PROGRAM, *arguments], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            words, _, url = program.stdout.readline().strip().rpartition(" ")
            assert words == "listening on"
            yield url
        finally:
            program.terminate()
            program.wait(_DEADLINE_S)


def _client(url: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_1", base_addresses={"api": url}, http_client=stripe.RequestsClient(timeout=20)
    )


def test_the_program_serves_where_it_says() -> None:
    """The one line on standard output is the address, and the SDK can use it at once."""
    with _running("--port", "0", "--now", str(NOON)) as url:
        assert _client(url).v1.customers.create({"name": "Acme"}).created == NOON


def test_the_state_outlives_the_program(tmp_path: Path) -> None:
    """Started again with the same file, the program has the same customers and clock."""
    state = tmp_path / "stripe.jsonl"
    with _running("--now", str(NOON), "--state", str(state)) as url:
        made = _client(url).v1.customers.create({"name": "Acme"})
        httpx.post(f"{url}/_sim/clock", json={"advance": HOUR}, trust_env=False)
    with _running("--state", str(state)) as url:
        assert _client(url).v1.customers.retrieve(made.id).created == NOON
        assert httpx.get(f"{url}/_sim/clock", trust_env=False).json() == {"now": NOON + HOUR}

    assert "sk_test" not in state.read_text()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])  # noqa: S104  # refused here
def test_a_host_that_others_can_reach_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The simulator takes any key for good, so it never listens beyond this machine."""
    assert main(["--host", host]) == 2
    assert f"{host} is not a loopback address." in capsys.readouterr().err
    with pytest.raises(NotLoopbackError):
        listening(host, 0)


def test_a_taken_port_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use ends the program with a message, not a traceback."""
    with listening("127.0.0.1", 0) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 2

    assert "in use" in capsys.readouterr().err


def test_a_state_file_brings_back_everything(tmp_path: Path) -> None:
    """Replaying the file gives the same state, periods and settings and refusals included."""
    state = tmp_path / "stripe.jsonl"
    with running_simulator(Clock(NOON), state) as running:
        client = _client(running.url)
        customer = client.v1.customers.create({"name": "Acme"})
        price = client.v1.prices.create(
            {
                "currency": "usd",
                "product_data": {"name": "Fee"},
                "unit_amount": 100,
                "recurring": {"interval": "day"},
            }
        )
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": "price_none"}]})
        client.v1.subscriptions.create(
            {
                "customer": customer.id,
                "items": [{"price": price.id}],
                "collection_method": "send_invoice",
                "days_until_due": 30,
            }
        )
        httpx.post(f"{running.url}/_sim/settings", json={"grace_s": 60}, trust_env=False)
        httpx.post(f"{running.url}/_sim/clock", json={"now": NOON + 3 * DAY}, trust_env=False)
        client.v1.customers.update(customer.id, {"name": "Acme Ltd"})
        before = httpx.get(f"{running.url}/_sim/state", trust_env=False).json()
    with running_simulator(Clock(NOON), state) as running:
        after = httpx.get(f"{running.url}/_sim/state", trust_env=False).json()

    assert len(before["invoices"]) == 4
    assert _without_addresses(after) == _without_addresses(before)


def _without_addresses(state: object) -> object:
    """The state without links to a port that is another each time, and without ids of requests."""
    if isinstance(state, list):
        return [_without_addresses(one) for one in state]
    if not isinstance(state, dict):
        return state
    left_out = {"hosted_invoice_url", "invoice_pdf", "request"}
    return {name: _without_addresses(value) for name, value in state.items() if name not in left_out}


def test_a_reset_empties_the_state_file(tmp_path: Path) -> None:
    """What a reset forgot does not come back."""
    state = tmp_path / "stripe.jsonl"
    with running_simulator(Clock(NOON), state) as running:
        _client(running.url).v1.customers.create({"name": "Acme"})
        httpx.post(f"{running.url}/_sim/reset", trust_env=False)
    with running_simulator(Clock(NOON), state) as running:
        assert running.stripe.state.customers == {}
