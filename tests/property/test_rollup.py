"""Rollup under random histories: order and repetition change nothing, and nothing is lost or made up."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from metering.core.contract import Report
from metering.core.rollup import rollup
from testing.reports import HOUR, gauge, report, source

COUNTERS = ("http_requests", "mqtt_bytes_sent", "lora_frames")
GAUGES = ("active_devices", "postgres_size_bytes")
amounts = st.one_of(st.integers(0, 5), st.integers(0, 2**63 - 1))
# Few distinct bounds, so that spans touch, nest and overlap by about a minute, or by a quarter, often.
seconds = st.one_of(
    st.sampled_from((0, 15, 20, 59, 60, 61, 75, 1800, 1859, 1860, 3540, 3600)), st.integers(0, 3600)
)
levels = st.builds(
    gauge, st.integers(0, 9), st.integers(0, 9), st.integers(0, 30), st.sampled_from((0, 1, 3600))
)

coverages = st.builds(lambda covered: source(covered_seconds=covered), st.sampled_from((0, 60, 3600)))


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Draw a report of one of three instances' journals; its content is free, its revision small."""
    start, end = sorted((draw(seconds), draw(seconds)))
    return report(
        span=(start, end),
        instance_id=draw(st.sampled_from(("one", "two"))),
        state_id=draw(st.sampled_from("abcdefgh")),
        revision=draw(st.integers(1, 4)),
        final=draw(st.booleans()),
        counters=draw(st.dictionaries(st.sampled_from(COUNTERS), amounts)),
        gauges=draw(st.dictionaries(st.sampled_from(GAUGES), levels)),
        sources=draw(st.dictionaries(st.sampled_from(("mqtt", "http")), coverages)),
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


histories = st.lists(reports(), max_size=10, unique_by=lambda r: (*key_of(r), r.revision))


@given(histories, st.data())
def test_order_and_repetition_change_nothing(built: list[Report], data: st.DataObject) -> None:
    """Any order and repetition of the same deliveries ends in the same hour."""
    again = data.draw(st.lists(st.sampled_from(built), max_size=8)) if built else []
    deliveries = data.draw(st.permutations([*built, *again]))
    assert repr(rollup(HOUR, kept(built))) == repr(rollup(HOUR, kept(deliveries)))


def conflicting(one: Report, other: Report) -> bool:
    """Tell whether two journals share a minute, or a quarter of the shorter span (decision 15)."""
    seconds, others = set(_seconds(one)), set(_seconds(other))
    shared = len(seconds & others)
    return bool(shared) and (shared >= 60 or 4 * shared >= min(len(seconds), len(others)))


def _seconds(one: Report) -> range:
    """The seconds of the hour that a journal observed."""
    return range(
        round((one.observed_from - HOUR).total_seconds()), round((one.observed_until - HOUR).total_seconds())
    )


def free_sets(ours: list[Report]) -> list[list[Report]]:
    """Return every set of journals of which no two conflict, the plain way: all that there are."""
    found: list[list[Report]] = [[]]
    for one in ours:
        found += [[*free, one] for free in found if not any(conflicting(one, other) for other in free)]
    return found


def best(ours: list[Report], weights: dict[str, tuple[int, int]]) -> list[Report]:
    """Return the set that counts: most, over most seconds, of the earliest; in the order of their ends."""
    told = [one for one in ours if one.state_id in weights]

    def order(free: list[Report]) -> tuple[int, int, list[tuple[datetime, datetime, str]]]:
        amounts, over = (sum(weights[one.state_id][n] for one in free) for n in (0, 1))
        keys = sorted((one.observed_from, one.observed_until, one.state_id) for one in free)
        # A set that goes on where another ends comes before it: what was told counts.
        return -amounts, -over, [*keys, (HOUR.replace(year=9999), HOUR, "")]

    apart = [one for one in told if not _seconds(one)]
    chosen = [*min(free_sets([one for one in told if _seconds(one)]), key=order), *apart]
    return sorted(chosen, key=lambda one: (one.observed_until, one.observed_from, one.state_id))


@given(histories)
def test_effective_reports_add_up_to_the_hour(built: list[Report]) -> None:
    """Σ effective reports = the hour, for every metric: the best of all sets that saw nothing together."""
    newest = kept(built)
    counters: dict[str, int] = defaultdict(int)
    levels: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    covered: dict[str, int] = defaultdict(int)
    flags = set()
    for instance in {r.instance_id for r in newest}:
        ours = [r for r in newest if r.instance_id == instance]
        if any(conflicting(one, other) for one, other in combinations(ours, 2)):
            flags.add("overlap")
        for name in {name for r in ours for name in r.counters}:
            told = {r.state_id: (r.counters[name], len(_seconds(r))) for r in ours if name in r.counters}
            amount = sum(r.counters[name] for r in best(ours, told))
            counters[name] += amount
            if amount < sum(weight for weight, _ in told.values()):
                flags.add(f"left_out:{name}")
        for name in {name for r in ours for name in r.gauges}:
            having = [r for r in ours if name in r.gauges]
            told = {r.state_id: (r.gauges[name].integral, r.gauges[name].seconds) for r in having}
            chosen = [r.gauges[name] for r in best(ours, told)]
            integral = sum(gauge.integral for gauge in chosen)
            parts = (
                chosen[-1].last,
                max(r.gauges[name].max for r in having),
                integral,
                min(3600, sum(gauge.seconds for gauge in chosen)),
            )
            levels[name] = [a + b for a, b in zip(levels[name], parts, strict=True)]
            if integral < sum(weight for weight, _ in told.values()):
                flags.add(f"left_out:{name}")
        for name in {name for r in ours for name in r.sources}:
            told = {
                r.state_id: (r.sources[name].covered_seconds, len(_seconds(r)))
                for r in ours
                if name in r.sources
            }
            covered[name] += min(3600, sum(told[r.state_id][0] for r in best(ours, told)))
    hour = rollup(HOUR, newest)
    assert counters == hour.counters
    assert levels == {name: [g.last, g.max, g.integral, g.seconds] for name, g in hour.gauges.items()}
    assert covered == {name: coverage.covered_seconds for name, coverage in hour.sources.items()}
    assert flags == hour.flags
    assert len({r.instance_id for r in newest}) == hour.instances


@given(histories)
def test_an_hour_of_the_first_rule_is_made_again_as_it_was(built: list[Report]) -> None:
    """By the first rule a group of journals that overlap counts once: the greatest, added over groups."""
    newest = kept(built)
    counters: dict[str, int] = defaultdict(int)
    for instance in {r.instance_id for r in newest}:
        for group in groups([r for r in newest if r.instance_id == instance]):
            for name in {name for r in group for name in r.counters}:
                counters[name] += max(r.counters[name] for r in group if name in r.counters)
    assert counters == rollup(HOUR, newest, version=1).counters


def overlapping(one: Report, other: Report) -> bool:
    """Tell whether two journals share a minute, or all of the shorter span (decision 7)."""
    shared = set(_seconds(one)) & set(_seconds(other))
    return len(shared) >= min(60, len(_seconds(one)) or 60, len(_seconds(other)) or 60)


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


@given(histories, reports())
def test_every_stored_change_raises_computed_from(built: list[Report], late: Report) -> None:
    """A report that the table takes raises ``computed_from``; a refused one leaves the hour as it is."""
    before = rollup(HOUR, kept(built))
    after = rollup(HOUR, kept([*built, late]))
    taken = kept(built) != kept([*built, late])
    assert taken == (after.computed_from > before.computed_from)
    assert taken or repr(before) == repr(after)
