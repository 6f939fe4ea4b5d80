"""The collectors of the sources that the settings enable; only their libraries are imported.

Source: docs/agent-design.md#collectors.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from agent.collectors.registry import SOURCES
from agent.engine.clock import Clock
from agent.engine.hour import AGENT
from agent.engine.observation import Collector, Moment
from agent.poller import NAME
from agent.settings import Settings, SettingsError

type _Factory = Callable[[Any, Callable[[], Moment], int], Collector]


class TwoSourcesError(ValueError):
    """Two enabled sources fill the same metrics; one of them has to be switched off."""

    def __init__(self, first: str, second: str, metrics: frozenset[str]) -> None:
        super().__init__(f"{first} and {second} both count {', '.join(sorted(metrics))}; enable one of them")
        self.metrics = metrics


def enabled_collectors(settings: Settings, clock: Clock) -> list[Collector]:
    """The collectors of every source that the settings enable.

    Raises
    ------
    SettingsError
        When two of them fill one metric, or one cannot be made.
    """
    try:
        made = enabled(settings, clock.moment)
    except (ValueError, ImportError, AttributeError) as error:
        raise SettingsError([f"sources: {error}"]) from error
    bad = [source.name for source in made if source.name == AGENT or not NAME.fullmatch(source.name)]
    if bad:
        raise SettingsError([f"sources: {name!r} is no name for a source; rename it" for name in bad])
    return made


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
        _load(source.collector)(section, now, settings.poll_seconds)
        for source in SOURCES
        if (section := settings.section(source.section)) is not None
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
