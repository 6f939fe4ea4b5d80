"""What a reader of the figures must know: what could not be measured is said, not guessed."""

from datetime import UTC, datetime, timedelta

import pytest

from metering.core.accounts import BillingPeriod
from metering.core.catalog import builtin_catalog
from metering.core.contract import OLDEST_WINDOW
from metering.core.instants import HOUR
from metering.core.rollup import Coverage, Hour, Level
from metering.core.usage import PeriodUsage
from usage_query.flags import flags_of

START = datetime(2026, 11, 1, tzinfo=UTC)
PERIOD = BillingPeriod(start=START, end=START + 30 * 24 * HOUR, plan="starter@1")
CATALOG = builtin_catalog()
TOLD = {metric for meter in CATALOG.meters.values() for metric in meter.metrics}
LEVELS = {name: Level(1, 1, 3600, 3600) for name in TOLD if "size" in name or "storage" in name}
LEVELS["active_devices"] = Level(1, 1, 3600, 3600)
AMOUNTS = dict.fromkeys(TOLD - LEVELS.keys(), 1)


def hour(
    number: int = 0, covered: int = 3600, instances: int = 1, flags: frozenset[str] = frozenset()
) -> Hour:
    """Return an hour in which every billed metric was told."""
    return Hour(
        start=START + number * HOUR,
        counters=AMOUNTS,
        gauges=LEVELS,
        sources={"mqtt": Coverage(covered, instances)},
        flags=flags,
        instances=instances,
    )


def codes(hours: list[Hour], now: datetime) -> dict[str, int]:
    """Return each flag's code with its number of hours."""
    return {flag.code: flag.hours for flag in flags_of(PeriodUsage(PERIOD, hours, CATALOG), 2, now)}


def test_nothing_to_say() -> None:
    """Hours that were wholly measured carry no flag."""
    assert {} == codes([hour(0), hour(1)], START + 2 * HOUR)


def test_overlaps_and_remarks_are_counted() -> None:
    """Each flag of the hours is shown once, with the number of hours it concerns."""
    flagged = [hour(0, flags=frozenset({"overlap", "mqtt:went_back"})), hour(1, flags=frozenset({"overlap"}))]
    assert {"overlap": 2, "mqtt:went_back": 1} == codes(flagged, START + 2 * HOUR)


def test_what_was_left_out_is_said() -> None:
    """A metric of which journals counted what does not fit together is named, in a sentence."""
    hours = [hour(0, flags=frozenset({"left_out:http_requests"}))]
    flags = flags_of(PeriodUsage(PERIOD, hours, CATALOG), 1, START + HOUR)
    (message,) = [flag.message for flag in flags if flag.code == "left_out:http_requests"]
    assert "http_requests: journals of one instance overlapped" in message


@pytest.mark.parametrize(
    ("covered", "gap"), [(3600, {}), (3541, {}), (3540, {"gap:mqtt": 1}), (0, {"gap:mqtt": 1})]
)
def test_gaps(covered: int, gap: dict[str, int]) -> None:
    """A source that was not read for a minute or more of a closed hour is a gap."""
    assert gap == codes([hour(0, covered)], START + HOUR)


def test_the_open_hour_has_no_gap() -> None:
    """An hour still open is covered only so far, and that is no gap."""
    assert {} == codes([hour(0, 600)], START + timedelta(minutes=59, seconds=59))


def test_every_instance_must_be_covered() -> None:
    """Over several instances a gap of one shows, though the other was read throughout."""
    assert {"gap:mqtt": 1} == codes([hour(0, 3600, instances=2)], START + HOUR)


def test_hours_that_nobody_reported() -> None:
    """Closed hours without a report, between others and up to now, are said."""
    assert {"no_report": 1} == codes([hour(0), hour(2)], START + 3 * HOUR)
    assert {"no_report": 3} == codes([hour(0)], START + 4 * HOUR + timedelta(minutes=59))


def test_metrics_that_nobody_told() -> None:
    """A billed metric that no source told in the period is said, with its name."""
    bare = Hour(start=START, counters=AMOUNTS, gauges={"active_devices": Level(1, 1, 3600, 3600)})
    assert {
        "not_told:postgres_size_bytes",
        "not_told:influxdb_size_bytes",
        "not_told:object_storage_bytes",
    } == codes([bare], START + HOUR).keys()


def test_flags_are_explained() -> None:
    """Every flag has a text for people."""
    flagged = [hour(0, covered=0, flags=frozenset({"overlap", "mqtt:unreachable"})), hour(2)]
    flags = flags_of(PeriodUsage(PERIOD, flagged, CATALOG), 1, START + 3 * HOUR)
    assert {"overlap", "mqtt:unreachable", "gap:mqtt", "no_report"} == {flag.code for flag in flags}
    assert [] == [flag.code for flag in flags if not flag.message]


def test_a_period_without_any_report_says_so() -> None:
    """Silence from the period's start is a gap like any other."""
    found = codes([], START + 5 * HOUR)
    assert 5 == found["no_report"]


def test_an_instance_that_stopped_reporting_is_said() -> None:
    """Two instances reported, then one: the hours with one carry a flag, those before the second do not."""
    hours = [hour(0), hour(1, 7200, instances=2), hour(2), hour(3)]
    assert {"instance_missing": 2} == codes(hours, START + 4 * HOUR)


def test_an_instance_out_of_service_is_not_missed() -> None:
    """With one instance left, an hour with one is complete."""
    hours = [hour(0, 7200, instances=2), hour(1)]
    assert [] == flags_of(PeriodUsage(PERIOD, hours, CATALOG), 1, START + 2 * HOUR)


def test_hours_that_are_kept_no_more() -> None:
    """Hours older than 400 days are said to be gone, not to be without a report."""
    now = START + OLDEST_WINDOW + 48 * HOUR
    assert {"expired": 48, "no_report": 30 * 24 - 48 - 1} == {
        code: hours for code, hours in codes([hour(48)], now).items() if "not_told" not in code
    }
