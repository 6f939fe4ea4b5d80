"""The demo itself: it settles, and what it cannot do it says in one sentence and leaves nothing running."""

import os
import subprocess
import sys
from pathlib import Path

from local.environment import REPOSITORY, scrubbed


def demo(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``make demo ONCE=1``'s program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "local.demo", "--once"],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=scrubbed({}) | environment,
        timeout=300,
    )


def started_from_here() -> set[str]:
    """The command lines of processes that run this tree's demo services."""
    marks = (str(REPOSITORY / ".run" / "demo"), "local.demo", "local.stripe_simulator --port")
    lines = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if any(mark in line for mark in marks) and str(os.getpid()) != entry.parent.name:
            lines.add(line)
    return lines


def test_the_demo_settles_and_leaves_nothing_running() -> None:
    """Real counters, reports, hours, ledger, Stripe and estimate agree, through a crash and a restart."""
    before = started_from_here()

    done = demo()

    assert "settled: 5 meters, 0 differences" == done.stdout.splitlines()[-1], done.stdout + done.stderr
    assert 0 == done.returncode
    assert before == started_from_here()


def test_a_missing_program_ends_the_demo_with_its_name() -> None:
    """One sentence on stderr, status 1."""
    before = started_from_here()

    done = demo(PATH=str(Path(sys.executable).parent))

    assert (1, "") == (done.returncode, done.stdout)
    assert "demo: mosquitto" in done.stderr
    assert "apt-get install mosquitto" in done.stderr
    assert 1 == len(done.stderr.splitlines())
    assert before == started_from_here()
