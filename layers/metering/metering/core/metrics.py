"""The registry of metrics: every name that a report may carry and that we understand.

Source: docs/contract.md#metrics. To add one, add a line here; see docs/adding.md.
"""

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """How a metric's values of one hour combine."""

    COUNTER = "counter"
    """An amount of that hour alone; amounts add up."""
    GAUGE = "gauge"
    """A level held over time; its integral adds up."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, kind, unit and a text for people."""

    name: str
    kind: MetricKind
    unit: str
    text: str


def _of(kind: MetricKind, *rows: tuple[str, str, str]) -> list[Metric]:
    return [Metric(name, kind, unit, text) for name, unit, text in rows]


METRICS: tuple[Metric, ...] = (
    *_of(
        MetricKind.COUNTER,
        ("mqtt_messages_published", "messages", "messages from the broker to clients"),
        ("mqtt_messages_received", "messages", "messages from clients to the broker"),
        ("mqtt_bytes_sent", "bytes", "network bytes the broker sent, the agent's own subtracted"),
        ("mqtt_bytes_received", "bytes", "network bytes the broker received"),
        ("mqtt_payload_bytes_sent", "bytes", "payload bytes of messages to clients"),
        ("mqtt_payload_bytes_received", "bytes", "payload bytes of messages from clients"),
        ("mqtt_messages_qos0", "messages", "messages at QoS 0, where the broker tells"),
        ("mqtt_messages_qos1", "messages", "messages at QoS 1, where the broker tells"),
        ("mqtt_messages_qos2", "messages", "messages at QoS 2, where the broker tells"),
        ("http_requests", "requests", "HTTP requests"),
        ("http_bytes_sent", "bytes", "HTTP response bytes"),
        ("http_bytes_received", "bytes", "HTTP request bytes"),
        ("http_requests_device_api", "requests", "HTTP requests of the device API"),
        ("http_requests_admin_api", "requests", "HTTP requests of the admin API"),
        ("http_requests_public_api", "requests", "HTTP requests of the public API"),
        ("websocket_messages_sent", "messages", "WebSocket messages to clients"),
        ("websocket_messages_received", "messages", "WebSocket messages from clients"),
        ("websocket_bytes_sent", "bytes", "WebSocket bytes to clients"),
        ("websocket_bytes_received", "bytes", "WebSocket bytes from clients"),
        ("websocket_connection_seconds", "seconds", "time WebSocket connections were open"),
        ("external_api_requests", "requests", "requests the instance made to other services"),
        ("external_api_bytes_sent", "bytes", "bytes sent to other services"),
        ("external_api_bytes_received", "bytes", "bytes received from other services"),
        ("influxdb_points", "points", "points written to InfluxDB"),
        ("influxdb_write_requests", "requests", "write requests to InfluxDB"),
        ("influxdb_queries", "queries", "queries to InfluxDB"),
        ("influxdb_query_milliseconds", "milliseconds", "time InfluxDB spent on queries"),
        ("compute_cpu_milliseconds", "milliseconds", "CPU time of the instance"),
        ("compute_uptime_seconds", "seconds", "time the instance was up"),
    ),
    *_of(
        MetricKind.GAUGE,
        ("active_devices", "devices", "devices an administrator has switched on"),
        ("total_devices", "devices", "devices known to the instance"),
        ("mqtt_connections", "connections", "clients connected to the broker"),
        ("websocket_connections", "connections", "open WebSocket connections"),
        ("influxdb_size_bytes", "bytes", "space InfluxDB occupies"),
        ("postgres_size_bytes", "bytes", "size of the PostgreSQL database"),
        ("postgres_rows", "rows", "live rows, PostgreSQL's own estimate; never billed"),
        ("object_storage_bytes", "bytes", "size of stored objects"),
        ("object_storage_files", "files", "number of stored objects"),
        ("compute_memory_bytes", "bytes", "memory the instance uses"),
    ),
)

REGISTRY: dict[str, Metric] = {metric.name: metric for metric in METRICS}
COUNTERS: frozenset[str] = frozenset(m.name for m in METRICS if m.kind is MetricKind.COUNTER)
GAUGES: frozenset[str] = frozenset(m.name for m in METRICS if m.kind is MetricKind.GAUGE)
