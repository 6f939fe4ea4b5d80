"""The Hours table: every customer's recomputed hours.

Keys: ``pk`` = customer, ``sk`` = hour. Attributes: ``n`` = ``computed_from``, ``b`` the hour,
packed, ``v`` the rule by which it was made (absent: the first), ``ttl``. Source:
docs/storage.md#recomputing-an-hour and docs/storage.md#the-version-of-an-hour.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metering.core.instants import format_instant, parse_instant
from metering.core.periods import HOURS_KEPT
from metering.core.rollup import Coverage, Hour, Level
from metering.tables.access import ABSENT, TableAccess, key
from metering.tables.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from metering.core.periods import Period
    from metering.tables.access import Item

_FIRST_VERSION = 1
"""The rule of the hours that were stored before hours named theirs."""


@dataclass(frozen=True, slots=True)
class Hours(TableAccess):
    """Typed access to the Hours table."""

    def put(self, customer_id: str, hour: Hour) -> bool:
        """Store an hour unless one computed from more is there; tell whether it was stored."""
        return self.put_if(f"{ABSENT} OR n <= :n", _item(customer_id, hour), n=hour.computed_from).held

    def hour(self, customer_id: str, start: datetime) -> Hour | None:
        """One stored hour, strongly consistent."""
        item = self.get(customer_id, format_instant(start))
        return _hour(item) if item else None

    def between(self, customer_id: str, start: datetime, end: datetime) -> Iterator[Hour]:
        """The stored hours in ``[start, end)``, in order, strongly consistent."""
        low, high = format_instant(start), format_instant(end)
        for item in self.items_between(customer_id, low, high):
            hour = _hour(item)
            if hour.start < end:
                yield hour

    def of_period(self, customer_id: str, span: Period) -> list[Hour]:
        """The stored hours of a billing period, in order."""
        return list(self.between(customer_id, span.first_hour, span.end_hour))


def _item(customer_id: str, hour: Hour) -> Item:
    item: Item = key(customer_id, format_instant(hour.start)) | {
        "n": {"N": str(hour.computed_from)},
        "b": {"B": pack(_plain(hour))},
        "ttl": {"N": str(int((hour.start + HOURS_KEPT).timestamp()))},
    }
    return item if hour.version == _FIRST_VERSION else item | {"v": {"N": str(hour.version)}}


def _plain(hour: Hour) -> dict[str, Any]:
    return {
        "counters": dict(hour.counters),
        "gauges": {name: asdict(level) for name, level in hour.gauges.items()},
        "sources": {name: [c.covered_seconds, c.instances] for name, c in hour.sources.items()},
        "flags": sorted(hour.flags),
        "instances": hour.instances,
        "final": hour.final,
    }


def _hour(item: Item) -> Hour:
    plain = unpack(bytes(item["b"]["B"]))
    return Hour(
        start=parse_instant(item["sk"]["S"]),
        computed_from=int(item["n"]["N"]),
        counters=plain["counters"],
        gauges={name: Level(**level) for name, level in plain["gauges"].items()},
        sources={name: Coverage(*covered) for name, covered in plain["sources"].items()},
        flags=frozenset(plain["flags"]),
        instances=plain["instances"],
        final=plain["final"],
        version=int(item["v"]["N"]) if "v" in item else _FIRST_VERSION,
    )
