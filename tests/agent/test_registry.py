"""The registry of sources: what the settings enable, and nothing else."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.engine.observation import Collector, Moment, Observation, Series, valid_for
from agent.settings import Settings, checked
from agent.sources import TwoSourcesError, enabled
from local.environment import scrubbed
from tests.agent.world import NOON, Instance, Machine


class Plugin:
    """A source from outside the package: tells back the options it was made with."""

    def __init__(self, options: dict[str, str], now: Callable[[], Moment], poll_seconds: int) -> None:
        self.valid_for_seconds = valid_for(poll_seconds)
        self.name = options["name"]
        self.metrics = frozenset({options["metric"]})
        self._now = now

    def collect(self) -> Observation:
        """A level of 1."""
        return Observation(self._now(), None, gauges=dict.fromkeys(self.metrics, 1))

    def close(self) -> dict[Series, int]:
        """Nothing to give back."""
        return {}


def settings(**sections: object) -> Settings:
    """Settings with these sources only."""
    return checked(sections)


def plugin(name: str, metric: str) -> dict[str, str]:
    """A plugin's table in the configuration."""
    return {"factory": f"{__name__}:Plugin", "name": name, "metric": metric}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes this file importable by its name, as an installed plugin's module is."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Plugin.__module__])


def test_a_source_without_settings_is_not_made(moment: Callable[[], Moment]) -> None:
    """Enabling a source is giving it settings."""
    made = enabled(settings(mosquitto={"host": "127.0.0.1"}), moment)

    assert [collector.name for collector in made] == ["mqtt"]


def test_a_library_is_loaded_only_for_an_enabled_source() -> None:
    """An agent that reads the broker alone does not pay the memory of PostgreSQL's library."""
    program = (
        "import sys; from agent.sources import enabled; from agent.settings import load;"
        "from agent.engine.clock import MachineClock;"
        "enabled(load({'MQTT_HOST': '127.0.0.1'}), MachineClock().moment);"
        "print('paho' in sys.modules, 'psycopg' in sys.modules)"
    )

    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=scrubbed({})
    ).stdout

    assert printed.split() == ["True", "False"]


def test_an_agent_without_sources_loads_no_library_of_any() -> None:
    """The settings of every source are known, and none of their libraries is paid for."""
    program = (
        "import sys; import agent.run, agent.console; from agent.settings import load; load({});"
        "print('paho' in sys.modules, 'psycopg' in sys.modules, 'httpx' in sys.modules)"
    )

    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=scrubbed({})
    ).stdout

    assert printed.split() == ["False", "False", "False"]


def test_a_source_of_another_package_is_made_by_its_factory(moment: Callable[[], Moment]) -> None:
    """A table in the configuration is enough for a source that this package does not know."""
    made: list[Collector] = enabled(settings(source={"lamps": plugin("lamps", "lamps_lit")}), moment)

    assert made[0].collect().gauges == {"lamps_lit": 1}


@pytest.mark.parametrize("poll", [1, 15, 60, 300])
def test_a_level_fills_its_hour_at_every_distance_of_looks(
    moment: Callable[[], Moment], tmp_path: Path, poll: int
) -> None:
    """10 devices seen every `poll` seconds for an hour are 36,000 device-seconds in 3,600 s."""
    both = settings(poll_seconds=poll, mosquitto={"host": "127.0.0.1"}, postgres={"dsn": "host=127.0.0.1"})
    machine = Machine(NOON)
    for collector in enabled(both, moment):
        held = Instance(
            tmp_path / collector.name,
            machine.twin(),
            valid_for=collector.valid_for_seconds,
            longest_tick=3 * poll + 10,
        )
        with held as instance:
            instance.learn_the_time()
            for _ in range(0, 3600, max(poll, 15)):
                instance.look(Observation(instance.machine.moment(), None, gauges={"active_devices": 10}))
                instance.machine.wait(max(poll, 15))
            instance.look()
            gauge = instance.drain()[0].gauges["active_devices"]
        assert (36_000, 3_600) == (gauge.integral, gauge.seconds)


@pytest.mark.parametrize(("name", "metric"), [("lamps", "postgres_rows"), ("postgres", "lamps_lit")])
def test_two_sources_for_one_field_are_refused(moment: Callable[[], Moment], name: str, metric: str) -> None:
    """A metric that two sources count, or a name that two carry, would be billed twice."""
    both = settings(postgres={"dsn": "host=127.0.0.1"}, source={"lamps": plugin(name, metric)})

    with pytest.raises(TwoSourcesError, match="enable one of them"):
        enabled(both, moment)
