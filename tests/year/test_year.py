"""A simulated span of a fleet: nothing is lost or made up between the instances and the invoices."""

import os
from datetime import UTC, datetime

import pytest

from bench.year import Figures, Life, NotConservedError, simulate
from metering.core.basis import Basis
from metering.core.catalog import Catalog, builtin_catalog
from metering.core.instants import HOUR

CATALOG = builtin_catalog()
PEAKS = CATALOG.model_copy(
    update={
        "meters": CATALOG.meters
        | {"devices": CATALOG.meters["devices"].model_copy(update={"basis": Basis.PEAK})}
    }
)
WHOLE = os.environ.get("HYPOTHESIS_PROFILE") == "slow"


def run(first: int, last: int, begin: datetime, end: datetime, catalog: Catalog = CATALOG) -> Figures:
    """Live a span with these customers."""
    total = Figures()
    for figures in simulate(range(first, last), begin, end, catalog):
        total += figures
    return total


def test_usage_is_conserved_over_a_leap_quarter() -> None:
    """Customers with every kind of anchor, with late reports: at each month's end all is where it belongs."""
    last, months = (14, 12) if WHOLE else (7, 3)
    end = datetime(2028 + months // 12, months % 12 + 1, 1, tzinfo=UTC)
    figures = run(0, last, datetime(2028, 1, 1, tzinfo=UTC), end)
    assert last == figures.customers
    assert last * months == figures.conservation_checks
    assert figures.hours <= figures.reports
    assert figures.reports // 200 < figures.late_reports < figures.reports // 50
    assert figures.invoices > 0
    assert figures.late_items > 0
    assert figures.hours < figures.hours_compared


def test_usage_with_a_peak_meter_is_conserved() -> None:
    """A late report that raises a running maximum changes later hours, and all is sent and billed again."""
    begin, end = datetime(2028, 1, 1, tzinfo=UTC), datetime(2028, 12 if WHOLE else 3, 1, tzinfo=UTC)
    figures = run(3, 4, begin, end, PEAKS)
    assert figures.conservation_checks == end.month - 1


def test_a_lost_hour_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation finds what it is made to find: one hour that loses usage."""
    life = Life(0, CATALOG, datetime(2028, 2, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC))
    night = life._night
    lost = datetime(2028, 2, 29, 7, tzinfo=UTC)

    def loses(now: datetime) -> None:
        night(now)
        key = {"pk": {"S": life.customer.customer_id}, "sk": {"S": f"{lost:%Y-%m-%dT%H:%M:%SZ}"}}
        if now > lost + HOUR:
            life.client.delete_item(TableName="hours", Key=key)

    monkeypatch.setattr(life, "_night", loses)
    with pytest.raises(NotConservedError):
        life.live()
