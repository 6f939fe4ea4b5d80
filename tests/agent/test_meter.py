"""The counting rules, one by one."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.engine.meter import Continuity, Elapsed, check_values, count, elapsed_between, judge
from agent.engine.observation import Moment, Observation, Series, SourceError, SourceIdentity

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = Elapsed(60_000, 60_000)
AT = Moment("boot", 1, 1)
A, B = Series("http_requests", "a"), Series("http_requests", "b")


def observation(
    counters: dict[Series, int], *, absent_is_zero: bool = False, wide32: bool = False
) -> Observation:
    metrics = frozenset({"http_requests"})
    return Observation(
        AT,
        SourceIdentity(exact="x"),
        counters,
        absent_is_zero=metrics if absent_is_zero else frozenset(),
        wide32=metrics if wide32 else frozenset(),
    )


def uptime(seconds: int) -> SourceIdentity:
    return SourceIdentity(uptime_seconds=seconds)


@pytest.mark.parametrize(
    ("last", "now", "elapsed", "continuity"),
    [
        (SourceIdentity(exact="a"), SourceIdentity(exact="a"), MINUTE, Continuity.SAME),
        (SourceIdentity(exact="a"), SourceIdentity(exact="b"), MINUTE, Continuity.SOMEONE_ELSE),
        (
            SourceIdentity(exact="a"),
            SourceIdentity("b", NOW - timedelta(seconds=30)),
            MINUTE,
            Continuity.RESTARTED,
        ),
        (
            SourceIdentity(exact="a"),
            SourceIdentity("b", NOW - timedelta(days=1)),
            MINUTE,
            Continuity.SOMEONE_ELSE,
        ),
        (SourceIdentity(started=NOW), SourceIdentity(started=NOW), MINUTE, Continuity.SAME),
        (
            SourceIdentity(started=NOW - timedelta(days=1)),
            SourceIdentity(started=NOW - timedelta(seconds=59)),
            MINUTE,
            Continuity.RESTARTED,
        ),
        (
            SourceIdentity(started=NOW - timedelta(days=1)),
            SourceIdentity(started=NOW - timedelta(days=2)),
            MINUTE,
            Continuity.SOMEONE_ELSE,
        ),
        (uptime(1000), uptime(1060), MINUTE, Continuity.SAME),
        (uptime(1000), uptime(1055), MINUTE, Continuity.SAME),
        (uptime(1000), uptime(1065), MINUTE, Continuity.SAME),
        # Read late by an agent that was frozen: a life older than the span did not begin within it.
        (uptime(1000), uptime(1054), MINUTE, Continuity.SAME),
        (uptime(1000), uptime(1000), MINUTE, Continuity.SAME),
        (uptime(1000), uptime(999), MINUTE, Continuity.SOMEONE_ELSE),
        (uptime(1000), uptime(1066), MINUTE, Continuity.SOMEONE_ELSE),
        (uptime(1000), uptime(65), MINUTE, Continuity.RESTARTED),
        (uptime(1000), uptime(66), MINUTE, Continuity.SOMEONE_ELSE),
        # Suspended for an hour: a source on this machine slept, too; one elsewhere did not.
        (uptime(1000), uptime(1060), Elapsed(60_000, 3_660_000), Continuity.SAME),
        (uptime(1000), uptime(4660), Elapsed(60_000, 3_660_000), Continuity.SAME),
    ],
)
def test_a_source_is_the_same_restarted_or_someone_else_by_the_signs_it_gives(
    last: SourceIdentity, now: SourceIdentity, elapsed: Elapsed, continuity: Continuity
) -> None:
    """Equal id or start, or an uptime grown as time did ± 5 s, is the same; a younger one restarted."""
    assert continuity is judge(last, now, elapsed, NOW)


@pytest.mark.parametrize(
    ("last", "now", "continuity"),
    [
        (SourceIdentity(exact="a"), SourceIdentity(exact="a"), Continuity.SAME),
        (uptime(1000), uptime(1060), Continuity.SAME),
        (uptime(1000), uptime(30), Continuity.RESTARTED),
        # It could be the same after a longer absence: to take it for restarted would bill its life twice.
        (uptime(10), uptime(30), Continuity.UNDECIDED),
        (uptime(1000), uptime(9000), Continuity.UNDECIDED),
        (SourceIdentity(started=NOW - timedelta(days=1)), SourceIdentity(started=NOW), Continuity.UNDECIDED),
    ],
)
def test_while_the_time_is_unknown_nothing_is_judged_that_could_bill_a_lifetime_twice(
    last: SourceIdentity, now: SourceIdentity, continuity: Continuity
) -> None:
    """Until the time is known only an uptime that fell is a restart; a different start is undecided."""
    assert continuity is judge(last, now, Elapsed(60_000, 60_000, certain=False), NOW)


def test_across_boots_the_elapsed_span_is_service_time() -> None:
    """Between two boots the elapsed span is service time, and uncertain until that is known."""
    before, after = Moment("one", 5_000_000_000, 5_000_000_000), Moment("two", 10**9, 10**9)
    assert Elapsed(90_000, 90_000, certain=True) == elapsed_between(before, after, 90_000, known=True)
    assert not elapsed_between(before, after, 90_000, known=False).certain


def test_rule_1_a_source_seen_for_the_first_time_is_a_baseline() -> None:
    """Rule 1: the first totals of a source are baselines, amount 0, even where absent means zero."""
    counted = count(Continuity.FIRST, {}, observation({A: 70}, absent_is_zero=True))
    assert {"http_requests": 0} == counted.amounts
    assert {A: 70} == counted.values


def test_rule_2_after_a_restart_everything_shown_is_new() -> None:
    """Rule 2: after a restart the totals are the amount as they stand, 5 + 3, whatever was seen before."""
    counted = count(Continuity.RESTARTED, {A: 70}, observation({A: 5, B: 3}))
    assert {"http_requests": 8} == counted.amounts


def test_rule_2_a_series_that_shows_up_late_after_a_restart_counts_from_zero() -> None:
    """Rule 2: a series that is first seen a look after the restart counts from 0, so its 3 are 3."""
    first = count(Continuity.RESTARTED, {A: 70, B: 40}, observation({A: 5}))
    second = count(Continuity.SAME, first.values, observation({A: 5, B: 3}))
    assert {"http_requests": 3} == second.amounts


def test_rule_3_someone_else_adds_nothing_and_is_flagged() -> None:
    """Rule 3: someone else's totals are new baselines, amount 0, and flagged source_identity."""
    counted = count(Continuity.SOMEONE_ELSE, {A: 70, B: 1}, observation({A: 500}))
    assert ({"http_requests": 0}, {A: 500}) == (counted.amounts, counted.values)
    assert {"source_identity"} == counted.flags


