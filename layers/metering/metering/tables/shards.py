"""The shards over which the fleet's shared partitions are spread. Source: docs/storage.md#tables."""

import hashlib

SHARDS = 16


def shard_of(customer_id: str) -> int:
    """Return the shard of a customer's markers, calendar and directory entry, 0 to 15."""
    return hashlib.sha256(customer_id.encode()).digest()[0] % SHARDS
