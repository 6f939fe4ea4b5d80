"""Rollup under random histories: order and repetition change nothing, and nothing is lost or made up."""

from collections import defaultdict
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from metering.core.contract import Report
from metering.core.rollup import rollup
from testing.reports import HOUR, gauge, report

COUNTERS = ("http_requests", "mqtt_bytes_sent", "lora_frames")
GAUGES = ("active_devices", "postgres_size_bytes")
amounts = st.one_of(st.integers(0, 5), st.integers(0, 2**63 - 1))
# Few distinct bounds, so that spans touch, nest and overlap by about a minute often.
seconds = st.one_of(st.sampled_from((0, 59, 60, 61, 1800, 1859, 1860, 3540, 3600)), st.integers(0, 3600))
levels = st.builds(
    gauge, st.integers(0, 9), st.integers(0, 9), st.integers(0, 30), st.sampled_from((0, 1, 3600))
)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Draw a report of one of three instances' journals; its content is free, its revision small."""
    start, end = sorted((draw(seconds), draw(seconds)))
    return report(
        span=(start, end),
        instance_id=draw(st.sampled_from(("one", "two"))),
        state_id=draw(st.sampled_from("abcd")),
        revision=draw(st.integers(1, 4)),
        final=draw(st.booleans()),
        counters=draw(st.dictionaries(st.sampled_from(COUNTERS), amounts)),
        gauges=draw(st.dictionaries(st.sampled_from(GAUGES), levels)),
    )


def key_of(given_report: Report) -> tuple[str, str]:
    """Return the journal that a report is of."""
    return given_report.instance_id, given_report.state_id


def kept(deliveries: Iterable[Report]) -> list[Report]:
    """Keep what the Reports table keeps: each journal's highest revision, the first of equal ones."""
    table: dict[tuple[str, str], Report] = {}
    for delivered in deliveries:
        held = table.get(key_of(delivered))
        if held is None or held.revision < delivered.revision:
            table[key_of(delivered)] = delivered
    return list(table.values())


histories = st.lists(reports(), max_size=8, unique_by=lambda r: (*key_of(r), r.revision))


@given(histories, st.data())
def test_order_and_repetition_change_nothing(built: list[Report], data: st.DataObject) -> None:
    """Any order and repetition of the same deliveries ends in the same hour."""
    again = data.draw(st.lists(st.sampled_from(built), max_size=8)) if built else []
    deliveries = data.draw(st.permutations([*built, *again]))
    assert repr(rollup(HOUR, kept(built))) == repr(rollup(HOUR, kept(deliveries)))


def overlapping(one: Report, other: Report) -> bool:
    """Tell whether two journals share a minute, or all of the shorter span (decision 7)."""
    shared = set(_seconds(one)) & set(_seconds(other))
    return len(shared) >= min(60, len(_seconds(one)) or 60, len(_seconds(other)) or 60)


def _seconds(one: Report) -> range:
    """The seconds of the hour that a journal observed."""
    return range(
        round((one.observed_from - HOUR).total_seconds()), round((one.observed_until - HOUR).total_seconds())
    )


def groups(ours: list[Report]) -> list[list[Report]]:
    """Part an instance's reports into groups that overlap, the plain way: spread from one to the next."""
    left, found = list(ours), []
    while left:
        group = [left.pop()]
        for member in group:
            near = [other for other in left if overlapping(member, other)]
            group += near
            left = [other for other in left if other not in near]
        found.append(group)
    return found


@given(histories)
def test_effective_reports_add_up_to_the_hour(built: list[Report]) -> None:
    """Σ effective reports = the hour, for every metric: the greatest of each group, added over groups."""
    newest = kept(built)
    counters: dict[str, int] = defaultdict(int)
    integrals: dict[str, int] = defaultdict(int)
    overlap = False
    for instance in {r.instance_id for r in newest}:
        for group in groups([r for r in newest if r.instance_id == instance]):
            overlap |= len(group) > 1
            for name in {name for r in group for name in r.counters}:
                counters[name] += max(r.counters[name] for r in group if name in r.counters)
            for name in {name for r in group for name in r.gauges}:
                integrals[name] += max(r.gauges[name].integral for r in group if name in r.gauges)
    hour = rollup(HOUR, newest)
    assert counters == hour.counters
    assert integrals == {name: level.integral for name, level in hour.gauges.items()}
    assert ({"overlap"} if overlap else set()) == hour.flags
    assert len({r.instance_id for r in newest}) == hour.instances


@given(histories, reports())
def test_every_stored_change_raises_computed_from(built: list[Report], late: Report) -> None:
    """A report that the table takes raises ``computed_from``; a refused one leaves the hour as it is."""
    before = rollup(HOUR, kept(built))
    after = rollup(HOUR, kept([*built, late]))
    taken = kept(built) != kept([*built, late])
    assert taken == (after.computed_from > before.computed_from)
    assert taken or repr(before) == repr(after)
