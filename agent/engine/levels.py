"""Levels held over time: a gauge's last value is integrated over service time, in whole milliseconds.

Pure. Invariants: a span is integrated once, never a negative one, and never further than the value is valid;
what a sealed hour could not express in whole seconds is carried to the next. Source:
docs/agent-design.md#levels.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class HeldLevel:
    """A gauge's last value: when it was read, up to where it is integrated, what is carried over.

    ``carried_integral`` (value x milliseconds) and ``carried_ms`` are the parts under one second that the
    last sealed hour left over.
    """

    value: int
    at_ms: int
    until_ms: int
    carried_integral: int = 0
    carried_ms: int = 0


@dataclass(frozen=True, slots=True)
class GaugeHour:
    """A gauge within one hour: last and greatest value, value x milliseconds, milliseconds covered."""

    last: int
    greatest: int
    integral: int = 0
    covered_ms: int = 0


def read(level: HeldLevel | None, value: int, at_ms: int) -> HeldLevel:
    """The level after a new reading; what is integrated already stays so, whatever the reading's time."""
    if level is None:
        return HeldLevel(value, at_ms, at_ms)
    return replace(level, value=value, at_ms=at_ms, until_ms=max(level.until_ms, at_ms))


def show(gauge: GaugeHour | None, value: int) -> GaugeHour:
    """The hour's gauge after a new reading was seen in it."""
    if gauge is None:
        return GaugeHour(value, value)
    return replace(gauge, last=value, greatest=max(gauge.greatest, value))


def integrate(
    level: HeldLevel, gauge: GaugeHour | None, span: tuple[int, int], valid_for_ms: int
) -> tuple[HeldLevel, GaugeHour | None]:
    """Hold the level over a span, at most for as long as it is valid, and add that to the hour's gauge.

    The span must not reach beyond the hour of ``gauge``; what of it is integrated already is left out.
    Without anything to add both stay as they are.
    """
    from_ms, to_ms = span
    end_ms = min(to_ms, level.at_ms + valid_for_ms)
    span_ms = end_ms - max(level.until_ms, from_ms)
    if span_ms <= 0:
        return level, gauge
    shown = show(gauge, level.value)
    grown = replace(
        shown,
        integral=shown.integral + level.carried_integral + level.value * span_ms,
        covered_ms=shown.covered_ms + level.carried_ms + span_ms,
    )
    return replace(level, until_ms=end_ms, carried_integral=0, carried_ms=0), grown


def seal(level: HeldLevel, gauge: GaugeHour) -> tuple[HeldLevel, GaugeHour]:
    """Cut the hour's gauge to whole seconds; the rest goes with the level into the next hour."""
    rest, rest_ms = gauge.integral % 1000, gauge.covered_ms % 1000
    carrying = replace(
        level,
        carried_integral=level.carried_integral + rest,
        carried_ms=level.carried_ms + rest_ms,
    )
    return carrying, replace(gauge, integral=gauge.integral - rest, covered_ms=gauge.covered_ms - rest_ms)
