"""The simulator's clock: real time unless someone sets it."""

import time


class Clock:
    """A clock that runs with real time, or stands where it was set until it is moved.

    Parameters
    ----------
    now
        Seconds since the Unix epoch at which the clock stands; None lets it run with real time.
    """

    def __init__(self, now: int | None = None) -> None:
        self._standing = now
        self._ahead = 0

    def now(self) -> int:
        """Seconds since the Unix epoch."""
        return int(time.time()) + self._ahead if self._standing is None else self._standing

    def set(self, now: int | None) -> None:
        """Stand at an instant (epoch seconds), or run with real time again when None."""
        self._standing = now
        self._ahead = 0

    def advance(self, seconds: int) -> None:
        """Move forward by whole seconds; a running clock keeps running, that much ahead of real time."""
        if self._standing is None:
            self._ahead += seconds
        else:
            self._standing += seconds

    def saved(self) -> dict[str, int | None]:
        """What ``restore`` needs to come back to this clock."""
        return {"standing": self._standing, "ahead": self._ahead}

    def restore(self, saved: dict[str, int | None]) -> None:
        """Come back to a saved clock."""
        self._standing = saved["standing"]
        self._ahead = saved["ahead"] or 0
