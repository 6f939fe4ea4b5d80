"""The counting rules: cumulative values of a source become amounts.

Pure: no clock, no file, no network. The numbers of the rules in `count` are those of the page. Promise kept
here: what a source counted is taken once, and where it cannot be told whether it was, nothing is taken and a
flag says so. Source: docs/agent-design.md#counting-rules and docs/agent-design.md#whose-values-these-are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from agent.engine.observation import Moment, Observation, Series, SourceError, SourceIdentity
from metering.core.metrics import COUNTERS, GAUGES

TOLERANCE_MS = 5_000
"""How far an uptime or a start time may be off: whole seconds, polling and the way through the broker."""
_DRIFT = 10_000
"""Two clocks part by at most one in so many (100 ppm): two quartz crystals of 50 ppm each."""
WIDE32 = 2**32
WENT_BACK = "went_back"
SOURCE_IDENTITY = "source_identity"
OTHER_SOURCE = "other_source"
_VALUE_LIMIT = 2**63
_METRIC = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TOKEN = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Continuity(Enum):
    """Whose values these are, compared with the last observation."""

    FIRST = "first"
    SAME = "same"
    RESTARTED = "restarted"
    SOMEONE_ELSE = "someone else"
    UNDECIDED = "undecided"
    """Cannot be told before the service's time is known; the source remembers, so it is asked again."""


@dataclass(frozen=True, slots=True)
class Elapsed:
    """How long ago the last observation was: without and with the time the machine was suspended.

    ``certain`` is False across boots as long as the service's time is unknown.
    """

    awake_ms: int
    whole_ms: int
    certain: bool = True


def elapsed_between(earlier: Moment, later: Moment, service_ms: int, *, known: bool) -> Elapsed:
    """The span between two moments; ``service_ms`` is the same span in service time, for other boots."""
    if earlier.boot_id != later.boot_id:
        return Elapsed(max(0, service_ms), max(0, service_ms), certain=known)
    return Elapsed(
        (later.awake_ns - earlier.awake_ns) // 1_000_000, (later.boot_ns - earlier.boot_ns) // 1_000_000
    )


def is_later(later: Moment, earlier: Moment) -> bool:
    """Whether an observation is a new one; of another boot it always is (collectors do not outlive it)."""
    return later.boot_id != earlier.boot_id or later.boot_ns > earlier.boot_ns


def tolerance_ms(span_ms: int) -> int:
    """How far two clocks may disagree about a span: the readings' own part, and drift."""
    return TOLERANCE_MS + span_ms // _DRIFT


def judge(
    last: SourceIdentity, now: SourceIdentity, elapsed: Elapsed, wall: datetime, late_ms: int = 0
) -> Continuity:
    """Decide whether the same source speaks, the same one after a restart, or another.

    ``wall`` is the machine's wall clock at the new observation: a source's start time was told by a wall
    clock, so it is compared with one. The strongest sign that both identities carry decides. ``late_ms`` is
    how late the last uptime may have been read (`lateness_ms`).
    """
    if _is_same(last, now, elapsed, late_ms):
        return Continuity.SAME
    began_since = _began_since(now, elapsed, wall)
    if elapsed.certain:
        return Continuity.RESTARTED if began_since else Continuity.SOMEONE_ELSE
    # An uptime that fell is a restart whatever the time is. Any other guess could bill a lifetime twice.
    fell = (
        now.uptime_seconds is not None
        and last.uptime_seconds is not None
        and now.uptime_seconds * 1000 + TOLERANCE_MS < last.uptime_seconds * 1000
    )
    return Continuity.RESTARTED if fell and began_since else Continuity.UNDECIDED


def _is_same(last: SourceIdentity, now: SourceIdentity, elapsed: Elapsed, late_ms: int) -> bool:
    if last.exact is not None and now.exact is not None:
        return last.exact == now.exact
    if last.started is not None and now.started is not None:
        return last.started == now.started
    if last.uptime_seconds is not None and now.uptime_seconds is not None:
        return is_same_life(last.uptime_seconds, now.uptime_seconds, elapsed, late_ms)
    return False


def is_same_life(last_seconds: int, now_seconds: int, elapsed: Elapsed, late_ms: int = 0) -> bool:
    """Whether two live uptimes can be of one life.

    No uptime grows faster than time, but an agent that was frozen reads one late. A life that is older than
    the span did not begin within it, however little its uptime has grown; only one that fell is another's.
    """
    grown_ms, off_ms = (now_seconds - last_seconds) * 1000, tolerance_ms(elapsed.whole_ms)
    if grown_ms > elapsed.whole_ms + late_ms + off_ms:
        return False
    older = elapsed.certain and grown_ms >= 0 and now_seconds * 1000 > elapsed.whole_ms + off_ms
    return older or grown_ms >= elapsed.awake_ms - off_ms


