"""How table items pack values: canonical JSON, deflated with a dictionary of the names we expect.

A report of every source must fit in one write unit (1,024 bytes with its keys; docs/storage.md#packing). The
first byte says which dictionary was used: a dictionary is never changed once items were written with it, a
better one gets the next number.
"""

import json
import zlib
from typing import Any

from metering.core.contract import canonical_json

_REPORT_1 = (
    b'"remainder":"went_back":"unreachable":"denied":"stale":"lower_bound":"source_identity"'
    b',"detail":"connection refused","catch_up_from":"flags":["objects":"external":"websocket":"compute":'
    b'"http":"influxdb":"agent":{"covered_seconds":3600,"status":"ok"},"postgres":{"covered_seconds":3600,'
    b'"status":"ok"},"mqtt":{"covered_seconds":3600,"status":"ok"}},"state_id":"'
    b'"window_start":"2026-00:00:00Z"}"schema_version":1,"sources":{"revision":'
    b'"observed_from":"2026-00:00:00Z","observed_until":"2027-00:00:00Z","instance_id":"default",'
    b'"compute_memory_bytes":{"integral":"influxdb_size_bytes":{"integral":"mqtt_connections":{"integral":'
    b'"object_storage_bytes":{"integral":"object_storage_files":{"integral":"postgres_rows":{"integral":'
    b'"postgres_size_bytes":{"integral":"total_devices":{"integral":"websocket_connections":{"integral":'
    b'},"final":true,"gauges":{"active_devices":{"integral":0,"last":0,"max":0,"seconds":3600},'
    b'{"agent_version":"1.0.0","counters":{"compute_cpu_milliseconds":,"compute_uptime_seconds":3600'
    b',"external_api_bytes_received":,"external_api_bytes_sent":,"external_api_requests":'
    b',"http_bytes_received":,"http_bytes_sent":,"http_requests":,"http_requests_admin_api":'
    b',"http_requests_device_api":,"http_requests_public_api":,"influxdb_points":,"influxdb_queries":'
    b',"influxdb_query_milliseconds":,"influxdb_write_requests":,"mqtt_bytes_received":,"mqtt_bytes_sent":'
    b',"mqtt_messages_published":,"mqtt_messages_qos0":,"mqtt_messages_qos1":,"mqtt_messages_qos2":'
    b',"mqtt_messages_received":,"mqtt_payload_bytes_received":,"mqtt_payload_bytes_sent":'
    b',"websocket_bytes_received":,"websocket_bytes_sent":,"websocket_connection_seconds":'
    b',"websocket_messages_received":,"websocket_messages_sent":},"customer_id":"","final":false,"gauges":{'
)
_DICTIONARIES = {1: _REPORT_1}
_CURRENT = 1


def pack(value: Any) -> bytes:
    """Pack a JSON value; equal values give equal bytes."""
    deflate = zlib.compressobj(level=9, wbits=-15, memLevel=9, zdict=_DICTIONARIES[_CURRENT])
    return bytes([_CURRENT]) + deflate.compress(canonical_json(value)) + deflate.flush()


def unpack(packed: bytes) -> Any:
    """Read what `pack` wrote, with whichever dictionary it was written."""
    inflate = zlib.decompressobj(wbits=-15, zdict=_DICTIONARIES[packed[0]])
    return json.loads(inflate.decompress(packed[1:]) + inflate.flush())
