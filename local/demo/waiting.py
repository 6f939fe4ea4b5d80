"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable

_LOOK_EVERY_SECONDS = 0.2


class TooLateError(RuntimeError):
    """A condition did not come true in time."""


def wait_until(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Return when the condition holds.

    Raises
    ------
    TooLateError
        Naming what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TooLateError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(_LOOK_EVERY_SECONDS)
