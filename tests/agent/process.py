"""The real agent as a process of its own: ``python -m agent``, its configuration and its life."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.agent.service import KEY

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 30.0


class Source:
    """The file behind `tests.agent.plugin.FileCounter`."""

    def __init__(self, path: Path, total: int = 1000) -> None:
        self.path = path
        self.total = total
        self.grow(0)

    def grow(self, amount: int) -> None:
        """Count; the reader sees the old total or the new one, never half of one."""
        self.total += amount
        written = self.path.with_suffix(".new")
        written.write_text(json.dumps({"life": "one", "total": self.total}), encoding="ascii")
        written.replace(self.path)


class Agent:
    """An agent's configuration in a folder, and its process while it runs."""

    def __init__(self, folder: Path, url: str | None, *sources: str, **more: str) -> None:
        config = folder / "agent.toml"
        config.write_text(
            "\n".join(
                f'[source.{name.lower()}]\nfactory = "tests.agent.plugin:{name}"\n'
                f'path = "{folder / "counter.json"}"'
                for name in sources
            ),
            encoding="utf-8",
        )
        self.journal = folder / "journal"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "AGENT_CONFIG": str(config),
            "CUSTOMER_ID": "cust_1",
            "JOURNAL_PATH": str(self.journal),
            "HEALTH_ADDRESS": "off",
            "POLL_SECONDS": "1",
            "REPORT_EVERY_SECONDS": "1",
            "INSTANCE_KEY": KEY,
            **({"BILLING_API_URL": url} if url else {}),
            **more,
        }
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent", "run"], env=self.environment, stderr=log, cwd=ROOT
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(DEADLINE_SECONDS)
        self._process = None
        return status

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """One of the short commands, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "agent", command],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


def page(port: int, path: str) -> tuple[int, str]:
    """Status and text of one of the health page's addresses; status 0 while nobody listens."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def health(port: int) -> dict[str, Any]:
    """The health page's body."""
    said: dict[str, Any] = json.loads(page(port, "/healthz")[1] or "{}")
    return said
