"""The registry holds the contract's metrics, each with its kind and unit."""

from metering.core.metrics import COUNTERS, GAUGES, METRICS, REGISTRY, MetricKind

CONTRACT_COUNTERS = """
mqtt_messages_published mqtt_messages_received mqtt_bytes_sent mqtt_bytes_received mqtt_payload_bytes_sent
mqtt_payload_bytes_received mqtt_messages_qos0 mqtt_messages_qos1 mqtt_messages_qos2
http_requests http_bytes_sent http_bytes_received
http_requests_device_api http_requests_admin_api http_requests_public_api
websocket_messages_sent websocket_messages_received websocket_bytes_sent websocket_bytes_received
websocket_connection_seconds external_api_requests external_api_bytes_sent external_api_bytes_received
influxdb_points influxdb_write_requests influxdb_queries influxdb_query_milliseconds
compute_cpu_milliseconds compute_uptime_seconds
"""
CONTRACT_GAUGES = """
active_devices total_devices mqtt_connections websocket_connections influxdb_size_bytes
postgres_size_bytes postgres_rows object_storage_bytes object_storage_files compute_memory_bytes
"""


def test_counters_of_the_contract() -> None:
    """The counters are those of the contract's table, no more and no fewer."""
    assert set(CONTRACT_COUNTERS.split()) == COUNTERS


def test_gauges_of_the_contract() -> None:
    """The gauges are those of the contract's table, no more and no fewer."""
    assert set(CONTRACT_GAUGES.split()) == GAUGES


def test_a_name_stands_for_one_metric() -> None:
    """No name is registered twice, and each is found under its own name."""
    assert [metric.name for metric in METRICS] == list(REGISTRY)
    assert all(name == metric.name for name, metric in REGISTRY.items())


def test_kinds_part_the_registry() -> None:
    """Every metric is a counter or a gauge, never both."""
    assert REGISTRY.keys() == COUNTERS | GAUGES
    assert set() == COUNTERS & GAUGES
    assert all((metric.kind is MetricKind.COUNTER) == (metric.name in COUNTERS) for metric in METRICS)


def test_sizes_are_in_bytes() -> None:
    """Whatever is a size is in bytes, never in MB, and its name says so where it says a unit."""
    units = {metric.name: metric.unit for metric in METRICS}
    assert {"bytes"} == {unit for name, unit in units.items() if "bytes" in name}
    assert not [name for name, unit in units.items() if unit.lower() in {"kb", "mb", "gb"} or "_mb" in name]


def test_every_metric_is_explained() -> None:
    """Every metric has a text for people."""
    assert [] == [metric.name for metric in METRICS if not metric.text.strip()]
