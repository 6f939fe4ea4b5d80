"""A report that would be larger than the service takes is trimmed: never split, what can be billed stays.

A second report of one hour would replace the first. Pure. The metrics of the registry always stay; of the
others those that come first by name, as many as fit when every figure has all its digits, so that no later
revision of the hour has to leave out one that an earlier one carried. Source:
docs/agent-design.md#the-journal.
"""

from collections.abc import Collection

from agent.engine.hour import AGENT
from metering.core.contract import MAX_REPORT_BYTES, Gauge, Report, Source, canonical_json
from metering.core.instants import HOUR_SECONDS
from metering.core.metrics import COUNTERS, GAUGES

TRIMMED = "report_trimmed"
_SOURCES_BYTES = 16 * 1024
"""Room for what the sources say; beyond it they say less."""
_FRAME_BYTES = 1024
"""Room for the fields that every report has: ids, instants and versions of their greatest length."""
_WIDEST = 2**63 - 1


def trimmed(report: Report, kept: Collection[str]) -> Report:
    """The report with the registry's figures and these others, and sources that say no more than fits."""
    return report.model_copy(
        update={
            "counters": {m: v for m, v in report.counters.items() if m in COUNTERS or m in kept},
            "gauges": {m: v for m, v in report.gauges.items() if m in GAUGES or m in kept},
            "sources": _shortened(report.sources),
        }
    )


def fitting(report: Report) -> list[str]:
    """The figures outside the registry that every revision of the report's hour has room for, by name."""
    widest = Gauge(last=_WIDEST, max=_WIDEST, integral=_WIDEST * HOUR_SECONDS, seconds=HOUR_SECONDS)
    gauge = widest.model_dump()
    room = MAX_REPORT_BYTES - _FRAME_BYTES - _SOURCES_BYTES
    room -= sum(_size(metric, _WIDEST) for metric in COUNTERS)
    room -= sum(_size(metric, gauge) for metric in GAUGES)
    names = []
    for metric in report.unknown_metrics():
        room -= _size(metric, _WIDEST) if metric in report.counters else 0
        room -= _size(metric, gauge) if metric in report.gauges else 0
        if room < 0:
            break
        names.append(metric)
    return names


def _size(name: str, value: object) -> int:
    """The bytes that a name and its value take in an object, the comma included."""
    return len(canonical_json({name: value})) - 1


def _shortened(sources: dict[str, Source]) -> dict[str, Source]:
    """Sources without their details, then without flags, then fewer, until they fit; the agent's own last."""
    said = dict(sources)
    for silent in ({"detail": None}, {"flags": ()}):
        if _length(said) > _SOURCES_BYTES:
            said = {
                name: source if name == AGENT else source.model_copy(update=silent)
                for name, source in said.items()
            }
    others = sorted(said.keys() - {AGENT})
    while _length(said) > _SOURCES_BYTES:
        del said[others.pop()]
    return said


def _length(sources: dict[str, Source]) -> int:
    whole = {name: source.model_dump(mode="json", exclude_defaults=True) for name, source in sources.items()}
    return len(canonical_json(whole))
