"""``ops adjust``: more or less of a meter in one period, kept for ever and sent like any usage."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from metering.core.accounts import BillingPeriod
from metering.core.adjustments import Adjustment
from metering.core.catalog import Override, builtin_catalog
from metering.core.instants import HOUR, format_instant
from metering.tables.usage import period_usage
from tests.component.ops.desk import Desk

METER = "mqtt_traffic"


def period(desk: Desk) -> BillingPeriod:
    """Return the customer's period."""
    return desk.tables.customers.periods("acme")[0]


def asked(desk: Desk, quantity: str, *more: str) -> tuple[str, ...]:
    """Return the command as typed, about the customer's period."""
    start = period(desk).start.isoformat()[:10]
    return (
        *("adjust", "acme", "--period", start, "--meter", METER, f"--quantity={quantity}"),
        *("--reason", "a test of ours", *more),
    )


def stored(desk: Desk) -> list[Adjustment]:
    """Return the period's adjustments."""
    return desk.tables.adjustments.of_period("acme", period(desk).start)


def used(desk: Desk) -> Decimal:
    """Return the period's MQTT traffic after adjustments."""
    return period_usage(desk.tables, "acme", period(desk), builtin_catalog()).quantities[METER]


def hours(desk: Desk, first: int, last: int) -> str:
    """Return the option's value for hours counted from the period's first."""
    start = period(desk).span.first_hour
    return "..".join(f"{start + n * HOUR:%Y-%m-%dT%H}" for n in (first, last))


def test_an_adjustment_is_kept_with_who_when_and_why(acme: Desk) -> None:
    """The item has the AWS identity; usage has the quantity, and stored hours are as they were."""
    acme.used("acme", period(acme).span.first_hour, gib=5)
    answer = acme.good(*asked(acme, "2.5"), "--json").json

    [item] = stored(acme)
    assert (True, "0") == (answer["new"], answer["unapplied"])
    assert item.who.startswith("arn:aws:")
    assert ("a test of ours", Decimal("2.5")) == (item.reason, item.quantity)
    assert abs(acme.now - item.at) < timedelta(minutes=10)
    assert Decimal("7.5") == used(acme)
    [hour] = acme.tables.hours.of_period("acme", period(acme).span)
    assert {"mqtt_bytes_sent": 5 * 2**30} == hour.counters


def test_its_days_are_marked_to_be_sent(acme: Desk) -> None:
    """The days of its hours, as far as they have begun, are unsent."""
    for marker in list(acme.tables.markers.unsent_of("acme")):
        acme.tables.markers.clear_unsent(marker)
    acme.good(*asked(acme, "-1", "--hours", hours(acme, 0, 25)))

    first = period(acme).span.first_hour
    expected = sorted({first.date(), (first + 25 * HOUR).date()})
    assert expected == [marker.day for marker in acme.tables.markers.unsent_of("acme")]


def test_less_is_taken_from_its_hours_and_the_rest_is_told(acme: Desk) -> None:
    """No hour falls below 0: what finds no usage is said, and shown as unapplied."""
    first = period(acme).span.first_hour
    acme.used("acme", first, gib=5)
    acme.used("acme", first + HOUR, gib=2)
    acme.used("acme", first + 2 * HOUR, gib=4)
    result = acme.good(*asked(acme, "-7", "--hours", hours(acme, 1, 2)))

    assert "1 of it finds no usage" in result.out
    assert Decimal(5) == used(acme)


def test_the_same_words_are_the_same_adjustment(acme: Desk) -> None:
    """After a crash the command may be run again: it adds nothing, and marks the days again."""
    acme.good(*asked(acme, "2"))
    for marker in list(acme.tables.markers.unsent_of("acme")):
        acme.tables.markers.clear_unsent(marker)
    result = acme.good(*asked(acme, "2"))

    assert "was adjusted already" in result.out
    assert [1] == [item.number for item in stored(acme)]
    assert [period(acme).span.first_hour.date()] == [
        marker.day for marker in acme.tables.markers.unsent_of("acme")
    ]


def test_the_audit_comes_first(acme: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who, when, what before, what after and why are written before the adjustment; without, nothing is."""
    acme.good(*asked(acme, "2"))
    [entry] = acme.tables.audit.of("acme")
    [item] = stored(acme)
    assert ("adjust", item.who, item.at, "a test of ours") == (entry.action, entry.who, entry.at, entry.why)
    assert ([], [1]) == (entry.before, [row["number"] for row in entry.after])

    monkeypatch.setattr("metering.tables.audit.Audit.write", _fails)
    with pytest.raises(ConnectionAbortedError):
        acme.run(*asked(acme, "3"))
    assert [1] == [item.number for item in stored(acme)]


def _fails(*_: object) -> None:
    raise ConnectionAbortedError


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--quantity=0",), "--quantity"),
        (("--quantity=a lot",), "--quantity must be a number"),
        (("--quantity=0.0000000001",), "decimals"),
        (("--meter", "steps"), "there are mqtt_traffic"),
        (("--period", "1999-01-01"), "no period starts at"),
        (("--hours", "2020-01-01T00"), "--hours must lie within the period"),
        (("--hours", "noon"), "no full UTC hour"),
        (("--reason", " "), "--reason must say why"),
    ],
)
def test_wrong_input_is_named(acme: Desk, changed: tuple[str, ...], said: str) -> None:
    """What cannot be right ends with 2 and names the option; nothing is written."""
    assert said in acme.wrong(2, *asked(acme, "1"), *changed)
    assert ([], []) == (stored(acme), acme.tables.audit.of("acme"))


def test_an_expired_period_is_not_adjusted(acme: Desk) -> None:
    """Of a period whose first hours have expired nothing is known any more."""
    [old] = acme.tables.customers.periods("acme")
    long_ago = old.start - timedelta(days=420)
    expired = old.model_copy(update={"start": long_ago, "end": long_ago + timedelta(days=31)})
    assert acme.tables.customers.add_period("acme", expired)

    start = long_ago.isoformat()[:10]
    assert "expired" in acme.wrong(1, *asked(acme, "1"), "--period", start)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sold": False}, "is not sold: there is nothing to adjust"),
        ({"meters": ("devices",)}, "sells no mqtt_traffic, or without a price: there is nothing to adjust"),
        ({"plan": "enterprise@1", "override": Override(base_fee=Decimal(500))}, "sells no mqtt_traffic"),
    ],
)
def test_what_is_not_sold_is_not_adjusted(acme: Desk, changed: dict[str, Any], said: str) -> None:
    """It would change no bill: that is said, and nothing is written down."""
    other = period(acme).model_copy(update=changed)
    assert acme.tables.customers.replace_period("acme", period(acme), other)
    assert said in acme.wrong(1, *asked(acme, "5"))
    assert ([], []) == (stored(acme), acme.tables.audit.of("acme"))


@pytest.mark.parametrize("digits", [1, 7, 10])
def test_a_period_that_is_named_by_less_than_itself_is_refused(acme: Desk, digits: int) -> None:
    """Two periods began on one day; neither a day of two periods nor a part of a day names one."""
    first = period(acme)
    back = first.start + timedelta(minutes=30)
    assert acme.tables.customers.replace_period("acme", first, first.cut(back))
    assert acme.tables.customers.add_period("acme", first.model_copy(update={"start": back}))
    command = asked(acme, "5")
    start = format_instant(first.start)
    short = [part if part != start[:10] else start[:digits] for part in command]
    assert "period starts at" in acme.wrong(2, *short)
    acme.good(*(part if part != start[:10] else start for part in command))
    assert [first.start] == [one.period_start for one in stored(acme)]
