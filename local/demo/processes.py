"""The demo's own two processes beside the services: the agent and the Stripe simulator."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from local.environment import scrubbed
from local.services.program import Program

ANSWER_SECONDS = 10.0


class AgentProcess(Program):
    """``python -m agent run``, with its journal in ``folder``; ready when it has looked at every source.

    Parameters
    ----------
    settings
        The agent's environment, without ``JOURNAL_PATH`` and ``HEALTH_ADDRESS``.
    sources
        The sources that must have been read once before it counts as started.
    """

    name = "agent"
    ready_within_seconds = 60.0
    stop_within_seconds = 20.0

    def __init__(self, folder: Path, settings: Mapping[str, str], sources: Sequence[str]) -> None:
        super().__init__(folder)
        self._settings = dict(settings)
        self._sources = frozenset(sources)

    def health(self) -> dict[str, Any]:
        """What ``/healthz`` says."""
        answer: dict[str, Any] = httpx.get(self._url("/healthz"), timeout=ANSWER_SECONDS).json()
        return answer

    def open_amounts(self) -> dict[str, int]:
        """What the open hour has counted so far, by metric."""
        prefix = "zemfyre_agent_hour_amount{metric="
        lines = httpx.get(self._url("/metrics"), timeout=ANSWER_SECONDS).text.splitlines()
        rows = (line.removeprefix(prefix).split("} ") for line in lines if line.startswith(prefix))
        return {metric.strip('"'): int(float(value)) for metric, value in rows}

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _prepare(self) -> None:
        """Nothing to write: the settings travel in the environment."""

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-m", "agent", "run"]

    def _environment(self) -> dict[str, str]:
        own = {
            "JOURNAL_PATH": str(self.folder / "journal.sqlite3"),
            "HEALTH_ADDRESS": f"127.0.0.1:{self.port}",
        }
        return scrubbed(self._settings | own)

    def _answers(self) -> bool:
        try:
            sources = self.health()["sources"]
        except httpx.TransportError:
            return False
        return all(sources.get(name, {}).get("status") == "ok" for name in self._sources)


class SimulatorProcess(Program):
    """The Stripe simulator."""

    name = "stripe-simulator"

    @property
    def url(self) -> str:
        """Where the Stripe SDK finds it."""
        return f"http://127.0.0.1:{self.port}"

    def _prepare(self) -> None:
        """It keeps everything in memory."""

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-m", "stripe_simulator", "--port", str(self.port)]

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, timeout=ANSWER_SECONDS).is_success
        except httpx.TransportError:
            return False
