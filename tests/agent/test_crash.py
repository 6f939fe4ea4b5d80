"""Killed at any moment, the real agent counts nothing twice and loses nothing that its source remembers."""

import random
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from testing.waiting import wait_for
from tests.agent.process import Agent, Source
from tests.agent.service import Service

KILLS = 8
BEGIN = datetime(2026, 11, 22, 12, 59, 0, tzinfo=UTC)


class FastClock:
    """A service's clock that jumps to the next hour on demand; the agent follows its answers."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.offset = timedelta(0)

    def __call__(self) -> datetime:
        return BEGIN + self.offset + timedelta(seconds=time.monotonic() - self._begun)


def test_killed_at_random_moments_every_request_is_billed_once(tmp_path: Path) -> None:
    """After 8 kills at random moments the hours have no gap and bill exactly what the source counted."""
    source = Source(tmp_path / "counter.json")
    clock = FastClock()
    stopped = threading.Event()
    random.seed(20261122)

    def use() -> None:
        while not stopped.wait(0.01):
            source.grow(random.randint(0, 9))

    with Service(clock) as service, Agent(tmp_path, service.url, "FileCounter") as agent:
        wait_for(lambda: service.hours(final=False) != [], "the first report")
        wait_for(lambda: "http_requests" in _counters(service), "the baseline")
        baseline = source.total
        user = threading.Thread(target=use)
        user.start()
        for kill in range(KILLS):
            wait_for(partial(_asked_since, service, len(service.requests)), "a request")
            time.sleep(random.random())
            agent.kill()
            if kill % 3 == 1:
                clock.offset += timedelta(hours=1)
            agent.start()
        stopped.set()
        user.join()
        truth = source.total - baseline
        wait_for(lambda: service.billed() >= truth, "the last amounts")
        clock.offset += timedelta(hours=1)
        last = clock().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
        wait_for(lambda: last in service.hours(), "the last hour's final report")
        assert truth == service.billed()
        first = BEGIN.replace(minute=0)
        assert [first + n * timedelta(hours=1) for n in range(len(service.hours()))] == service.hours()
        assert 1 == len({state for _, state in service.stored})
        assert 0 == agent.stop()


def _asked_since(service: Service, requests: int) -> bool:
    return len(service.requests) > requests


def _counters(service: Service) -> set[str]:
    return {metric for report in service.stored.values() for metric in report.counters}
