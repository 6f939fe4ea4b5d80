"""Recomputing one hour of one customer from its reports.

Source: docs/storage.md#recomputing-an-hour. Every step may fail or run twice: the sum of the revisions
decides which computation is newer, and a marker that was touched meanwhile stays.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime

from aggregate.after_end import lies_after_end
from metering.aws.observability import count, logger
from metering.core.catalog import Catalog
from metering.core.falls import fallen
from metering.core.instants import DAY, HOUR, day_of, format_instant
from metering.core.rollup import NEWEST_VERSION, Hour, rollup
from metering.tables.customers import Customers
from metering.tables.tables import Tables

type Evaluation = Callable[[str, datetime, datetime], object]
"""Raises the alerts of a customer for one recomputed hour, at a present."""


def recompute(
    customer_id: str,
    hour: datetime,
    now: datetime,
    tables: Tables,
    catalog: Catalog,
    evaluate: Evaluation | None = None,
) -> Hour | None:
    """Recompute an hour if it is still dirty; return it, or None when there was nothing to do.

    ``evaluate`` raises the alerts that the hour brings (step 5); whatever it meets, the hour is settled.
    """
    marker = tables.markers.dirty_hour(customer_id, hour)
    if marker is None:
        return None
    stored = tables.hours.hour(customer_id, hour)
    version = _version(customer_id, hour, stored, tables.customers)
    computed = rollup(hour, tables.reports.of_hour(customer_id, hour), version)
    if computed.instances:
        _tell_fall(customer_id, stored, computed)
        tables.hours.put(customer_id, computed)
        for day in _days_to_send(customer_id, hour, now, tables.customers, catalog):
            tables.markers.touch_unsent(customer_id, day)
        if lies_after_end(customer_id, hour, tables.customers):
            count("usage_after_end")
            logger.error(
                "usage after its customer's subscription ended is billed by nobody",
                extra={"customer_id": customer_id, "hour": format_instant(hour)},
            )
        if evaluate is not None:
            _evaluate(evaluate, customer_id, hour, now)
    tables.markers.clear_dirty(marker)
    return computed


def _version(customer_id: str, hour: datetime, stored: Hour | None, customers: Customers) -> int:
    """Return the rule by which to make an hour: its period is asked only where the rule has changed since."""
    if stored is None or stored.version == NEWEST_VERSION:
        return NEWEST_VERSION
    account = customers.account(customer_id)
    period = account.period_at(hour) if account else None
    return period.rollup_version(stored) if period else NEWEST_VERSION


def _tell_fall(customer_id: str, stored: Hour | None, computed: Hour) -> None:
    """Say that an hour is about to fall, before it does: a crash in between says it twice, not never."""
    if stored is None or computed.computed_from < stored.computed_from:
        return
    if metrics := fallen(stored, computed):
        count("hour_fell")
        logger.error(
            "an hour fell",
            extra={
                "customer_id": customer_id,
                "hour": format_instant(computed.start),
                "metrics": metrics,
                "computed_from": [stored.computed_from, computed.computed_from],
                "version": [stored.version, computed.version],
            },
        )


def _evaluate(evaluate: Evaluation, customer_id: str, hour: datetime, now: datetime) -> None:
    try:
        evaluate(customer_id, hour, now)
    except Exception:  # noqa: BLE001  step 6 must follow, whatever happened
        # Usage must never wait for a message about it. The hourly sweep evaluates again, and an alarm watches
        # this count.
        count("alerts_failed")
        logger.exception("alerts were not evaluated", extra={"customer_id": customer_id, "hour": f"{hour}"})


def _days_to_send(
    customer_id: str, hour: datetime, now: datetime, customers: Customers, catalog: Catalog
) -> Iterator[date]:
    """Yield the hour's day, and every later day of the period whose contributions the hour may change."""
    day = day_of(hour)
    yield day
    if not catalog.needs_whole_period:
        return
    account = customers.account(customer_id)
    period = account.period_at(hour) if account else None
    last = day_of(now) if period is None else min(day_of(now), day_of(period.span.end_hour - HOUR))
    while (day := day + DAY) <= last:
        yield day
