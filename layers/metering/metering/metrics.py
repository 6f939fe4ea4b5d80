"""The registry of metrics: every name that a report may carry and that we understand.

Source: design page "contract", section "The metrics". To add one, add a line here; see docs/adding.md.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a metric's values of one hour combine."""

    COUNTER = "counter"
    """An amount of that hour alone; amounts add up."""
    GAUGE = "gauge"
    """A level held over time; its integral adds up."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, kind, unit and a text for people.

    ``code`` is the short, stable name under which tables store it: never reuse or change one.
    """

    name: str
    kind: Kind
    code: str
    unit: str
    text: str


def _counters(*rows: tuple[str, str, str, str]) -> list[Metric]:
    return [Metric(name, Kind.COUNTER, code, unit, text) for code, name, unit, text in rows]


def _gauges(*rows: tuple[str, str, str, str]) -> list[Metric]:
    return [Metric(name, Kind.GAUGE, code, unit, text) for code, name, unit, text in rows]


METRICS: tuple[Metric, ...] = (
    *_counters(
        ("a", "mqtt_messages_published", "messages", "messages from the broker to clients"),
        ("b", "mqtt_messages_received", "messages", "messages from clients to the broker"),
        ("c", "mqtt_bytes_sent", "bytes", "network bytes the broker sent, the agent's own subtracted"),
        ("d", "mqtt_bytes_received", "bytes", "network bytes the broker received"),
        ("e", "mqtt_payload_bytes_sent", "bytes", "payload bytes of messages to clients"),
        ("f", "mqtt_payload_bytes_received", "bytes", "payload bytes of messages from clients"),
        ("g", "mqtt_messages_qos0", "messages", "messages at QoS 0, where the broker tells"),
        ("h", "mqtt_messages_qos1", "messages", "messages at QoS 1, where the broker tells"),
        ("i", "mqtt_messages_qos2", "messages", "messages at QoS 2, where the broker tells"),
        ("j", "http_requests", "requests", "HTTP requests"),
        ("k", "http_bytes_sent", "bytes", "HTTP response bytes"),
        ("l", "http_bytes_received", "bytes", "HTTP request bytes"),
        ("m", "http_requests_device_api", "requests", "HTTP requests of the device API"),
        ("n", "http_requests_admin_api", "requests", "HTTP requests of the admin API"),
        ("o", "http_requests_public_api", "requests", "HTTP requests of the public API"),
        ("p", "websocket_messages_sent", "messages", "WebSocket messages to clients"),
        ("q", "websocket_messages_received", "messages", "WebSocket messages from clients"),
        ("r", "websocket_bytes_sent", "bytes", "WebSocket bytes to clients"),
        ("s", "websocket_bytes_received", "bytes", "WebSocket bytes from clients"),
        ("t", "websocket_connection_seconds", "seconds", "time WebSocket connections were open"),
        ("u", "external_api_requests", "requests", "requests the instance made to other services"),
        ("v", "external_api_bytes_sent", "bytes", "bytes sent to other services"),
        ("w", "external_api_bytes_received", "bytes", "bytes received from other services"),
        ("x", "influxdb_points", "points", "points written to InfluxDB"),
        ("y", "influxdb_write_requests", "requests", "write requests to InfluxDB"),
        ("z", "influxdb_queries", "queries", "queries to InfluxDB"),
        ("aa", "influxdb_query_milliseconds", "milliseconds", "time InfluxDB spent on queries"),
        ("ab", "compute_cpu_milliseconds", "milliseconds", "CPU time of the instance"),
        ("ac", "compute_uptime_seconds", "seconds", "time the instance was up"),
    ),
    *_gauges(
        ("A", "active_devices", "devices", "devices an administrator has switched on"),
        ("B", "total_devices", "devices", "devices known to the instance"),
        ("C", "mqtt_connections", "connections", "clients connected to the broker"),
        ("D", "websocket_connections", "connections", "open WebSocket connections"),
        ("E", "influxdb_size_bytes", "bytes", "space InfluxDB occupies"),
        ("F", "postgres_size_bytes", "bytes", "size of the PostgreSQL database"),
        ("G", "postgres_rows", "rows", "live rows, PostgreSQL's own estimate; never billed"),
        ("H", "object_storage_bytes", "bytes", "size of stored objects"),
        ("I", "object_storage_files", "files", "number of stored objects"),
        ("J", "compute_memory_bytes", "bytes", "memory the instance uses"),
    ),
)

REGISTRY: dict[str, Metric] = {metric.name: metric for metric in METRICS}
COUNTERS: frozenset[str] = frozenset(m.name for m in METRICS if m.kind is Kind.COUNTER)
GAUGES: frozenset[str] = frozenset(m.name for m in METRICS if m.kind is Kind.GAUGE)
