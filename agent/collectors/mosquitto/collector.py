"""The MQTT broker: mosquitto's ``$SYS`` totals, read by a client that stays subscribed.

It keeps its connection, what was last told on it, and what its own watching caused. What the topics mean, and
how much of them is the agent's own, is in `agent.collectors.mosquitto.broker_totals`. Source:
docs/agent-design.md#mosquitto.
"""

import logging
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from paho.mqtt.client import (
    Client,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.collectors.mosquitto.broker_totals import (
    METRICS,
    TOPICS,
    BrokerTotals,
    UnreadableTopicError,
)
from agent.collectors.mosquitto.packets import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    UNSUBACK,
    connect_size,
    suback_size,
    subscribe_size,
    unsubscribe_size,
)
from agent.collectors.mosquitto.settings import MosquittoSettings
from agent.engine.observation import Moment, Observation, Series, SourceError, valid_for

_LOG = logging.getLogger(__name__)
_NS = 1_000_000_000
_PAHO_COMPLAINTS = frozenset({LogLevel.MQTT_LOG_WARNING, LogLevel.MQTT_LOG_ERR})
# A look waits for the rest of a round, not for the next one: a stop must not wait for a look.
_PATIENCE_SECONDS = 2.0
# A broker that does not answer for so long is left without its answer.
_LEAVE_SECONDS = 2.0
# A round is written in one turn of the broker's loop; after this pause it has arrived.
_ROUND_GAP_SECONDS = 0.3
_KEEPALIVE_SECONDS = 60
_RECONNECT_SECONDS = (1, 30)
# Ended connections whose last round nobody has collected yet.
_ENDED_KEPT = 4


