"""A small MQTT 3.1.1 client that knows every byte it sent and received.

The demo and the tests need a truth that owes nothing to the broker's counters, to paho or to the agent: this
client counts at its own socket. Blocking, for one thread; every wait has a deadline. Source: OASIS, "MQTT
Version 3.1.1", section 3.
"""

import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PUBREC, _PUBREL, _PUBCOMP = 0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70
_SUBSCRIBE, _SUBACK, _PINGREQ, _PINGRESP, _DISCONNECT = 0x82, 0x90, 0xC0, 0xD0, 0xE0
_CLEAN, _USER, _PASSWORD = 0x02, 0x80, 0x40
_RETAIN = 0x01
_LAST_PACKET_ID = 0xFFFF
_MORE = 0x80
_LENGTH_BYTES = 4
_DEADLINE_SECONDS = 10.0
_GLANCE_SECONDS = 0.001


class WireError(Exception):
    """The broker refused, left, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Message:
    """A PUBLISH from the broker; ``before`` is how many bytes of the stream stood before it."""

    topic: str
    payload: bytes
    qos: int
    retained: bool
    before: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What one client exchanged, named from the client's side; bytes are whole packets below TLS."""

    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    payload_bytes_sent: int = 0
    payload_bytes_received: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.bytes_sent + other.bytes_sent,
            self.bytes_received + other.bytes_received,
            self.messages_sent + other.messages_sent,
            self.messages_received + other.messages_received,
            self.payload_bytes_sent + other.payload_bytes_sent,
            self.payload_bytes_received + other.payload_bytes_received,
        )


class WireClient:
    """One connection to a broker; ``with`` ends it with a DISCONNECT.

    `publish` finishes its handshake; after `settle` the broker has read and written exactly what `counts`
    says.
    """

    def __init__(self, port: int, client_id: str, username: str, password: str) -> None:
        self.counts = Counts()
        self._inbox: deque[Message] = deque()
        self._answers: deque[tuple[int, bytes]] = deque()
        self._buffer = b""
        self._packet_id = 0
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_DEADLINE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flags = bytes([4, _CLEAN | _USER | _PASSWORD, 0, 0])
        self._send(
            _CONNECT, _string("MQTT") + flags + _string(client_id) + _string(username) + _string(password)
        )
        answer = self._answer(_CONNACK)
        if answer[1] != 0:
            self._socket.close()
            raise WireError(f"the broker refuses {username!r} with code {answer[1]}")

    def subscribe(self, topics: Sequence[str], qos: int = 0) -> list[int]:
        """Subscribe to all topics with one packet; the broker's return codes (0x80 is a refusal)."""
        packet_id = self._next_id()
        self._send(_SUBSCRIBE, packet_id + b"".join(_string(topic) + bytes([qos]) for topic in topics))
        return list(self._answer(_SUBACK)[2:])

    def publish(self, topic: str, payload: bytes, qos: int = 0, *, retain: bool = False) -> None:
        """Publish one message and finish its handshake."""
        packet_id = self._next_id() if qos else b""
        self._send(_PUBLISH | qos << 1 | (_RETAIN if retain else 0), _string(topic) + packet_id + payload)
        self._add(Counts(messages_sent=1, payload_bytes_sent=len(payload)))
        if qos == 1:
            self._answer(_PUBACK)
        elif qos:
            self._answer(_PUBREC)
            self._send(_PUBREL, packet_id)
            self._answer(_PUBCOMP)

    def receive(self, seconds: float = _DEADLINE_SECONDS) -> Message | None:
        """The next message in stream order; None when none has come in time."""
        deadline = time.monotonic() + seconds
        while not self._inbox:
            if not self._read_packet(deadline):
                return None
        return self._inbox.popleft()

    def settle(self) -> None:
        """Exchange pings until every handshake is over and both sides have read all that was sent."""
        answered = -1
        while answered != self.counts.bytes_sent:
            self._send(_PINGREQ, b"")
            answered = self.counts.bytes_sent
            self._answer(_PINGRESP)

    def close(self) -> None:
        """Say goodbye and hang up; `OSError` when the broker is gone already."""
        try:
            self._send(_DISCONNECT, b"")
        finally:
            self._socket.close()

    def abandon(self) -> None:
        """Hang up without a word."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()

    def _add(self, counts: Counts) -> None:
        self.counts += counts

    def _next_id(self) -> bytes:
        self._packet_id = self._packet_id % _LAST_PACKET_ID + 1
        return struct.pack("!H", self._packet_id)

    def _send(self, kind: int, body: bytes) -> None:
        packet = bytes([kind]) + _length(len(body)) + body
        self._socket.sendall(packet)
        self._add(Counts(bytes_sent=len(packet)))

    def _answer(self, kind: int) -> bytes:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not self._answers:
            if not self._read_packet(deadline):
                raise WireError(f"no answer 0x{kind:02x} within {_DEADLINE_SECONDS:g} s")
        got, body = self._answers.popleft()
        if got != kind:
            raise WireError(f"expected 0x{kind:02x}, got 0x{got:02x}")
        return body

    def _read_packet(self, deadline: float) -> bool:
        looked = False
        while (packet := self._take()) is None:
            left = deadline - time.monotonic()
            if left <= 0 and looked:
                return False
            # What has arrived is read even when the deadline is now.
            self._socket.settimeout(max(left, _GLANCE_SECONDS))
            looked = True
            try:
                received = self._socket.recv(65536)
            except TimeoutError:
                return False
            finally:
                self._socket.settimeout(_DEADLINE_SECONDS)
            if not received:
                raise WireError("the broker hung up")
            self._buffer += received
        self._handle(*packet)
        return True

    def _take(self) -> tuple[int, bytes, int] | None:
        length = 0
        for position, byte in enumerate(self._buffer[1 : 1 + _LENGTH_BYTES]):
            length |= (byte & ~_MORE) << (7 * position)
            if not byte & _MORE:
                start = position + 2
                if len(self._buffer) < start + length:
                    return None
                packet = self._buffer[0], self._buffer[start : start + length], self.counts.bytes_received
                self._buffer = self._buffer[start + length :]
                self._add(Counts(bytes_received=start + length))
                return packet
        return None

    def _handle(self, kind: int, body: bytes, before: int) -> None:
        if kind & 0xF0 == _PUBLISH:
            self._handle_publish(kind, body, before)
        elif kind == _PUBREL:
            self._send(_PUBCOMP, body)
        else:
            self._answers.append((kind, body))

    def _handle_publish(self, kind: int, body: bytes, before: int) -> None:
        (topic_length,) = struct.unpack_from("!H", body)
        topic, rest = body[2 : 2 + topic_length].decode(), body[2 + topic_length :]
        qos = kind >> 1 & 0x03
        if qos:
            self._send(_PUBACK if qos == 1 else _PUBREC, rest[:2])
            rest = rest[2:]
        self._add(Counts(messages_received=1, payload_bytes_received=len(rest)))
        self._inbox.append(Message(topic, rest, qos, bool(kind & _RETAIN), before))


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded


def _length(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (_MORE if number else 0))
        if not number:
            return bytes(out)
