"""What the agent's own watching adds to a source's totals is taken off, over all its runs."""

from datetime import UTC, datetime

from agent.engine.clock import hour_of
from agent.engine.hour import MeasuredHour
from agent.engine.observation import Moment, Observation, Series, SourceIdentity
from agent.engine.reading import SourceReading, TimedReading
from agent.engine.source_state import SourceState
from agent.engine.tally import Tally

SENT = Series("mqtt_bytes_sent")
NOON_MS = hour_of(1_795_348_800_000)


def observed(second: int, total: int, held: int, own: int, uptime: int) -> TimedReading:
    """A round: the broker's total, what it holds of this run's watching, and all that watching caused."""
    observation = Observation(
        at=Moment("boot", second * 10**9, second * 10**9),
        identity=SourceIdentity(uptime_seconds=uptime),
        counters={SENT: total},
        own={SENT: own},
        held={SENT: held},
    )
    wall = datetime.fromtimestamp(NOON_MS // 1000 + second, UTC)
    return SourceReading("mqtt", observation, 45).timed(NOON_MS + second * 1000, wall, known=True)


def next_run(tally: Tally) -> Tally:
    """The journal as the next start of the agent finds it."""
    kept = {name: SourceState.from_json(state.to_json()) for name, state in tally.sources.items()}
    return Tally(tally.run + 1, tally.now_ms, MeasuredHour.from_json(tally.hour.to_json()), kept)


def counted(*runs: list[TimedReading]) -> int:
    """The hour's amount after these runs of the agent."""
    tally = Tally(0, NOON_MS, MeasuredHour(NOON_MS))
    for readings in runs:
        tally = next_run(tally)
        for reading in readings:
            tally.take(reading)
    return tally.hour.counters["mqtt_bytes_sent"]


def test_a_new_run_takes_off_what_the_former_one_caused() -> None:
    """1,000 bytes of clients, 300 + 40 + 500 of two runs' own: 1,000 are counted."""
    first = [observed(1, 300, 300, 340, 100)]
    second = [observed(9, 1_000 + 340 + 500, 500, 540, 108)]

    assert 1_000 == counted(first, second)


def test_a_third_run_takes_off_both_former_ones() -> None:
    """Own bytes add up over runs of one life of the broker."""
    first = [observed(1, 300, 300, 340, 100)]
    second = [observed(9, 340 + 500, 500, 540, 108)]
    third = [observed(20, 340 + 540 + 200 + 77, 200, 240, 119)]

    assert 77 == counted(first, second, third)


def test_a_restarted_broker_holds_nothing_of_former_runs() -> None:
    """Its totals began at 0 after they had ended."""
    first = [observed(1, 300, 300, 340, 100)]
    second = [observed(9, 50 + 200, 200, 240, 3)]

    assert 50 == counted(first, second)


def test_what_a_run_caused_after_its_last_observation_is_taken_off_when_it_said_so() -> None:
    """An orderly stop tells it all; a run that never observed anything tells it as well."""
    tally = next_run(Tally(0, NOON_MS, MeasuredHour(NOON_MS)))
    tally.take(observed(1, 300, 300, 340, 100))
    tally.leave("mqtt", {SENT: 500})
    tally = next_run(tally)
    tally.leave("mqtt", {SENT: 70})
    tally = next_run(tally)
    tally.take(observed(20, 500 + 70 + 200 + 9, 200, 240, 119))

    assert 9 == tally.hour.counters["mqtt_bytes_sent"]


def test_leaving_a_source_never_seen_leaves_nothing() -> None:
    """Its first observation is a baseline, own bytes included."""
    tally = next_run(Tally(0, NOON_MS, MeasuredHour(NOON_MS)))
    tally.leave("mqtt", {SENT: 500})

    assert {} == tally.sources


def test_a_total_that_lags_behind_its_own_counts_nothing_until_it_has_caught_up() -> None:
    """It holds less than its watcher thinks: no amount, no flag, and afterwards all that is a client's."""
    tally = next_run(Tally(0, NOON_MS, MeasuredHour(NOON_MS)))
    tally.take(observed(1, 300, 300, 340, 100))
    tally.take(observed(3, 340 + 25, 340, 390, 102))

    tally.take(observed(5, 340 + 25 + 10, 390, 440, 104))
    assert 25 == tally.hour.counters["mqtt_bytes_sent"]
    assert set() == tally.hour.sources["mqtt"].flags
    tally.take(observed(7, 340 + 25 + 10 + 90 + 7, 440, 490, 106))

    assert 25 + 7 == tally.hour.counters["mqtt_bytes_sent"]


def test_what_lags_is_forgotten_when_the_journal_could_not_be_written() -> None:
    """A copy of the tally is thrown away with all that it counted."""
    tally = next_run(Tally(0, NOON_MS, MeasuredHour(NOON_MS)))
    tally.take(observed(1, 300, 300, 340, 100))
    thrown_away = tally.copy()
    thrown_away.take(observed(3, 340 + 25, 340, 390, 102))

    tally.take(observed(5, 340 + 20, 340, 390, 104))

    assert 20 == tally.hour.counters["mqtt_bytes_sent"]


def test_one_run_takes_off_its_own_only_once() -> None:
    """Within a run each total says how much of it is the run's own."""
    run = [observed(1, 300, 300, 340, 100), observed(3, 340 + 10 + 25, 350, 390, 102)]

    assert 25 == counted(run)
