"""The registry of sources: one line each; a source's library is imported only when it is enabled.

To add a source: one module with a `agent.engine.observation.Collector`, one line here, one section in
`agent.settings`, one test against the real service.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from agent.engine.observation import Collector, Moment
from agent.settings import Settings

_SOURCES: dict[str, str] = {
    "mosquitto": "agent.collectors.mosquitto.collector:MosquittoCollector",
    "postgres": "agent.collectors.postgres.collector:PostgresCollector",
}
"""Section of the settings → the collector that takes it, the clock, and the distance of two looks."""
type _Factory = Callable[[Any, Callable[[], Moment], int], Collector]


class TwoSourcesError(ValueError):
    """Two enabled sources fill the same metrics; one of them has to be switched off."""

    def __init__(self, first: str, second: str, metrics: frozenset[str]) -> None:
        super().__init__(f"{first} and {second} both count {', '.join(sorted(metrics))}; enable one of them")
        self.metrics = metrics


def enabled(settings: Settings, now: Callable[[], Moment]) -> list[Collector]:
    """A collector for each source that the settings enable, those of other packages included.

    Nothing is connected yet; the first `collect` does that.

    Raises
    ------
    TwoSourcesError
        Two sources have a metric or their name in common.
    ImportError, AttributeError
        A ``factory`` of the settings does not exist.
    """
    collectors: list[Collector] = [
        _load(factory)(section, now, settings.poll_seconds)
        for name, factory in _SOURCES.items()
        if (section := getattr(settings, name)) is not None
    ]
    collectors += [
        _load(plugin.factory)(plugin.options(), now, settings.poll_seconds)
        for plugin in settings.source.values()
    ]
    _refuse_overlaps(collectors)
    return collectors


def _load(factory: str) -> _Factory:
    module, _, name = factory.partition(":")
    made: _Factory = getattr(import_module(module), name)
    return made


def _refuse_overlaps(collectors: list[Collector]) -> None:
    for index, first in enumerate(collectors):
        for second in collectors[index + 1 :]:
            common = first.metrics & second.metrics
            if common or first.name == second.name:
                raise TwoSourcesError(first.name, second.name, common or frozenset({first.name}))
