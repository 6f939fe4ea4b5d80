"""Sources for the agent's own process in tests, named in its configuration file (``[source.<name>]``)."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.engine.observation import Moment, Observation, Series, SourceError, SourceIdentity, valid_for

REQUESTS = "http_requests"


class FileCounter:
    """Reads the totals that a test writes to a file: ``{"life": …, "total": …, "devices": …}``."""

    name = "counter"
    metrics = frozenset({REQUESTS, "active_devices"})

    def __init__(self, options: Mapping[str, Any], now: Callable[[], Moment], poll_seconds: int) -> None:
        self.valid_for_seconds = valid_for(poll_seconds)
        self._path = Path(options["path"])
        self._now = now

    def collect(self) -> Observation:
        at = self._now()
        try:
            shown = json.loads(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise SourceError("unreachable", str(error)) from error
        return Observation(
            at, SourceIdentity(exact=shown["life"]), {Series(REQUESTS): shown["total"]}, {"active_devices": 3}
        )

    def close(self) -> dict[Series, int]:
        """Nothing is kept open."""
        return {}


class Hanging(FileCounter):
    """Never answers."""

    name = "hanging"
    metrics = frozenset({"mqtt_connections"})

    def collect(self) -> Observation:
        while True:
            time.sleep(60)


class Broken(FileCounter):
    """Fails in a way that its author did not foresee."""

    name = "broken"
    metrics = frozenset({"postgres_rows"})

    def collect(self) -> Observation:
        raise ZeroDivisionError("a bug of the collector")


class Nameless(FileCounter):
    """Has a name that no report can carry."""

    name = "Has Blanks"


class Rival(FileCounter):
    """Fills a metric that another source fills, too."""

    name = "rival"
