"""The sources' own truth, read without the agent.

MQTT. Three parties see every byte, each with a count of its own:

- the broker's ``$SYS`` totals, read by a probe (`BrokerProbe`) that knows which of them it caused itself: a
  total holds exactly what stands before its message in the probe's stream (the measurements are in
  agent.collectors.mosquitto.broker_totals);
- the customers' clients, at their sockets (`local.measuring.traffic.Traffic.counts`);
- the agent's connection, at a relay in between (`local.measuring.relay`).

So ``$SYS`` less probe less relay = clients, to the byte, once the agent is gone or its connection is at rest:
the relay counts also the messages that follow a total, which that total does not hold yet. A probe is an
ordinary client to the agent and is billed as one: what the agent must have counted is clients + probe, the
probe as of the same round (`Totals.own`).

A broker's restart puts its totals to 0. `BrokerLives` adds the last reading before to those after; what the
broker counted between that reading and its end is in no total, neither the agent's nor this one, so traffic
has to stand still for that time.

Levels. The database tells its devices and size at any moment (`platform_tables.read_levels`). For their
integrals the truth is the log of the changes, not samples (`level_log`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from local.measuring.mqtt_wire import Counts, Message, WireClient

_PREFIX = "$SYS/broker/"
_UPTIME = "uptime"
_FIELDS: Mapping[str, str] = {
    "bytes/sent": "bytes_received",
    "bytes/received": "bytes_sent",
    "publish/bytes/sent": "payload_bytes_received",
    "publish/bytes/received": "payload_bytes_sent",
    "publish/messages/sent": "messages_received",
    "publish/messages/received": "messages_sent",
}
"""Topic → the field of `Counts` that all clients together show for it."""
_METRICS: Mapping[str, str] = {
    "bytes_received": "mqtt_bytes_sent",
    "bytes_sent": "mqtt_bytes_received",
    "payload_bytes_received": "mqtt_payload_bytes_sent",
    "payload_bytes_sent": "mqtt_payload_bytes_received",
    "messages_received": "mqtt_messages_published",
    "messages_sent": "mqtt_messages_received",
}
_QUIET_SECONDS = 0.3
_ROUND_SECONDS = 30.0


class NoRoundError(RuntimeError):
    """The broker published no ``$SYS`` round in time."""


@dataclass(frozen=True, slots=True)
class Totals:
    """One round: the broker's totals, seen as if all its clients were one, and the probe's part in them."""

    uptime_seconds: int
    everyone: Counts
    own: Counts

    @property
    def others(self) -> Counts:
        """What all clients but the probe exchanged."""
        return minus(self.everyone, self.own)


def minus(left: Counts, right: Counts) -> Counts:
    """The difference, field by field."""
    return Counts(**{name: getattr(left, name) - getattr(right, name) for name in _METRICS})


def as_metrics(counts: Counts) -> dict[str, int]:
    """Clients' counts under the contract's names, which are named from the broker's side."""
    return {metric: getattr(counts, name) for name, metric in _METRICS.items()}


@dataclass(slots=True)
class _Round:
    """Values as of the newest message of each topic, with the probe's own counts before it."""

    everyone: dict[str, int] = field(default_factory=dict)
    own: dict[str, int] = field(default_factory=dict)
    uptime_seconds: int | None = None


class BrokerProbe:
    """A client that reads the broker's totals; ``with`` connects and disconnects it."""

    def __init__(self, port: int, username: str, password: str) -> None:
        self._client = WireClient(port, "truth-probe", username, password)
        self._round = _Round()
        self._messages = 0
        self._payload = 0
        self._client.subscribe([_PREFIX + name for name in (_UPTIME, *_FIELDS)])

    def read(self) -> Totals:
        """The next round that begins after this call; `NoRoundError` when none comes in 30 s.

        Waits until the round's messages have all arrived. All that was settled with the broker before the
        call is in it.
        """
        while (stale := self._client.receive(0)) is not None:
            self._take(stale)
        self._round.uptime_seconds = None
        while self._round.uptime_seconds is None:
            message = self._client.receive(_ROUND_SECONDS)
            if message is None:
                raise NoRoundError(f"no $SYS round within {_ROUND_SECONDS:g} s")
            self._take(message)
        while (message := self._client.receive(_QUIET_SECONDS)) is not None:
            self._take(message)
        return Totals(self._round.uptime_seconds, Counts(**self._round.everyone), Counts(**self._round.own))

    def close(self) -> None:
        """Leave the broker without a goodbye, which no later reading of this probe could account for."""
        self._client.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, message: Message) -> None:
        name = message.topic.removeprefix(_PREFIX)
        number = int(message.payload.split()[0])
        if name == _UPTIME:
            self._round.uptime_seconds = None if message.retained else number
        else:
            self._round.everyone[_FIELDS[name]] = number
            # A retained total was taken before this probe subscribed.
            self._round.own |= {_FIELDS[name]: 0} if message.retained else self._own_before(name, message)
        self._messages += 1
        self._payload += len(message.payload)

    def _own_before(self, name: str, message: Message) -> dict[str, int]:
        before = Counts(
            bytes_sent=self._client.counts.bytes_sent,
            bytes_received=message.before,
            messages_received=self._messages,
            payload_bytes_received=self._payload,
        )
        return {_FIELDS[name]: getattr(before, _FIELDS[name])}


class BrokerLives:
    """Adds up a broker's readings over its restarts."""

    def __init__(self) -> None:
        self._ended = Counts()

    def end(self, last: Totals) -> None:
        """The broker is restarted after this reading; nothing may move in between."""
        self._ended += last.others

    def total(self, now: Totals) -> Counts:
        """What all clients but the probes exchanged, over all lives, as of this reading."""
        return self._ended + now.others
