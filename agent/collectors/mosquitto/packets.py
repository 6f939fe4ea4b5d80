"""How many bytes an MQTT 3.1.1 packet takes on the wire.

Source: OASIS, "MQTT Version 3.1.1", sections 2.2 (fixed header), 3.1 to 3.3 and 3.8 to 3.14. Sizes are in
bytes, below TLS, as brokers count them.
"""

from collections.abc import Sequence

CONNACK = 4
PINGREQ = 2
PINGRESP = 2
UNSUBACK = 4
DISCONNECT = 2

_CONNECT_FIXED = 10
_LENGTH_PREFIX = 2
_PACKET_ID = 2
_QOS_BYTE = 1


def connect_size(client_id: str, username: str | None, password: str | None) -> int:
    """A CONNECT without a will."""
    strings = [text for text in (client_id, username, password) if text is not None]
    return _packet(_CONNECT_FIXED + sum(_string(text) for text in strings))


def subscribe_size(topics: Sequence[str]) -> int:
    """One SUBSCRIBE for all ``topics``."""
    return _packet(_PACKET_ID + sum(_string(topic) + _QOS_BYTE for topic in topics))


def suback_size(topics: int) -> int:
    """The answer to a SUBSCRIBE for that many topics: one return code each."""
    return _packet(_PACKET_ID + topics)


def unsubscribe_size(topics: Sequence[str]) -> int:
    """One UNSUBSCRIBE for all ``topics``."""
    return _packet(_PACKET_ID + sum(_string(topic) for topic in topics))


def publish_size(topic: str, payload: int, qos: int = 0) -> int:
    """A PUBLISH of ``payload`` bytes; above QoS 0 it carries a packet id."""
    return _packet(_string(topic) + (_PACKET_ID if qos else 0) + payload)


def _string(text: str) -> int:
    return _LENGTH_PREFIX + len(text.encode())


def _packet(remaining: int) -> int:
    # The remaining length takes one byte for each seven bits.
    return 1 + max(1, -(-remaining.bit_length() // 7)) + remaining
