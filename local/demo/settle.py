"""Running the pipeline to its end: what is dirty is recomputed, what is unsent is reported."""

from decimal import Decimal

from local.demo.waiting import wait_until
from local.stack.access import Stack
from metering.core.catalog import builtin_catalog
from metering.core.instants import day_of
from metering.core.usage import PeriodUsage
from metering.tables.ledger import SENT
from metering.tables.tables import Tables

_SECONDS = 90.0


def tables_of(stack: Stack) -> Tables:
    """Return the stack's tables, to be read as an auditor would."""
    return Tables(stack.client("dynamodb"), {f"{name}_table": table for name, table in stack.tables.items()})


def settle(stack: Stack, tables: Tables, customer_id: str) -> None:
    """Recompute every dirty hour, then send every unsent contribution, the open hour's too.

    Raises
    ------
    TooLateError
        When an hour stays dirty or a contribution pending.
    """
    stack.invoke("aggregate", {"task": "dispatch", "include_open": True})
    wait_until(
        lambda: not list(tables.markers.dirty_of(customer_id)), "dirty hours to be recomputed", _SECONDS
    )
    stack.invoke("stripe_report", {"task": "dispatch", "include_open": True})
    wait_until(lambda: _all_sent(tables, customer_id), "contributions to be sent", _SECONDS)


def _all_sent(tables: Tables, customer_id: str) -> bool:
    """Whether the ledger holds every hour's contribution as sent; one of 0 need never be."""
    for period in tables.customers.periods(customer_id):
        hours = tables.hours.of_period(customer_id, period.span)
        days = {day_of(hour.start): tables.ledger.day(customer_id, day_of(hour.start)) for hour in hours}
        for meter, by_hour in PeriodUsage(period, hours, builtin_catalog()).contributions.items():
            for hour, value in by_hour.items():
                entry = days[day_of(hour)].entries.get((meter, hour))
                there = (entry.value, entry.state) if entry else (Decimal(0), SENT)
                if there != (value, SENT):
                    return False
    return True
