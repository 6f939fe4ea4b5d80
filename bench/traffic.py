"""What a customer's instances use and report in the simulated year."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from metering.core.instants import HOUR, format_instant

LATE_ONE_IN = 100
LOST_ONE_IN = 500


@dataclass(frozen=True, slots=True)
class Delivery:
    """A report's bytes, who sends them, when they arrive, and whether that is late."""

    body: bytes
    instance: str
    arrives: datetime
    late: bool


@dataclass
class Traffic:
    """The instances of one customer; amounts vary by the hour of the day and by chance."""

    customer: str
    instances: Sequence[str]
    chance: random.Random

    def of_hour(self, hour: datetime) -> Iterator[Delivery]:
        """Yield the hour's final reports: one of each instance, two where its journal was lost on the way."""
        for instance in self.instances:
            spans = [(0, 3600)]
            if self.chance.randrange(LOST_ONE_IN) == 0:
                cut = self.chance.randrange(60, 3540)
                spans = [(0, cut), (cut, 3600)]
            for number, span in enumerate(spans):
                late = self.chance.randrange(LATE_ONE_IN) == 0
                delay = timedelta(hours=self.chance.randrange(24, 40 * 24) if late else 0)
                body = json.dumps(self._report(hour, instance, f"journal-{number}", span)).encode()
                yield Delivery(body, instance, hour + HOUR + delay, late)

    def _report(self, hour: datetime, instance: str, state: str, span: tuple[int, int]) -> dict[str, Any]:
        covered = span[1] - span[0]
        busy = 3 if 8 <= hour.hour < 18 else 1  # noqa: PLR2004  office hours
        devices = 5 + self.chance.randrange(20)
        stored = 2**30 + self.chance.randrange(2**32)
        return {
            "schema_version": 1,
            "customer_id": self.customer,
            "instance_id": instance,
            "window_start": format_instant(hour),
            "state_id": state,
            "revision": 1,
            "final": span[1] == 3600,  # noqa: PLR2004  the hour's end
            "observed_from": format_instant(hour + timedelta(seconds=span[0])),
            "observed_until": format_instant(hour + timedelta(seconds=span[1])),
            "agent_version": "1.0.0",
            "counters": {
                "mqtt_bytes_sent": self.chance.randrange(2**25) * busy,
                "mqtt_bytes_received": self.chance.randrange(2**24) * busy,
                "http_bytes_sent": self.chance.randrange(2**24) * busy,
                "http_requests": self.chance.randrange(300) * busy,
            },
            "gauges": {
                "active_devices": _level(devices, covered),
                "postgres_size_bytes": _level(stored, covered),
            },
            "sources": {"mqtt": {"status": "ok", "covered_seconds": covered}},
        }


def _level(value: int, seconds: int) -> dict[str, int]:
    return {"last": value, "max": value, "integral": value * seconds, "seconds": seconds}