class MosquittoCollector:
    """Stays subscribed to the broker's totals and hands over the last complete round.

    Parameters
    ----------
    settings:
        where the broker is and who asks.
    now:
        the machine's own clocks.
    poll_seconds:
        how often `collect` is called.
    stale_after_seconds:
        without a live uptime for so long, the broker counts as unread; three intervals unless given. A broker
        with a slower pace of its own (``sys_interval``) gets three of its rounds.
    patience_seconds:
        how long one `collect` waits for a connection and its first round.
    """

    def __init__(
        self,
        settings: MosquittoSettings,
        now: Callable[[], Moment],
        poll_seconds: int,
        *,
        stale_after_seconds: int | None = None,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self.name = "mqtt"
        self.metrics = frozenset({*METRICS.values(), "mqtt_connections"})
        self._settings = settings
        self._now = now
        self._patience_ns = round(patience_seconds * _NS)
        self._stale_after_seconds = stale_after_seconds or valid_for(poll_seconds)
        self._changed = threading.Condition()
        self._totals = BrokerTotals()
        self._ended: deque[Observation] = deque(maxlen=_ENDED_KEPT)
        self._problem: tuple[str, str] | None = None
        self._unreadable: dict[str, str] = {}
        self._last_message_ns = 0
        self._subscribed_ns: int | None = None
        self._collected: Moment | None = None
        self._client_id = f"usage-agent-{uuid.uuid4().hex[:8]}"
        self._client: Client | None = None
        self._asked = self._left = False

    @property
    def valid_for_seconds(self) -> int:
        """How long a level may be held, and the broker may be silent: three polls, or three of its rounds."""
        return max(self._stale_after_seconds, 3 * self._totals.pace_seconds)

    def collect(self) -> Observation:
        """The last complete round, at its uptime's arrival; the same again while there is no newer one.

        The last round of a connection that has ended is handed over before any of the next one.

        Raises
        ------
        SourceError
            ``unreachable`` (no connection), ``denied`` (user, password or subscription refused),
            ``waiting`` (connected, the first round is still to come), ``stale`` (connected, but no live
            uptime for three intervals: an access list may hide ``$SYS``, or the broker does not publish it),
            ``unsupported`` (the topics are not mosquitto's).
        """
        with self._changed:
            if self._client is None:
                self._client = self._connect()
            give_up = self._now().awake_ns + self._patience_ns
            while True:
                observation = self._ready()
                if observation is not None:
                    self._collected = observation.at
                    return observation
                left = give_up - self._now().awake_ns
                if left <= 0:
                    raise SourceError(*self._nothing_yet())
                self._changed.wait(min(left / _NS, _ROUND_GAP_SECONDS))

    def close(self) -> Mapping[Series, int]:
        """Leave the broker; returns all that watching it has caused, the goodbye included.

        The broker may write a round at any instant, and a client that hangs up does not read it. So the
        subscription ends first: what stands before its answer in the stream is all that the broker sent. A
        CONNECT without its answer is waited for; a broker that gives none leaves the last packets unknown.
        """
        with self._changed:
            client, self._client = self._client, None
        if client is not None:
            with self._changed:
                self._changed.wait_for(lambda: not self._asked, _LEAVE_SECONDS)
            if client.is_connected():
                client.unsubscribe(list(TOPICS))
                with self._changed:
                    self._changed.wait_for(lambda: not client.is_connected() or self._left, _LEAVE_SECONDS)
            client.disconnect()
            client.loop_stop()
        return self._totals.own()

    def _ready(self) -> Observation | None:
        if self._ended:
            return self._ended.popleft()
        if self._problem is not None:
            raise SourceError(*self._problem)
        if self._unreadable:
            raise SourceError("unsupported", next(iter(self._unreadable.values())))
        awake = self._now().awake_ns
        live = self._totals.live
        if live is None or awake - self._last_message_ns < _ROUND_GAP_SECONDS * _NS:
            return None
        if awake - live.awake_ns > self.valid_for_seconds * _NS:
            raise SourceError(*self._nothing_yet())
        return self._totals.observation()

    def _nothing_yet(self) -> tuple[str, str]:
        where = f"{self._settings.host}:{self._settings.port}"
        if self._subscribed_ns is None:
            return "unreachable", f"no answer from {where}"
        last = self._totals.live
        since = self._subscribed_ns if last is None else last.awake_ns
        if self._now().awake_ns - since <= self.valid_for_seconds * _NS:
            return "waiting", f"connected to {where}, the first live uptime is still to come"
        return "stale", (
            f"connected to {where}, but no live $SYS/broker/uptime for {self.valid_for_seconds} s: "
            "an access list hides it, or sys_interval is 0 or too long"
        )

    def _connect(self) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        if settings.username is not None:
            client.username_pw_set(settings.username, self._password())
        if settings.tls:
            client.tls_set(ca_certs=None if settings.ca_file is None else str(settings.ca_file))
        client.reconnect_delay_set(*_RECONNECT_SECONDS)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        # paho has no callback for a ping's answer, but it logs it, in stream order; nor one for what it sends
        # to begin and to end, and what `disconnect` returns does not tell whether it was sent.
        client.on_log = self._on_log
        client.connect_async(settings.host, settings.port, keepalive=_KEEPALIVE_SECONDS)
        client.loop_start()
        return client

    def _password(self) -> str | None:
        return None if self._settings.password is None else self._settings.password.get_secret_value()

    def _on_connect(
        self, client: Client, _: Any, __: ConnectFlags, reason: ReasonCode, ___: Properties | None
    ) -> None:
        with self._changed:
            self._asked = False
            self._totals.begin()
            # A refused CONNECT is in the broker's totals too.
            self._totals.exchanged(
                connect_size(self._client_id, self._settings.username, self._password()), CONNACK
            )
            if reason.is_failure:
                self._problem = ("denied", f"the broker refuses user {self._settings.username!r}: {reason}")
            self._changed.notify_all()
        if not reason.is_failure:
            client.subscribe([(topic, 0) for topic in TOPICS])

    def _on_connect_fail(self, _: Client, __: Any) -> None:
        with self._changed:
            # paho calls this while it handles the exception, and does not hand it over.
            cause = sys.exception()
            self._problem = ("unreachable", str(cause) or type(cause).__name__)
            self._changed.notify_all()

    def _on_subscribe(
        self, _: Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Properties | None
    ) -> None:
        with self._changed:
            self._totals.exchanged(subscribe_size(TOPICS), suback_size(len(reasons)))
            self._subscribed_ns = self._now().awake_ns
            self._problem = None
            self._unreadable.clear()
            refused = [topic for topic, reason in zip(TOPICS, reasons, strict=True) if reason.is_failure]
            if refused:
                self._problem = ("denied", f"the broker refuses to subscribe us to {', '.join(refused)}")
            self._changed.notify_all()

    def _on_unsubscribe(
        self, _: Client, __: Any, ___: int, ____: list[ReasonCode], _____: Properties | None
    ) -> None:
        with self._changed:
            self._totals.exchanged(unsubscribe_size(TOPICS), UNSUBACK)
            self._left = True
            self._changed.notify_all()

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        with self._changed:
            at = self._now()
            self._last_message_ns = at.awake_ns
            try:
                self._totals.message(message.topic, bytes(message.payload), retained=message.retain, at=at)
                self._unreadable.pop(message.topic, None)
            except UnreadableTopicError as error:
                self._unreadable[message.topic] = str(error)
            self._changed.notify_all()

    def _on_disconnect(
        self, _: Client, __: Any, ___: DisconnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        with self._changed:
            last = self._totals.observation()
            if last is not None and last.at != self._collected:
                self._ended.append(last)
            self._asked = False
            self._subscribed_ns = None
            if self._problem is None:
                self._problem = ("unreachable", f"the connection was lost: {reason}")
            self._changed.notify_all()

    def _on_log(self, _: Client, __: Any, level: int, text: str) -> None:
        if text == "Received PINGRESP":
            with self._changed:
                self._totals.exchanged(PINGREQ, PINGRESP)
        elif text.startswith("Sending CONNECT"):
            with self._changed:
                self._asked = True
        elif text == "Sending DISCONNECT":
            with self._changed:
                self._totals.exchanged(DISCONNECT, 0)
        elif level in _PAHO_COMPLAINTS:
            # After each failed attempt to connect, and after its goodbye, paho complains that it is not
            # connected; the source's status says so already, with the reason.
            _LOG.debug("paho: %s", text)
