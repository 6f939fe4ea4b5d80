"""Waiting for what a real program does in its own time: a condition and a deadline, never a pause."""

import time
from collections.abc import Callable

_LOOK_EVERY_SECONDS = 0.02


def wait_for(condition: Callable[[], object], what: str = "the condition", seconds: float = 30) -> None:
    """Return when the condition holds; at the deadline, fail the test by what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(_LOOK_EVERY_SECONDS)
