"""The totals that a mosquitto tells under ``$SYS``, and what watching them adds to them.

Measured on mosquitto 2.0.11 with a client that counts its own stream (tests/agent/test_mosquitto.py):

- A round comes every ``sys_interval`` + 1 seconds: ``uptime`` first, always; then, each only if it changed,
  ``clients/…``, ``publish/messages/received``, ``publish/messages/sent``, ``bytes/received``, ``bytes/sent``,
  ``publish/bytes/received``, ``publish/bytes/sent``; all in one turn of the broker's loop.
- Every value is taken in the instant its message is made, and each message is written before the next value
  is taken. So a total holds exactly what stands **before** its message in the watcher's own stream, messages
  of the same round included, and never the message itself. There is no lag to allow for.
- The same holds for what the watcher sends: a packet is in the total if its answer (CONNACK, SUBACK,
  PINGRESP) stands before it.
- ``bytes/…`` count whole packets of any kind, below TLS; ``publish/messages/sent`` counts every QoS and
  retained messages, ``publish/messages/received`` misses QoS 2 and retained ones before 2.0.15.

A retained value was taken before this connection's subscription and holds nothing of it. Source:
docs/agent-design.md#mosquitto.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.collectors.mosquitto.packets import publish_size
from agent.engine.meter import elapsed_between, is_same_life, lateness_ms
from agent.engine.observation import Moment, Observation, Series, SourceIdentity

PREFIX = "$SYS/broker/"
UPTIME = "uptime"
LONGEST_PACE_SECONDS = 300
"""Beyond it a level is not held for three rounds: longer than any interval that the settings allow."""

_LOWER_BOUND_BEFORE = (2, 0, 15)
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_SECONDS = re.compile(r"(\d+)(?: seconds)?")


@dataclass(frozen=True, slots=True)
class OwnTraffic:
    """What a watcher itself caused in a broker's totals; each field is named after the broker's view."""

    bytes_sent: int = 0
    bytes_received: int = 0
    payload_bytes_sent: int = 0
    messages_sent: int = 0

    def __add__(self, other: "OwnTraffic") -> "OwnTraffic":
        return OwnTraffic(
            self.bytes_sent + other.bytes_sent,
            self.bytes_received + other.bytes_received,
            self.payload_bytes_sent + other.payload_bytes_sent,
            self.messages_sent + other.messages_sent,
        )


@dataclass(frozen=True, slots=True)
class _Total:
    value: int
    own: OwnTraffic


@dataclass(frozen=True, slots=True)
class _Life:
    """A live uptime, when it arrived, and how late that may have been (an agent can be frozen)."""

    seconds: int
    at: Moment
    late_ms: int = 0


METRICS: Mapping[str, str] = {
    "bytes/sent": "mqtt_bytes_sent",
    "bytes/received": "mqtt_bytes_received",
    "publish/bytes/sent": "mqtt_payload_bytes_sent",
    "publish/bytes/received": "mqtt_payload_bytes_received",
    "publish/messages/sent": "mqtt_messages_published",
    "publish/messages/received": "mqtt_messages_received",
}
CONNECTED = "clients/connected"
_CONNECTIONS_FAILED = "mqtt_connections_failed"
VERSION = "version"
TOPICS: tuple[str, ...] = tuple(PREFIX + name for name in (UPTIME, VERSION, CONNECTED, *METRICS))


class UnreadableTopicError(ValueError):
    """A ``$SYS`` topic holds something that no mosquitto puts there."""

    def __init__(self, topic: str, payload: bytes) -> None:
        super().__init__(f"{topic} says {payload[:40]!r}, which is no whole number")


class BrokerTotals:
    """One broker's totals as one watcher's stream tells them; pure: told of every packet, in order.

    What a total holds of the watcher's own is cumulative over the broker's life as the total is: own bytes of
    earlier connections are kept until the uptime shows another life of the broker. The engine takes them off.
    """

    def __init__(self) -> None:
        self._earlier = OwnTraffic()
        self._own = OwnTraffic()
        self._totals: dict[str, _Total] = {}
        self._connected: int | None = None
        self._odd = False
        self._version: tuple[int, ...] | None = None
        self._last: _Life | None = None
        self._now: _Life | None = None
        self._uptime: int | None = None
        self._pace = 0

    def begin(self) -> None:
        """A new connection: nothing received on an older one counts as known."""
        self._earlier += self._own
        self._own = OwnTraffic()
        self._totals.clear()
        self._connected = None
        self._odd = False
        self._version = None
        self._uptime = None
        self._last, self._now = self._now or self._last, None

    def exchanged(self, sent: int, answered: int) -> None:
        """The watcher sent a packet of ``sent`` bytes and now has its answer of ``answered`` bytes."""
        self._own += OwnTraffic(bytes_sent=answered, bytes_received=sent)

    def message(self, topic: str, payload: bytes, *, retained: bool, at: Moment) -> None:
        """A message of the subscription, in stream order; ``at`` is its arrival.

        Raises `UnreadableTopicError`, but for the connections, which are on nobody's bill: a broker may tell
        fewer than none for a moment. The message's own bytes are counted all the same.
        """
        before = self._own
        self._own += OwnTraffic(
            bytes_sent=publish_size(topic, len(payload)),
            payload_bytes_sent=len(payload),
            messages_sent=1,
        )
        name = topic.removeprefix(PREFIX)
        if name == VERSION:
            found = _VERSION.search(payload.decode(errors="replace"))
            self._version = tuple(map(int, found.groups())) if found else None
        elif name == UPTIME:
            self._paces(_whole(topic, payload, _SECONDS), at, retained=retained)
        elif name == CONNECTED:
            self._connections(topic, payload)
        elif name in METRICS:
            self._totals[name] = _Total(_whole(topic, payload), OwnTraffic() if retained else before)

    @property
    def live(self) -> Moment | None:
        """When this connection's last live uptime arrived; None before the first."""
        return None if self._now is None else self._now.at

    @property
    def pace_seconds(self) -> int:
        """The distance of the last two rounds, at most `LONGEST_PACE_SECONDS`; 0 before a second one."""
        return self._pace

    def observation(self) -> Observation | None:
        """What is known now; None until this connection has brought a live uptime."""
        if self._now is None:
            return None
        return Observation(
            at=self._now.at,
            identity=SourceIdentity(uptime_seconds=self._now.seconds),
            counters={Series(METRICS[name]): total.value for name, total in self._totals.items()},
            # The watcher is one of the clients.
            gauges={} if self._connected is None else {"mqtt_connections": max(0, self._connected - 1)},
            flags=self._flags(),
            own=self.own(),
            held={
                Series(METRICS[name]): _part(name, self._earlier + total.own)
                for name, total in self._totals.items()
            },
        )

    def own(self) -> Mapping[Series, int]:
        """All that this process's watching has caused, be it in a total yet or not."""
        caused = self._earlier + self._own
        return {Series(metric): _part(name, caused) for name, metric in METRICS.items()}

    def _connections(self, topic: str, payload: bytes) -> None:
        self._connected, self._odd = None, False
        try:
            self._connected = _whole(topic, payload)
        except UnreadableTopicError:
            self._odd = True

    def _flags(self) -> frozenset[str]:
        told = {"lower_bound": self._misses_messages(), _CONNECTIONS_FAILED: self._odd}
        return frozenset(flag for flag, is_so in told.items() if is_so)

    def _paces(self, uptime: int, at: Moment, *, retained: bool) -> None:
        # The retained one is the last round's: with the first live one it tells the pace already.
        if self._uptime is not None and uptime > self._uptime:
            self._pace = min(uptime - self._uptime, LONGEST_PACE_SECONDS)
        self._uptime = uptime
        if not retained:
            self._lives(uptime, at)

    def _lives(self, uptime: int, at: Moment) -> None:
        last, late_ms = self._now or self._last, 0
        if last is not None:
            # The engine's own rule for uptimes, so that both see a restart at the same observation. Within
            # one connection it is one broker's life.
            elapsed = elapsed_between(last.at, at, 0, known=True)
            if self._now is not None or is_same_life(last.seconds, uptime, elapsed, last.late_ms):
                late_ms = lateness_ms(last.seconds, uptime, elapsed, last.late_ms)
            else:
                self._earlier = OwnTraffic()
        self._now = _Life(uptime, at, late_ms)

    def _misses_messages(self) -> bool:
        # A broker that hides its version may be an old one.
        return "publish/messages/received" in self._totals and (
            self._version is None or self._version < _LOWER_BOUND_BEFORE
        )


def _part(name: str, own: OwnTraffic) -> int:
    """What of a watcher's own a total counts."""
    match name:
        case "bytes/sent":
            return own.bytes_sent
        case "bytes/received":
            return own.bytes_received
        case "publish/bytes/sent":
            return own.payload_bytes_sent
        case "publish/messages/sent":
            return own.messages_sent
        case _:
            return 0


def _whole(topic: str, payload: bytes, form: re.Pattern[str] = re.compile(r"(\d+)")) -> int:
    found = form.fullmatch(payload.decode(errors="replace").strip())
    if found is None:
        raise UnreadableTopicError(topic, payload)
    return int(found[1])
