"""Reports of one hour become the hour: journals side by side, overlaps once, instances summed."""

from itertools import permutations
from typing import Any

import pytest

from metering.core.contract import Report
from metering.core.rollup import Coverage, Level, rollup
from testing.reports import HOUR, gauge, report, source

SAID = {"overlap", "left_out:http_requests"}
"""The flags of an hour in which requests that some journal counted were left out."""


def journal(state_id: str, span: tuple[int, int], requests: int = 0, **changes: Any) -> Report:
    """Return one journal's report of a part of the hour."""
    return report(
        span=span,
        **{"state_id": state_id, "counters": {"http_requests": requests}, "sources": {}} | changes,
    )


def test_one_report_is_the_hour() -> None:
    """One report's amounts, levels and sources are the hour's, unchanged."""
    hour = rollup(
        HOUR,
        [
            report(
                revision=7,
                final=True,
                counters={"http_requests": 42},
                gauges={"active_devices": gauge(12, 13, 25320, 2110)},
                sources={"mqtt": source(covered_seconds=2110)},
            )
        ],
    )
    assert {"http_requests": 42} == hour.counters
    assert {"active_devices": Level(last=12, max=13, integral=25320, seconds=2110)} == hour.gauges
    assert {"mqtt": Coverage(2110, 1)} == hour.sources
    assert (7, 1, 1, frozenset()) == (hour.computed_from, hour.instances, hour.final, hour.flags)


def test_no_reports() -> None:
    """An hour without reports has no instance, and is computed from nothing."""
    hour = rollup(HOUR, [])
    assert (0, 0, {}, {}) == (hour.instances, hour.computed_from, hour.counters, hour.gauges)


def test_disjoint_journals_add_up() -> None:
    """Journals with disjoint spans add up, and nothing is flagged."""
    hour = rollup(HOUR, [journal("a", (0, 1800), 10), journal("b", (1800, 3600), 5)])
    assert {"http_requests": 15} == hour.counters
    assert frozenset() == hour.flags


@pytest.mark.parametrize(("shared", "requests", "flags"), [(59, 15, set()), (60, 10, SAID), (61, 10, SAID)])
def test_a_minute_decides(shared: int, requests: int, flags: set[str]) -> None:
    """An overlap under 60 seconds counts as disjoint; from 60 on the greater counts, and it is said."""
    hour = rollup(HOUR, [journal("a", (0, 1800), 10), journal("b", (1800 - shared, 3600), 5)])
    assert {"http_requests": requests} == hour.counters
    assert flags == hour.flags


@pytest.mark.parametrize(("shared", "requests", "flags"), [(24, 15, set()), (25, 10, SAID), (26, 10, SAID)])
def test_a_quarter_of_the_shorter_decides(shared: int, requests: int, flags: set[str]) -> None:
    """Of journals shorter than four minutes a quarter of the shorter one is what they may not share."""
    hour = rollup(HOUR, [journal("a", (0, 1000), 10), journal("b", (1000 - shared, 1100 - shared), 5)])
    assert {"http_requests": requests} == hour.counters
    assert flags == hour.flags


def test_the_greater_of_each_metric() -> None:
    """Of journals that overlap the greater value of each metric counts, metric by metric."""
    one = journal("a", (0, 3600), counters={"http_requests": 10, "mqtt_bytes_sent": 1, "influxdb_points": 3})
    two = journal("b", (0, 3600), counters={"http_requests": 7, "mqtt_bytes_sent": 9})
    hour = rollup(HOUR, [one, two])
    assert {"http_requests": 10, "mqtt_bytes_sent": 9, "influxdb_points": 3} == hour.counters


def test_the_first_and_the_last_of_a_chain() -> None:
    """Of three in a chain the first and the last saw nothing together: both count, not the middle."""
    chain = [
        journal("a", (0, 1200), 120_000),
        journal("b", (1140, 2400), 126_000),
        journal("c", (2339, 3600), 126_100),
    ]
    for order in permutations(chain):
        hour = rollup(HOUR, order)
        assert {"http_requests": 246_100} == hour.counters
        assert SAID == hour.flags


def test_the_middle_of_a_chain() -> None:
    """Of three in a chain the middle one counts alone where it saw more than both others together."""
    chain = [journal("a", (0, 1200), 3), journal("c", (2400, 3600), 5), journal("b", (1000, 2600), 9)]
    assert {"http_requests": 9} == rollup(HOUR, chain).counters


FIFTY = [(start, start + 59) for start in range(50)]
"""Journals of 59 s, each begun a second after the one before: together they observed 108 s."""