def lateness_ms(last_seconds: int, now_seconds: int, elapsed: Elapsed, late_ms: int = 0) -> int:
    """How late the newer of two uptimes of one life may have been read; the next may catch that up.

    ``late_ms`` is the same of the older one. What is within the tolerance is none, or drift would add up.
    """
    behind_ms = late_ms + elapsed.awake_ms - (now_seconds - last_seconds) * 1000
    return behind_ms if behind_ms > tolerance_ms(elapsed.whole_ms) else 0


def _began_since(now: SourceIdentity, elapsed: Elapsed, wall: datetime) -> bool:
    age_ms = lifetime_ms(now, wall)
    return age_ms is not None and age_ms <= elapsed.whole_ms + tolerance_ms(elapsed.whole_ms)


def lifetime_ms(identity: SourceIdentity, wall: datetime) -> int | None:
    """How long the source has lived at the observation, or None where it tells neither start nor uptime."""
    if identity.started is not None:
        return max(0, (wall - identity.started) // timedelta(milliseconds=1))
    if identity.uptime_seconds is not None:
        return identity.uptime_seconds * 1000
    return None


@dataclass(frozen=True, slots=True)
class Counted:
    """What one observation adds: amounts per metric, the new last values, remarks."""

    amounts: Mapping[str, int]
    values: Mapping[Series, int]
    flags: frozenset[str]


def count_displaced(
    continuity: Continuity, last: Mapping[Series, int], observation: Observation, displaced: frozenset[str]
) -> Counted:
    """`count` for a source some of whose metrics another one has filled since: baselines for these."""
    theirs = {series: value for series, value in observation.counters.items() if series.metric in displaced}
    rest = {series: value for series, value in observation.counters.items() if series not in theirs}
    before = {series: value for series, value in last.items() if series.metric not in displaced}
    counted = count(continuity, before, replace(observation, counters=rest))
    nothing = dict.fromkeys((series.metric for series in theirs), 0)
    return Counted(
        {**counted.amounts, **nothing}, {**counted.values, **theirs}, counted.flags | {OTHER_SOURCE}
    )


def count(continuity: Continuity, last: Mapping[Series, int], observation: Observation) -> Counted:
    """Apply the six rules to every series of one observation.

    Parameters
    ----------
    continuity
        Of `judge`, or FIRST where this journal never saw the source (rule 1); not UNDECIDED.
    last
        The last values per series; empty for FIRST.
    observation
        Checked by `check_values`.
    """
    if continuity is Continuity.UNDECIDED:
        raise ValueError("an undecided observation must not be counted")
    flags = set(observation.flags)
    amounts = dict.fromkeys((series.metric for series in observation.counters), 0)
    if continuity in {Continuity.FIRST, Continuity.SOMEONE_ELSE}:
        if continuity is Continuity.SOMEONE_ELSE:
            flags.add(SOURCE_IDENTITY)
        return Counted(amounts, dict(observation.counters), frozenset(flags))
    restarted = continuity is Continuity.RESTARTED
    values = dict.fromkeys(last, 0) if restarted else dict(last)
    for series, current in observation.counters.items():
        # A restart put every series to 0, those not seen before as well: all they show came since.
        from_zero = restarted or series.metric in observation.absent_is_zero
        before = values.get(series, 0 if from_zero else current)
        amount = current - before
        if amount < 0 and series.metric in observation.wide32 and before < WIDE32:
            amount += WIDE32
        elif amount < 0:
            flags.add(WENT_BACK)
            values[series] = before
            continue
        amounts[series.metric] += amount
        values[series] = current
    return Counted(amounts, values, frozenset(flags))


def check_values(observation: Observation) -> None:
    """Refuse what cannot be counted or reported, so that one bad source never spoils an hour's report.

    Raises
    ------
    SourceError
        ``unidentified``: counters of a source that does not tell who it is. ``malformed``: a value that is no
        whole number from 0 below 2^63, a name that the contract does not allow, a metric
        of the other kind.
    """
    if observation.counters and observation.identity is None:
        raise SourceError("unidentified", "counters without an id, a start time or an uptime")
    totals = [(series.metric, value) for series, value in observation.counters.items()]
    swapped = (GAUGES & {name for name, _ in totals}) | (COUNTERS & observation.gauges.keys())
    if swapped:
        raise SourceError("malformed", f"counter given as gauge or the other way: {sorted(swapped)}")
    for name, value in [*totals, *observation.gauges.items()]:
        if not _METRIC.fullmatch(name):
            raise SourceError("malformed", f"{name!r:.80} is no metric's name")
        if type(value) is not int or not 0 <= value < _VALUE_LIMIT:
            raise SourceError("malformed", f"{name} is {value!r:.40}, no whole number from 0 below 2^63")
    for flag in observation.flags:
        if not _TOKEN.fullmatch(flag):
            raise SourceError("malformed", f"{flag!r:.80} is no flag")
