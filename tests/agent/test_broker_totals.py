"""What a watcher's stream tells of a broker's totals, packet by packet."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from agent.collectors.mosquitto.broker_totals import BrokerTotals, UnreadableTopicError
from agent.collectors.mosquitto.packets import connect_size, publish_size, suback_size, subscribe_size
from agent.engine.observation import Moment, Observation, Series
from agent.engine.own import without_own

SECOND = 1_000_000_000
SENT = Series("mqtt_bytes_sent")


def at(second: int) -> Moment:
    """So many seconds after the machine's start."""
    return Moment("boot", second * SECOND, second * SECOND)


def tell(totals: BrokerTotals, second: int, *, retained: bool = False, **values: object) -> None:
    """Messages of one moment, in the order given; names have two underscores for a slash."""
    for name, value in values.items():
        topic = f"$SYS/broker/{name.replace('__', '/')}"
        totals.message(topic, str(value).encode(), retained=retained, at=at(second))


def sent(observation: Observation | None, known: Mapping[Series, int] = MappingProxyType({})) -> int:
    """The broker's bytes to clients other than the watcher; ``known`` is what was counted of them before."""
    assert observation is not None
    return without_own(observation, known=known)[SENT]


def size(name: str, payload: str) -> int:
    """The bytes of one of the watcher's messages."""
    return publish_size(f"$SYS/broker/{name}", len(payload))


@pytest.mark.parametrize(
    ("expected", "computed"),
    [
        (2 + 10 + 2 + 5, connect_size("agent", None, None)),
        (2 + 10 + 2 + 5 + 2 + 4 + 2 + 6, connect_size("agent", "user", "secret")),
        (2 + 2 + 2 + 3 + 1, subscribe_size(["a/b"])),
        (5, suback_size(1)),
        (2 + 2 + 3 + 122, publish_size("a/b", 122)),
        (3 + 2 + 3 + 123, publish_size("a/b", 123)),
        (2 + 2 + 3 + 2 + 1, publish_size("a/b", 1, qos=1)),
    ],
    ids=["connect", "connect with user", "subscribe", "suback", "publish", "longer publish", "qos 1"],
)
def test_packets_are_as_long_as_the_standard_says(expected: int, computed: int) -> None:
    """The remaining length takes a second byte from 128 on, and QoS above 0 a packet id."""
    assert expected == computed


def test_a_total_holds_what_stands_before_it_and_not_itself() -> None:
    """The uptime of the same round is in the total, the total's own message is in the next one."""
    totals = BrokerTotals()
    first = size("uptime", "10 seconds")

    tell(totals, 10, uptime="10 seconds", bytes__sent=1000 + first)

    assert sent(totals.observation()) == 1000


def test_a_retained_total_holds_nothing_of_this_connection() -> None:
    """It was taken before the subscription; absent from a round it is unchanged."""
    totals = BrokerTotals()

    tell(totals, 10, retained=True, uptime="8 seconds", bytes__sent=1000)
    assert totals.observation() is None
    tell(totals, 11, uptime="10 seconds")

    assert sent(totals.observation()) == 1000


def test_a_difference_that_would_fall_is_held() -> None:
    """Own messages that the broker has queued but not counted yet never make a total go down."""
    totals = BrokerTotals()
    tell(totals, 10, uptime="10 seconds", bytes__sent=1000 + size("uptime", "10 seconds"))
    known = {SENT: sent(totals.observation())}
    assert known == {SENT: 1000}

    tell(totals, 12, uptime="12 seconds", bytes__sent=1001)

    assert sent(totals.observation(), known) == 1000


def test_nothing_of_an_earlier_connection_counts_as_known() -> None:
    """After a reconnect there is no observation until a live uptime, and no total that was not told again."""
    totals = BrokerTotals()
    tell(totals, 10, uptime="10 seconds", bytes__sent=1000, bytes__received=500)

    totals.begin()
    assert totals.observation() is None
    tell(totals, 12, uptime="12 seconds", bytes__sent=2000)

    seen = totals.observation()
    assert seen is not None
    assert {SENT} == set(seen.counters)


@pytest.mark.parametrize(
    ("version", "flags"),
    [
        ("mosquitto version 2.0.11", {"lower_bound"}),
        ("mosquitto version 2.0.15", set()),
        ("mosquitto version 2.1.2", set()),
        ("something else", {"lower_bound"}),
    ],
)
def test_the_version_tells_whether_received_messages_are_a_lower_bound(version: str, flags: set[str]) -> None:
    """Before 2.0.15 QoS 2 and retained messages are missed; an unknown version may be an old one."""
    totals = BrokerTotals()

    tell(totals, 10, version=version, uptime="10 seconds", publish__messages__received=7)

    seen = totals.observation()
    assert seen is not None
    assert flags == seen.flags


@pytest.mark.parametrize(("uptimes", "pace"), [((100, 161), 61), ((100, 161, 172), 11), ((9, 5000), 300)])
def test_the_pace_is_the_distance_of_the_last_two_rounds(uptimes: tuple[int, ...], pace: int) -> None:
    """The retained uptime is a round's, too: a slow broker's pace is known with the first live one."""
    totals = BrokerTotals()
    retained, *live = uptimes
    tell(totals, retained, retained=True, uptime=f"{retained} seconds")
    assert totals.pace_seconds == 0
    for uptime in live:
        tell(totals, uptime, uptime=f"{uptime} seconds")

    assert pace == totals.pace_seconds


@pytest.mark.parametrize("payload", ["1.5", "-1", "", "many"])
def test_a_total_that_is_no_whole_number_is_refused(payload: str) -> None:
    """Another broker's topics are not read as mosquitto's; the bytes they took are counted all the same."""
    totals = BrokerTotals()

    with pytest.raises(UnreadableTopicError, match="no whole number"):
        tell(totals, 10, bytes__received=payload)
    before = size("bytes/received", payload) + size("uptime", "10 seconds")
    tell(totals, 10, uptime="10 seconds", bytes__sent=1000 + before)

    assert sent(totals.observation()) == 1000


def test_connections_below_none_cost_their_own_level_alone() -> None:
    """A broker counts fewer clients than none for a moment: totals go on, the level is flagged."""
    totals = BrokerTotals()
    before = size("clients/connected", "-1") + size("uptime", "10 seconds")
    tell(totals, 10, clients__connected=-1, uptime="10 seconds", bytes__sent=1000 + before)
    odd = totals.observation()
    tell(totals, 20, uptime="20 seconds", clients__connected=3)
    good = totals.observation()

    assert 1000 == sent(odd)
    assert odd is not None
    assert good is not None
    assert ({}, {"mqtt_connections": 2}) == (odd.gauges, good.gauges)
    assert [True, False] == ["mqtt_connections_failed" in seen.flags for seen in (odd, good)]
