"""The demo itself: it settles, and what it cannot do it says in one sentence and leaves nothing running."""

import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.environment import REPOSITORY, scrubbed

DEMO_SECONDS = 600
"""The demo's own deadlines come first, on a busy machine too, since they say what was waited for."""
pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(DEMO_SECONDS + 60)]
"""Both keep their files in one folder of the tree."""
MARK = "ZEMFYRE_TEST_MARK"


@dataclass(frozen=True)
class Ended:
    """A demo that has ended: what it printed, and what it left running."""

    status: int
    out: str
    err: str
    left_running: set[str]


def demo(**environment: str) -> Ended:
    """Run ``make demo ONCE=1``'s program to its end; all that it starts inherits a mark."""
    mark = uuid.uuid4().hex
    done = subprocess.run(
        [sys.executable, "-m", "local.demo", "--once"],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=scrubbed({}) | {MARK: mark} | environment,
        timeout=DEMO_SECONDS,
    )
    return Ended(done.returncode, done.stdout, done.stderr, marked(mark))


def marked(mark: str) -> set[str]:
    """The command lines of processes that carry the mark."""
    lines = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                lines.add((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked, or is another user's
    return lines


def test_the_demo_settles_and_leaves_nothing_running() -> None:
    """Real counters, reports, hours, ledger, Stripe and estimate agree, through a crash and a restart."""
    done = demo()

    assert "settled: 5 meters, 0 differences" == done.out.splitlines()[-1], done.out + done.err
    assert (0, set()) == (done.status, done.left_running)


def test_a_missing_program_ends_the_demo_with_its_name() -> None:
    """One sentence on stderr, status 1."""
    done = demo(PATH=str(Path(sys.executable).parent))

    assert (1, "") == (done.status, done.out)
    assert "demo: mosquitto" in done.err
    assert "apt-get install mosquitto" in done.err
    assert 1 == len(done.err.splitlines())
    assert set() == done.left_running
