"""A file of everything that changed the account, so that a restarted simulator is where it was."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.account import Call, StripeAccount


class StateFile:
    """One JSON line a change; the account is a function of them, so replaying them is loading it.

    Parameters
    ----------
    path
        The file; None writes nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def write_call(self, call: Call, now: int) -> None:
        """Add a call that the account answered. The API key stays out of the file."""
        self._write({"now": now, "call": {**asdict(call), "api_key": None}})

    def write_settings(self, settings: Mapping[str, Any], now: int) -> None:
        """Add a change of settings."""
        self._write({"now": now, "settings": dict(settings)})

    def write_clock(self, clock: Clock) -> None:
        """Add where the clock stands."""
        self._write({"now": clock.now(), "clock": clock.saved()})

    def replay(self, account: StripeAccount, clock: Clock) -> None:
        """Bring a fresh account and clock to where the file ends; nothing happens without a file."""
        if self._path is None or not self._path.exists():
            return
        for line in self._path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if "call" in entry:
                call = Call(**{**entry["call"], "api_key": "sk_test_replayed"})
                account.answer(call, entry["now"])
            elif "settings" in entry:
                account.advance(entry["now"])
                account.change_settings(entry["settings"])
            else:
                clock.restore(entry["clock"])

    def forget(self) -> None:
        """Empty the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