@pytest.mark.parametrize(
    ("amounts", "requests"),
    [
        pytest.param([5_400] * 5 + [6_025] * 40 + [5_400] * 5, 10_800, id="295,000 in all"),
        # Two of them share 14 s at most, which is a seam: nothing of it is guessed away.
        pytest.param([5_900] * 50, 11_800, id="100 a second"),
        pytest.param([5_900] * 20 + [12_000] + [5_900] * 29, 12_000, id="one that saw more"),
    ],
)
def test_many_short_journals_count_once(amounts: list[int], requests: int) -> None:
    """Fifty journals that saw the same two minutes count as the best two of them, not fifty times."""
    journals = [
        journal(f"{n:02}", span, amount) for n, (span, amount) in enumerate(zip(FIFTY, amounts, strict=True))
    ]
    hour = rollup(HOUR, journals)
    assert 295_000 <= sum(amounts)
    assert {"http_requests": requests} == hour.counters
    assert SAID == hour.flags


def test_ties_go_to_the_longer_then_to_the_earlier() -> None:
    """Of equal amounts the one over more seconds counts, then the earlier, then the lesser name."""

    def told(state_id: str, start: int, last: int, seconds: int) -> Report:
        return journal(state_id, (start, 1800), gauges={"active_devices": gauge(last, last, 9, seconds)})

    longer = [told("a", 0, 1, 7), told("b", 1, 2, 8)]
    earlier = [told("a", 1, 3, 8), told("b", 0, 4, 8)]
    named = [told("a", 0, 5, 8), told("b", 0, 6, 8)]
    assert [2, 4, 5] == [
        rollup(HOUR, pair).gauges["active_devices"].last for pair in (longer, earlier, named)
    ]


def test_what_is_left_out_is_said() -> None:
    """A metric of which some journal's amount does not count is named; one that lost nothing is not."""
    one = journal("a", (0, 3600), counters={"http_requests": 10, "mqtt_bytes_sent": 1, "influxdb_points": 0})
    two = journal("b", (0, 3600), counters={"http_requests": 0, "mqtt_bytes_sent": 9, "influxdb_points": 0})
    assert {"overlap", "left_out:mqtt_bytes_sent"} == rollup(HOUR, [one, two]).flags


def test_an_hour_says_by_which_rule_it_was_made() -> None:
    """An hour is made by the newest rule, and can be made again by an earlier one."""
    chain = [journal("a", (0, 1200), 3), journal("c", (2400, 3600), 5), journal("b", (1000, 2600), 4)]
    found = [(hour.version, hour.counters) for hour in (rollup(HOUR, chain), rollup(HOUR, chain, version=1))]
    assert [(2, {"http_requests": 8}), (1, {"http_requests": 5})] == found


def test_two_that_overlap_and_one_apart() -> None:
    """A journal apart from two that overlap adds up with the greater of them."""
    reports = [journal("a", (0, 1200), 3), journal("b", (600, 1800), 4), journal("c", (1800, 3600), 10)]
    assert {"http_requests": 14} == rollup(HOUR, reports).counters


def test_an_empty_span_overlaps_nothing() -> None:
    """A journal that observed a single instant overlaps no other."""
    reports = [journal("a", (0, 3600), 3), journal("b", (1800, 1800), 0)]
    assert frozenset() == rollup(HOUR, reports).flags


def test_the_gauge_with_the_greater_integral() -> None:
    """Of two that overlap the greater integral counts, its last value and seconds; the maximum is of all."""
    less = journal("a", (0, 3600), gauges={"active_devices": gauge(90, 99, 7000)})
    more = journal("b", (0, 3600), gauges={"active_devices": gauge(2, 3, 7200, 3000)})
    assert {"active_devices": Level(2, 99, 7200, 3000)} == rollup(HOUR, [less, more]).gauges


def test_gauges_of_one_instance_in_a_row() -> None:
    """Disjoint journals' integrals add up; the last value is the later's, the maximum the greater."""
    early = journal("z", (0, 1800), gauges={"active_devices": gauge(5, 9, 9000, 1800)})
    late = journal("a", (1800, 3600), gauges={"active_devices": gauge(4, 4, 7200, 1800)})
    for order in ([early, late], [late, early]):
        assert {"active_devices": Level(4, 9, 16200, 3600)} == rollup(HOUR, order).gauges


def test_a_gauge_covers_an_hour_at_most() -> None:
    """One instance's gauge covers at most the hour, though spans may overlap by seconds."""
    early = journal("a", (0, 1830), gauges={"active_devices": gauge(1, 1, 1830, 1830)})
    late = journal("b", (1800, 3600), gauges={"active_devices": gauge(1, 1, 1800, 1800)})
    assert 3600 == rollup(HOUR, [early, late]).gauges["active_devices"].seconds


