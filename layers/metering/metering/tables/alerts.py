"""The alerts of the Customers table: put as pending by one worker, marked sent once they are published.

Keys: ``pk`` = customer, ``sk`` = ``alert#<key>`` (``alert#<period>#<meter>#<threshold>``,
``alert#silent#<instance>#<last hour>`` and ``alert#back#…`` likewise). Attributes: ``j`` the alert as JSON,
``s`` its state, ``ttl``. Source: docs/storage.md#tables and docs/billing.md#alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from metering.core.alerts import Alert
from metering.core.contract import OLDEST_WINDOW
from metering.core.instants import format_instant
from metering.tables.access import ABSENT, TableAccess, key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from metering.tables.access import Item

_PREFIX = "alert#"
_LAST = "alert#~"
"""Beyond every alert: no key has a tilde."""
_PENDING, _SENT = "pending", "sent"
_SILENCE_KEPT = timedelta(days=60)
"""Silences are read at every sweep, so they are kept for less than the alerts of a period."""


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert, and whether it was published."""

    alert: Alert
    sent: bool


@dataclass(frozen=True, slots=True)
class Alerts(TableAccess):
    """Typed access to the alerts of the Customers table."""

    def put_pending(self, alert: Alert) -> bool:
        """Store an alert as pending unless there is one of its key; tell whether it was new."""
        return self.put_if(ABSENT, _item(alert)).held

    def mark_sent(self, alert: Alert) -> None:
        """Record that an alert was published; one that has expired meanwhile stays gone."""
        self.update_if("attribute_exists(pk)", _key(alert), "SET s = :sent", sent=_SENT)

    def of(self, customer_id: str) -> Iterator[StoredAlert]:
        """All alerts of a customer, strongly consistent: by period, then returns, then silences."""
        return map(_stored, self.items_with_prefix(customer_id, _PREFIX))

    def of_period(self, customer_id: str, start: datetime) -> Iterator[StoredAlert]:
        """A period's alerts by its start, strongly consistent, in key order."""
        prefix = f"{_PREFIX}{format_instant(start)}#"
        return map(_stored, self.items_with_prefix(customer_id, prefix))

    def since(self, customer_id: str, start: datetime) -> Iterator[StoredAlert]:
        """The alerts of the periods from that start on, and all of silence, in key order."""
        low = f"{_PREFIX}{format_instant(start)}"
        return map(_stored, self.items_between(customer_id, low, _LAST))


def _key(alert: Alert) -> Item:
    return key(alert.customer_id, f"{_PREFIX}{alert.key}")


def _item(alert: Alert) -> Item:
    kept = _SILENCE_KEPT if alert.period is None else OLDEST_WINDOW
    return _key(alert) | {
        "j": {"S": alert.model_dump_json(exclude_defaults=True)},
        "s": {"S": _PENDING},
        "ttl": {"N": str(int((alert.at + kept).timestamp()))},
    }


def _stored(item: Item) -> StoredAlert:
    return StoredAlert(Alert.model_validate_json(item["j"]["S"]), item["s"]["S"] == _SENT)
