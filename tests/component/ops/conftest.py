"""The operator's desk, one Stripe simulator for all tests, reset before each."""

import time
from collections.abc import Iterator

import httpx
import pytest
import stripe
from moto import mock_aws

from ops.deployment import Deployment
from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.server import RunningSimulator, running_simulator
from tests.component.ops.desk import STACK, Desk, create_stack


@pytest.fixture(scope="session")
def _server() -> Iterator[RunningSimulator]:
    with running_simulator(Clock(int(time.time()))) as running:
        yield running


@pytest.fixture
def simulator(_server: RunningSimulator) -> RunningSimulator:
    """A running simulator, empty, at noon, which stands: no test meets the end of an hour or a day."""
    httpx.post(f"{_server.url}/_sim/reset", trust_env=False).raise_for_status()
    _server.clock.set(int(time.time()) // 86_400 * 86_400 + 12 * 3600 + 20 * 60)
    return _server


@pytest.fixture
def desk(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    """An operator with a stack, a test-mode key and an empty Stripe account."""
    for name, value in {
        "ZEMFYRE_STACK": STACK,
        "STRIPE_API_KEY": "sk_test_simulated",
        "STRIPE_API_BASE": simulator.url,
        "COLUMNS": "240",
        "TERM": "dumb",
    }.items():
        monkeypatch.setenv(name, value)
    transport = stripe.RequestsClient(timeout=20)
    client = stripe.StripeClient(
        "sk_test_simulated", base_addresses={"api": simulator.url}, http_client=transport
    )
    with mock_aws():
        create_stack()
        desk = Desk(Deployment(STACK).tables, client, simulator, monkeypatch, capsys)
        monkeypatch.setattr("ops.clock.present", lambda: desk.now)
        yield desk
    transport.close()  # type: ignore[no-untyped-call]  # the SDK has no types there


@pytest.fixture
def synced(desk: Desk) -> Desk:
    """A desk whose Stripe account has the catalogue's objects."""
    desk.good("stripe", "sync")
    return desk


@pytest.fixture
def acme(synced: Desk) -> Desk:
    """A desk with a customer whose subscription began two days ago."""
    synced.simulator.clock.advance(-2 * 86_400)
    synced.good("customers", "add", "acme", "--name", "Acme")
    synced.simulator.clock.advance(2 * 86_400)
    return synced