def test_instances_add_up() -> None:
    """Instances are never taken for an overlap: counters, levels, maxima and integrals add up."""
    one = report(
        instance_id="one",
        counters={"http_requests": 1},
        gauges={"active_devices": gauge(2, 3, 7200)},
        sources={"mqtt": source(covered_seconds=3600)},
    )
    two = report(
        instance_id="two",
        counters={"http_requests": 2, "influxdb_points": 5},
        gauges={"active_devices": gauge(10, 11, 36000)},
        sources={"mqtt": source(covered_seconds=3000)},
    )
    hour = rollup(HOUR, [one, two])
    assert {"http_requests": 3, "influxdb_points": 5} == hour.counters
    assert {"active_devices": Level(12, 14, 43200, 7200)} == hour.gauges
    assert {"mqtt": Coverage(6600, 2)} == hour.sources
    assert (2, frozenset()) == (hour.instances, hour.flags)


def test_computed_from_is_the_sum_of_revisions() -> None:
    """``computed_from`` is the sum of all journals' revisions, so every stored change raises it."""
    reports = [journal("a", (0, 3600), revision=3), journal("b", (0, 3600), revision=4)]
    other = report(instance_id="two", revision=5)
    assert 12 == rollup(HOUR, [*reports, other]).computed_from


@pytest.mark.parametrize(("older_final", "newer_final", "final"), [(True, False, 0), (False, True, 1)])
def test_final_is_the_newest_journal_s_word(*, older_final: bool, newer_final: bool, final: int) -> None:
    """An instance is done with the hour when its newest journal says so, not when an older one did."""
    older, newer = (
        journal("z", (0, 1800), final=older_final),
        journal("a", (1800, 3600), final=newer_final),
    )
    assert final == rollup(HOUR, [older, newer]).final


def test_a_metric_nobody_told_is_absent() -> None:
    """Missing is not zero: a metric that no report carries is absent from the hour."""
    hour = rollup(HOUR, [report(counters={"http_requests": 0})])
    assert {"http_requests": 0} == hour.counters
    assert {} == hour.gauges


def test_unknown_metrics_are_rolled_up() -> None:
    """Metrics that the registry does not know are stored in the hour too."""
    hour = rollup(
        HOUR, [report(counters={"lora_frames": 5}), report(instance_id="b", counters={"lora_frames": 6})]
    )
    assert {"lora_frames": 11} == hour.counters


def test_remarks_of_sources() -> None:
    """What a source remarks, and any status but "ok", is a flag of the hour with the source's name."""
    hour = rollup(
        HOUR,
        [
            report(
                sources={
                    "mqtt": source(flags=["went_back", "lower_bound"]),
                    "influxdb": source("unreachable", 0),
                    "postgres": source(),
                }
            )
        ],
    )
    assert {"mqtt:went_back", "mqtt:lower_bound", "influxdb:unreachable"} == hour.flags


def test_coverage_of_overlapping_journals() -> None:
    """Overlapping journals cover as much as the better one; disjoint ones add up, to the hour at most."""
    overlapping = [
        journal("a", (0, 3600), sources={"mqtt": source(covered_seconds=1000)}),
        journal("b", (0, 3600), sources={"mqtt": source(covered_seconds=3000)}),
    ]
    disjoint = [
        journal("a", (0, 1830), sources={"mqtt": source(covered_seconds=1830)}),
        journal("b", (1800, 3600), sources={"mqtt": source(covered_seconds=1800)}),
    ]
    assert {"mqtt": Coverage(3000, 1)} == rollup(HOUR, overlapping).sources
    assert {"mqtt": Coverage(3600, 1)} == rollup(HOUR, disjoint).sources


def test_order_changes_nothing() -> None:
    """Any order of the reports gives the same hour, ties included."""
    tied = {"gauges": {"active_devices": gauge(1, 5, 100, 50)}}
    reports = [
        journal("a", (0, 3600), 5, gauges={"active_devices": gauge(2, 4, 100, 50)}),
        journal("b", (0, 3600), 5, **tied),
        journal("c", (3590, 3600), 1, gauges={"active_devices": gauge(7, 7, 70, 10)}),
        report(instance_id="other", counters={"http_requests": 1}),
    ]
    assert 1 == len({repr(rollup(HOUR, order)) for order in permutations(reports)})


def test_a_report_of_another_hour() -> None:
    """A report of another hour is an error, never counted here."""
    with pytest.raises(ValueError, match="in the hour"):
        rollup(HOUR.replace(hour=14), [report()])


@pytest.mark.parametrize(
    ("span", "flagged"),
    [
        pytest.param((1000, 1040), True, id="40 s in the middle"),
        pytest.param((0, 30), True, id="30 s at the start"),
        pytest.param((1770, 3600), False, id="a seam of 30 s"),
    ],
)
def test_a_short_span_inside_a_long_one_counts_once(span: tuple[int, int], *, flagged: bool) -> None:
    """A twin that ran for less than a minute saw nothing that the other did not see; a seam adds up."""
    long = report(span=(0, 1800), state_id="a", counters={"http_requests": 100})
    short = report(span=span, state_id="b", counters={"http_requests": 7})

    hour = rollup(HOUR, [long, short])

    assert flagged == ("overlap" in hour.flags)
    assert (100 if flagged else 107) == hour.counters["http_requests"]
