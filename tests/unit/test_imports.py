"""Who may import whom, as the architecture's table says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.environment import REPOSITORY

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
ROOTS = ["functions", "layers/metering/metering", "agent", "ops", "local", "stripe_simulator", "testing"]


def kept(folder: Path) -> tuple[bool, str]:
    """Run import-linter on a copy of the sources; tell whether every contract is kept, and its words."""
    path = ":".join(str(folder / part) for part in (".", "functions", "layers/metering"))
    ran = subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": path, "PATH": str(LINT_IMPORTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Return a copy of the sources and of the contracts."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for root in ROOTS:
        shutil.copytree(REPOSITORY / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_contract_is_kept(sources: Path) -> None:
    """The sources keep every import contract."""
    everything, words = kept(sources)
    assert everything, words


def test_no_module_bears_a_standard_library_modules_name() -> None:
    """A folder on the path, or a name read without its package, never hides the standard library's."""
    modules = [
        module.relative_to(REPOSITORY / root)
        for root in [*ROOTS, "bench"]
        for module in (REPOSITORY / root).rglob("*.py")
        if module.name not in {"__init__.py", "__main__.py"}
    ]
    assert len(modules) > len(ROOTS)
    assert [] == [
        module for module in modules if sys.stdlib_module_names.intersection(module.with_suffix("").parts)
    ]


@pytest.mark.parametrize(
    ("module", "forbidden", "contract"),
    [
        ("layers/metering/metering/core/rollup.py", "import boto3", "metering.core knows no AWS"),
        ("layers/metering/metering/core/rating.py", "import os", "metering.core knows no AWS"),
        ("layers/metering/metering/core/usage.py", "import metering.tables.hours", "metering in rooms"),
        ("layers/metering/metering/aws/web.py", "import metering.tables.hours", "metering in rooms"),
        ("layers/metering/metering/tables/hours.py", "import boto3", "metering.tables makes no client"),
        ("testing/steps.py", "import ops.status", "testing serves tests and bench"),
        ("layers/metering/metering/aws/web.py", "import agent.engine.clock", "metering imports no function"),
        (
            "functions/ingest/accept.py",
            "import usage_query.live",
            "A function imports metering, never another",
        ),
        ("functions/usage_query/live.py", "import stripe", "stripe is imported by stripe_report"),
        (
            "stripe_simulator/engine/rating.py",
            "import metering.core.rating",
            "The Stripe simulator imports nothing",
        ),
        ("stripe_simulator/protocol/forms.py", "import stripe", "The Stripe simulator imports nothing"),
        (
            "stripe_simulator/engine/state.py",
            "import stripe_simulator.resources.prices",
            "The Stripe simulator in rooms",
        ),
        ("stripe_simulator/engine/clock.py", "import asyncio", "The Stripe simulator speaks HTTP in serving"),
        (
            "local/stack/running.py",
            "import stripe_simulator.serving.account",
            "Tests alone import the Stripe simulator",
        ),
        ("local/services/program.py", "import local.stack.ministack", "local in rooms"),
        ("local/stack/deploy.py", "import local.demo.waiting", "local in rooms"),
        (
            "local/stack/deploy.py",
            "import metering.core.periods",
            "The stack and the services import",
        ),
        ("local/measuring/relay.py", "import agent.engine.clock", "The measuring owes nothing"),
        ("local/measuring/traffic.py", "import local.services.program", "The measuring owes nothing"),
        ("ops/replay.py", "import rich.table", "ops: the logic knows no terminal"),
        ("ops/probe/check.py", "import typer", "ops: the logic knows no terminal"),
        ("ops/periods.py", "import ops.terminal.printing", "ops: commands import the logic"),
        ("ops/sync.py", "import ops.commands.sync", "ops: commands import the logic"),
        ("ops/commands/sync.py", "import stripe", "ops: commands leave AWS and Stripe to the logic"),
        ("agent/run.py", "import metering.core.rollup", "The agent knows contract, instants and metrics"),
        ("agent/run.py", "import metering.aws.web", "The agent knows contract, instants and metrics"),
        ("agent/engine/hour.py", "import boto3", "The agent knows contract, instants and metrics"),
        (
            "layers/metering/metering/core/contract.py",
            "import metering.core.rollup",
            "The contract imports nothing of the service",
        ),
        ("agent/engine/tally.py", "import agent.journal.rows", "agent.engine imports nothing else"),
        ("agent/engine/clock.py", "import agent.version", "agent.engine imports nothing else"),
        ("agent/journal/fork.py", "import agent.delivery.answers", "agent.journal imports the engine"),
        ("agent/journal/file.py", "import agent.settings", "agent.journal imports the engine"),
        ("agent/delivery/wire.py", "import agent.settings", "agent.delivery imports the journal"),
        (
            "agent/delivery/sender.py",
            "import agent.collectors.registry",
            "agent.delivery imports the journal",
        ),
        (
            "agent/collectors/postgres/collector.py",
            "import agent.journal.rows",
            "agent.collectors imports the engine",
        ),
        (
            "agent/collectors/mosquitto/settings.py",
            "import agent.settings",
            "agent.collectors imports the engine",
        ),
        (
            "agent/collectors/postgres/settings.py",
            "import agent.collectors.mosquitto.packets",
            "A collector never imports another",
        ),
    ],
)
def test_a_forbidden_import_is_found(sources: Path, module: str, forbidden: str, contract: str) -> None:
    """An import that the table forbids breaks the contract that names it."""
    assert (sources / module).is_file()
    with (sources / module).open("a") as source:
        source.write(f"\n{forbidden}\n")
    everything, words = kept(sources)
    # Behind a contract's state stands how many of its imports are allowed by name.
    broken = [line for line in words.splitlines() if line.partition(" (")[0].endswith(" BROKEN")]
    assert not everything
    assert any(line.startswith(contract) for line in broken), words
