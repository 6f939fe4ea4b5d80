"""Gauges held over time."""

from hypothesis import given
from hypothesis import strategies as st

from agent.engine import levels
from agent.engine.levels import GaugeHour, HeldLevel

HOUR = 3_600_000


def test_a_level_is_integrated_for_at_most_as_long_as_it_is_valid() -> None:
    """A level that is valid for 45 s is integrated over 45 s of the 90, and a later look adds nothing."""
    level, gauge = levels.integrate(HeldLevel(7, 1000, 1000), None, (0, 90_000), 45_000)
    assert GaugeHour(7, 7, 7 * 45_000, 45_000) == gauge
    assert (level, gauge) == levels.integrate(level, gauge, (0, 200_000), 45_000)


def test_a_span_is_never_integrated_twice_nor_backwards() -> None:
    """A span that ends before what is integrated already adds nothing, nor does a late reading go back."""
    level, gauge = levels.integrate(HeldLevel(7, 1000, 1000), None, (0, 11_000), 45_000)
    assert (level, gauge) == levels.integrate(level, gauge, (0, 5_000), 45_000)
    late = levels.read(level, 9, 8_000)
    assert 11_000 == late.until_ms


def test_the_greatest_value_is_that_of_any_moment_of_the_hour() -> None:
    """An hour's greatest is the highest value that was shown, 12, and its last the newest, 5."""
    gauge = levels.show(levels.show(levels.show(None, 3), 12), 5)
    assert GaugeHour(last=5, greatest=12) == gauge


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 700_000)), min_size=1, max_size=40),
    st.integers(0, HOUR - 1),
)
def test_hours_in_whole_seconds_lose_less_than_one_second_of_the_last_level_in_all(
    steps: list[tuple[int, int]], begin_ms: int
) -> None:
    """Sealed hours are whole seconds, what is cut is carried on, and under a second is left in the end."""
    level: HeldLevel | None = None
    now_ms, exact, exact_ms, sealed, sealed_ms = begin_ms, 0, 0, 0, 0
    gauge: GaugeHour | None = None
    for value, span_ms in steps:
        level = levels.read(level, value, now_ms)
        gauge = levels.show(gauge, value)
        end_ms = now_ms + span_ms
        while now_ms // HOUR < end_ms // HOUR:
            edge = (now_ms // HOUR + 1) * HOUR
            level, gauge = levels.integrate(level, gauge, (edge - HOUR, edge), HOUR)
            assert gauge is not None
            level, gauge = levels.seal(level, gauge)
            assert (0, 0) == (gauge.integral % 1000, gauge.covered_ms % 1000)
            assert gauge.covered_ms <= HOUR
            sealed, sealed_ms = sealed + gauge.integral, sealed_ms + gauge.covered_ms
            gauge, now_ms = None, edge
        level, gauge = levels.integrate(level, gauge, (now_ms - now_ms % HOUR, end_ms), HOUR)
        exact, exact_ms, now_ms = exact + value * span_ms, exact_ms + span_ms, end_ms
    assert level is not None
    open_integral, open_ms = (gauge.integral, gauge.covered_ms) if gauge else (0, 0)
    assert exact == sealed + open_integral + level.carried_integral
    assert exact_ms == sealed_ms + open_ms + level.carried_ms
    assert level.carried_ms < 1000
