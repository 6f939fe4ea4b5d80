"""A report larger than the service takes is trimmed: what can be billed stays, what goes is said."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.engine.observation import Observation, Series, SourceIdentity
from agent.engine.reading import Failure
from metering.core.contract import MAX_REPORT_BYTES, Report
from metering.core.metrics import COUNTERS, GAUGES
from tests.agent.world import NOON, Instance, Machine

NAMES = [f"plugin_figure_with_quite_a_long_name_{number:04}" for number in range(1500)]
LARGE = 2**62


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with Instance(tmp_path / "journal", Machine(NOON + timedelta(minutes=10))) as made:
        made.learn_the_time()
        yield made


def look(instance: Instance, names: list[str], total: int, level: int = 3) -> None:
    """A plug-in's figures a quarter of a minute later, the registry's among them."""
    instance.machine.wait(15)
    identity = SourceIdentity(exact="one")
    totals = {Series(name): total for name in [*names, *sorted(COUNTERS)]}
    observation = Observation(
        instance.machine.moment(), identity, totals, dict.fromkeys(sorted(GAUGES), level)
    )
    instance.look(observation)


def built(instance: Instance) -> tuple[Report, int]:
    """The next revision, delivered, and its size in bytes."""
    instance.journal.build()
    frozen = instance.frozen()
    assert frozen is not None
    instance.journal.delivered(frozen, instance.machine.moment())
    return Report.model_validate_json(frozen.body), len(frozen.body)


def plugin_figures(report: Report) -> list[str]:
    """What it carries beyond the registry."""
    return sorted(report.counters.keys() - COUNTERS)


def test_a_report_over_64_kib_keeps_all_that_can_be_billed_and_says_so(instance: Instance) -> None:
    """Every metric of the registry stays, of the others the first by name; the flag is on agent and page."""
    look(instance, NAMES, 0)
    look(instance, NAMES, 12_345_678_901_234)
    report, size = built(instance)

    assert size <= MAX_REPORT_BYTES
    assert COUNTERS <= report.counters.keys()
    assert GAUGES <= report.gauges.keys()
    assert NAMES[: len(plugin_figures(report))] == plugin_figures(report)
    assert 400 < len(plugin_figures(report)) < len(NAMES)
    assert ("report_trimmed",) == report.sources["agent"].flags
    assert "report_trimmed" in instance.journal.snapshot()[3]


def test_every_later_revision_of_the_hour_carries_the_same_figures(instance: Instance) -> None:
    """Neither longer figures nor new names, nor a restart, take away what a revision has carried."""
    look(instance, NAMES, 0, 0)
    look(instance, NAMES, 12_345_678_901_234, 0)
    first, _ = built(instance)
    look(instance, ["a_new_one", *NAMES], LARGE, LARGE)
    instance.restart()
    look(instance, NAMES, LARGE, LARGE)
    later, size = built(instance)
    instance.live(3600)
    final, _ = built(instance)

    assert size <= MAX_REPORT_BYTES
    assert [plugin_figures(first)] * 2 == [plugin_figures(later), plugin_figures(final)]
    assert [1, 2, 3] == [report.revision for report in (first, later, final)]
    assert LARGE == later.counters["http_requests"]
    assert final.final


def test_an_hour_that_fits_is_whole_and_ends_the_alarm(instance: Instance) -> None:
    """Trimming is an hour's own: the next one, with fewer figures, leaves out none."""
    look(instance, NAMES, 0)
    look(instance, NAMES, 5)
    built(instance)
    instance.live(3600)
    built(instance)
    look(instance, NAMES[:700], 9)
    report, _ = built(instance)

    assert NAMES[:700] == plugin_figures(report)
    assert "agent" not in report.sources
    assert frozenset() == instance.journal.snapshot()[3]


def test_sources_that_say_too_much_say_less(instance: Instance) -> None:
    """Long details of many sources never cost a figure of the registry."""
    look(instance, [], 0)
    look(instance, [], 7)
    failures = [Failure(f"plugin_{number:03}", "unreachable", "\u20ac" * 200) for number in range(400)]
    instance.look(failures=failures)
    report, size = built(instance)

    assert size <= MAX_REPORT_BYTES
    assert COUNTERS <= report.counters.keys()
    assert {"agent", "http"} <= report.sources.keys()
    assert ("report_trimmed",) == report.sources["agent"].flags
