"""The deployed stack, once for all end-to-end tests of a run, and its functions' logs beside a failure."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from local.demo.processes import SimulatorProcess
from local.stack.access import Stack
from local.stack.running import StackSettings, running_stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of the stack on one worker of ``pytest -n --dist loadgroup``: it is deployed once."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("stack"))


@pytest.fixture(scope="session")
def stripe_api_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the stack's stripe_report finds Stripe: the simulator."""
    with SimulatorProcess(tmp_path_factory.mktemp("stripe")) as simulator:
        yield simulator.url


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, stripe_api_base: str) -> Iterator[Stack]:
    """The real template on the emulator, with IAM on and no schedule firing."""
    with running_stack(
        tmp_path_factory.mktemp("stack"), StackSettings(stripe_api_base=stripe_api_base)
    ) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the functions logged when a test of the stack fails."""
    report = yield
    fixtures: dict[str, Any] = getattr(item, "funcargs", {})
    if call.when == "call" and report.failed and "stack" in fixtures:
        running: Stack = fixtures["stack"]
        for function in running.deployment.functions:
            if log := running.logs(function):
                report.sections.append((f"the end of {function}'s log", log[-3000:]))
    return report