def test_rule_4_a_value_that_went_back_adds_nothing_and_the_higher_one_stays() -> None:
    """Rule 4: a fall from 70 to 60 adds 0, keeps 70 and is flagged went_back; then 75 adds 5."""
    back = count(Continuity.SAME, {A: 70}, observation({A: 60}))
    assert ({"http_requests": 0}, {A: 70}, {"went_back"}) == (back.amounts, back.values, {*back.flags})
    on = count(Continuity.SAME, back.values, observation({A: 75}))
    assert {"http_requests": 5} == on.amounts


def test_rule_4_a_32_bit_series_that_fell_has_wrapped() -> None:
    """Rule 4: a 32-bit series that goes from 2^32 - 10 to 5 has wrapped: 15, and no flag."""
    counted = count(Continuity.SAME, {A: 2**32 - 10}, observation({A: 5}, wide32=True))
    assert ({"http_requests": 15}, {A: 5}, frozenset()) == (counted.amounts, counted.values, counted.flags)


def test_rule_4_a_series_that_was_wider_than_32_bits_cannot_have_wrapped() -> None:
    """Rule 4: a series once beyond 32 bits cannot have wrapped: its fall adds 0 and is flagged went_back."""
    counted = count(Continuity.SAME, {A: 2**40}, observation({A: 5}, wide32=True))
    assert ({"http_requests": 0}, {"went_back"}) == (counted.amounts, {*counted.flags})


@pytest.mark.parametrize(("absent_is_zero", "amount"), [(True, 9), (False, 0)])
def test_rule_5_a_new_series_counts_only_where_absent_means_zero(
    *, absent_is_zero: bool, amount: int
) -> None:
    """Rule 5: a new series of a source seen before adds its 9 where absent means zero, and else 0."""
    counted = count(Continuity.SAME, {A: 70}, observation({A: 70, B: 9}, absent_is_zero=absent_is_zero))
    assert ({"http_requests": amount}, {A: 70, B: 9}) == (counted.amounts, counted.values)


def test_rule_5_a_series_that_lapses_keeps_its_last_value() -> None:
    """Rule 5: a series that is absent once keeps its last value, so that 9 and then 12 add 3."""
    gone = count(Continuity.SAME, {A: 70, B: 9}, observation({A: 71}))
    back = count(Continuity.SAME, gone.values, observation({A: 71, B: 12}))
    assert {"http_requests": 3} == back.amounts


def test_rule_6_parts_get_their_amounts_before_they_are_added_up() -> None:
    """Rule 6: each series has an amount of its own before the sum: one's 5, though the other fell."""
    counted = count(Continuity.SAME, {A: 70, B: 9}, observation({A: 75, B: 2}))
    assert {"http_requests": 5} == counted.amounts


def test_flags_of_the_collector_stay_with_the_amounts() -> None:
    """The flags that a collector gives with its totals stand beside the amounts."""
    seen = Observation(AT, SourceIdentity(exact="x"), {A: 1}, flags=frozenset({"lower_bound"}))
    assert {"lower_bound"} == count(Continuity.SAME, {A: 1}, seen).flags


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (Observation(AT, None, {A: 1}), "unidentified"),
        (Observation(AT, SourceIdentity(exact="x"), {A: -1}), "malformed"),
        (Observation(AT, SourceIdentity(exact="x"), {A: 2**63}), "malformed"),
        (Observation(AT, SourceIdentity(exact="x"), {Series("Not a name"): 1}), "malformed"),
        (Observation(AT, None, gauges={"postgres_rows": True}), "malformed"),
        (Observation(AT, None, gauges={"http_requests": 5}), "malformed"),
        (Observation(AT, SourceIdentity(exact="x"), {Series("active_devices"): 1}), "malformed"),
        (Observation(AT, None, flags=frozenset({"Two words"})), "malformed"),
    ],
)
def test_what_a_report_could_not_carry_is_refused_before_it_is_counted(bad: Observation, status: str) -> None:
    """Values, names, kinds and flags beyond the contract, and totals of nobody, are a SourceError."""
    with pytest.raises(SourceError) as refused:
        check_values(bad)
    assert status == refused.value.status


def test_a_source_that_tells_no_identity_cannot_even_be_described() -> None:
    """An identity without an id, a start or an uptime cannot be made."""
    with pytest.raises(ValueError, match="cannot be billed from"):
        SourceIdentity()
