"""The daily sweep: usage that is lost or made up anywhere on its way is found, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from aggregate.conservation import MOST_REPORTS, Part, conserve
from aggregate.recompute import recompute
from metering.core.accounts import BillingPeriod, Customer, PeriodState
from metering.core.adjustments import Adjustment
from metering.core.billable import all_contributions
from metering.core.catalog import builtin_catalog
from metering.core.conservation import Difference, Stage
from metering.core.instances import Instance
from metering.core.instants import DAY, HOUR, format_instant
from metering.core.late_usage import LateItem
from metering.core.periods import Period
from metering.core.rollup import Hour, rollup
from metering.core.settlements import SettleItem, SettleKind
from metering.tables.ledger import PENDING, SENT, Day, Entry, refused
from metering.tables.tables import Tables
from testing.dynamodb import Call, FakeDynamoDb
from testing.reports import document, gauge, report

if TYPE_CHECKING:
    from tests.component.service import Service

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
LAST = datetime(2026, 10, 22, 9, tzinfo=UTC)
START = datetime(2026, 10, 20, 9, tzinfo=UTC)
HOURS = [LAST, LAST + HOUR, NOW.replace(minute=0) - HOUR]
CUSTOMER = Customer(
    customer_id="cust_8f2c",
    name="Eight",
    plan="starter@1",
    anchor=START,
    stripe_customer_id="cus_1",
    stripe_subscription_id="sub_1",
)
CATALOG = builtin_catalog()


class Books:
    """A customer with two hours of usage in the last period and one in the open one, all sent to Stripe."""

    def __init__(self) -> None:
        self.client = FakeDynamoDb()
        fake: Any = self.client
        self.tables = Tables.plain(fake)
        self.tables.customers.add(CUSTOMER)
        for hour in HOURS:
            gauges = {"active_devices": gauge(20, 20, 72000)}
            self.report(report(hour, counters={"http_requests": 420_000}, gauges=gauges))
            self.recompute(hour)
        self.send()

    def report(self, made: Any) -> None:
        """Store a report and mark its hour."""
        self.tables.reports.put(made)
        self.tables.markers.touch_dirty(made.customer_id, made.window_start)

    def recompute(self, hour: datetime) -> None:
        """Recompute an hour, as the worker does."""
        tables = self.tables
        recompute(
            CUSTOMER.customer_id,
            hour,
            NOW,
            tables,
            CATALOG,
        )

    def send(self) -> None:
        """Enter every contribution as sent, and clear the markers."""
        for hour in self.tables.hours.between(CUSTOMER.customer_id, START, NOW):
            day = self.tables.ledger.day(CUSTOMER.customer_id, hour.start.date())
            period = Period.anchored(START, hour.start)
            entries = {
                (meter, start): Entry(1, value, SENT)
                for meter, by_hour in all_contributions(CATALOG, [hour], period).items()
                for start, value in by_hour.items()
                if value
            }
            self.tables.ledger.put(
                Day(day.customer_id, day.day, day.version, {**day.entries, **entries}, day.computed_from)
            )
        for marker in list(self.tables.markers.unsent_of(CUSTOMER.customer_id)):
            self.tables.markers.clear_unsent(marker)

    def differences(self) -> list[Difference]:
        """What the sweep finds."""
        return list(conserve(CUSTOMER.customer_id, NOW, self.tables, CATALOG).differences)

    def dirty(self) -> list[datetime]:
        """The hours marked dirty."""
        return [marker.hour for marker in self.tables.markers.dirty_of(CUSTOMER.customer_id)]

    def finalise(self, invoiced: str) -> BillingPeriod:
        """Close the last period with an invoice of so many thousand calls, and devices as contributed."""
        span = Period.anchored(START, LAST)
        hours = list(self.tables.hours.between(CUSTOMER.customer_id, span.start, span.end))
        devices = sum(all_contributions(CATALOG, hours, span)["devices"].values(), Decimal(0))
        closed = BillingPeriod.of(CUSTOMER, span).model_copy(
            update={
                "state": PeriodState.FINALISED,
                "invoiced": {"api_calls": Decimal(invoiced), "devices": devices},
            }
        )
        self.tables.customers.add_period(CUSTOMER.customer_id, closed)
        return closed


@pytest.fixture
def books() -> Books:
    """Usage that is conserved from the reports to the ledger."""
    return Books()


def test_conserved_usage_differs_nowhere(books: Books) -> None:
    """Where every report is in its hour, its contribution and the ledger, nothing is found or written."""
    assert [] == books.differences()
    assert [] == books.dirty()


def test_all_hours_of_both_periods_are_compared(books: Books) -> None:
    """The last period's hours count as much as the open one's."""
    assert 3 == conserve(CUSTOMER.customer_id, NOW, books.tables, CATALOG).hours


def test_an_hour_is_checked_by_the_rule_it_was_made_by(books: Books) -> None:
    """A rule that changes makes no stored hour differ, and marks none; one that lost usage is still found."""
    chain = [
        report(LAST, span, state_id=name, counters={"http_requests": 1})
        for name, span in (("a", (0, 1200)), ("b", (1000, 2600)), ("c", (2400, 3600)))
    ]
    for journal in chain:
        books.tables.reports.put(journal)
    of_hour = list(books.tables.reports.of_hour(CUSTOMER.customer_id, LAST))
    books.tables.hours.put(CUSTOMER.customer_id, rollup(LAST, of_hour, version=1))
    books.send()
    assert [] == books.differences()
    assert [] == books.dirty()
    assert rollup(LAST, of_hour).flags != rollup(LAST, of_hour, version=1).flags
    books.tables.hours.put(CUSTOMER.customer_id, replace(rollup(LAST, of_hour, version=1), counters={}))
    assert "http_requests" in [difference.metric for difference in books.differences()]


@pytest.mark.parametrize("hour", HOURS)
def test_an_hour_that_lost_usage_is_named_and_marked(books: Books, hour: datetime) -> None:
    """An hour that holds less than its reports is named with metric and both values, and marked dirty."""
    (stored,) = books.tables.hours.between(CUSTOMER.customer_id, hour, hour + HOUR)
    lost = Hour(**{field: getattr(stored, field) for field in stored.__slots__} | {"counters": {}})
    books.tables.hours.put(CUSTOMER.customer_id, lost)
    found = books.differences()
    assert Difference(Stage.HOURS, hour, "http_requests", "420000", None) in found
    assert [hour] == books.dirty()
    books.recompute(hour)
    books.send()
    assert [] == books.differences()


def test_an_hour_that_is_missing_is_named(books: Books) -> None:
    """Reports without an hour are found, metric by metric."""
    books.client.delete_item(
        TableName="hours", Key={"pk": {"S": CUSTOMER.customer_id}, "sk": {"S": format_instant(LAST)}}
    )
    found = books.differences()
    assert Difference(Stage.HOURS, LAST, "http_requests", "420000", None) in found
    assert [LAST] == books.dirty()


def test_an_hour_without_reports_is_named(books: Books) -> None:
    """A stored hour that no report speaks for is found."""
    hour = LAST + 5 * HOUR
    books.tables.hours.put(CUSTOMER.customer_id, Hour(hour, 1, {"http_requests": 7}, instances=1))
    assert Difference(Stage.HOURS, hour, "http_requests", None, "7") in books.differences()


def test_a_dirty_hour_is_no_difference(books: Books) -> None:
    """What waits to be recomputed or sent is on its way, not lost."""
    books.report(report(LAST, revision=2, counters={"http_requests": 430_000}))
    assert [] == books.differences()
    books.recompute(LAST)
    assert [] == books.differences()


def test_a_report_that_lands_during_the_sweep_is_no_difference(books: Books) -> None:
    """Usage that moves between two reads of the sweep is read once more before it counts."""

    def lands(call: Call) -> None:
        if call.operation == "query" and call.table == "reports":
            books.client.before = lambda _call: None
            books.report(report(LAST, revision=2, counters={"http_requests": 430_000}))
            books.recompute(LAST)

    books.client.before = lands
    assert [] == books.differences()
    assert [] == books.dirty()


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (Entry(2, Decimal(419), SENT), "419"),
        (Entry(2, Decimal(420), PENDING), None),
        (Entry(2, Decimal(420), refused("archived_meter")), None),
    ],
    ids=["another value", "never answered", "refused"],
)
def test_a_ledger_that_differs_is_named(books: Books, entry: Entry, found: str | None) -> None:
    """What the ledger does not hold as sent is named by meter and hour, with both values."""
    day = books.tables.ledger.day(CUSTOMER.customer_id, LAST.date())
    entries = {**day.entries, ("api_calls", LAST): entry}
    books.tables.ledger.put(Day(day.customer_id, day.day, day.version, entries, day.computed_from))
    assert [Difference(Stage.LEDGER, LAST, "api_calls", "420.000000000", found)] == books.differences()


def test_a_ledger_of_an_hour_without_usage_is_named(books: Books) -> None:
    """What was sent for an hour that has no usage is found as well."""
    day = books.tables.ledger.day(CUSTOMER.customer_id, LAST.date())
    entries = {**day.entries, ("api_calls", LAST + 9 * HOUR): Entry(1, Decimal(1), SENT)}
    books.tables.ledger.put(Day(day.customer_id, day.day, day.version, entries, day.computed_from))
    assert [Difference(Stage.LEDGER, LAST + 9 * HOUR, "api_calls", None, "1")] == books.differences()


@pytest.mark.parametrize("lacks", ["stripe_customer_id", "stripe_subscription_id"])
def test_a_customer_without_stripe_has_no_ledger_to_compare(books: Books, lacks: str) -> None:
    """Without a Stripe customer, or after its subscription, nothing is sent, and nothing is missing."""
    books.tables.customers.replace(CUSTOMER, CUSTOMER.model_copy(update={lacks: None}))
    for day in (LAST.date(), NOW.date()):
        held = books.tables.ledger.day(CUSTOMER.customer_id, day)
        books.tables.ledger.put(Day(held.customer_id, held.day, held.version))
    assert [] == books.differences()


def test_an_invoice_with_late_usage_is_conserved(books: Books) -> None:
    """Once final, what was invoiced and what was billed late are the contributions."""
    period = books.finalise("800")
    expected = [Difference(Stage.INVOICE, None, "api_calls", "840.000000000", "800.000000000")]
    assert expected == books.differences()
    late = LateItem(
        customer_id=CUSTOMER.customer_id,
        period_start=period.start,
        number=1,
        meter="api_calls",
        quantity=Decimal(40),
        amount=Decimal("20.00"),
    )
    books.tables.late.put(late)
    assert [] == books.differences()


def links(books: Books, most_reports: int, part: Part | None = None) -> tuple[int, list[Part], int]:
    """Compare a customer as messages do; return the longest chain, the parts and the hours compared."""
    found = conserve(CUSTOMER.customer_id, NOW, books.tables, CATALOG, part, most_reports)
    below = [links(books, most_reports, rest) for rest in found.rest]
    own = [part] if part is not None else []
    return (
        1 + max((chain for chain, _, _ in below), default=0),
        own + [one for _, parts, _ in below for one in parts],
        found.hours + sum(hours for _, _, hours in below),
    )


# Lambda ends a chain that a function keeps up through its own queue after some sixteen invocations (Lambda
# Developer Guide, "Use Lambda recursive loop detection to prevent infinite loops"). Two go before the
# customer's own message: the schedule's run and the shard's.
LONGEST_CHAIN = 16 - 2


def test_reads_are_bounded(books: Books) -> None:
    """After so many reports the rest is left to other messages, and together they compare everything."""
    chain, parts, hours = links(books, most_reports=1)
    assert 3 == hours
    assert parts
    assert chain <= LONGEST_CHAIN


def test_a_thousand_instances_are_shared_out_at_once(books: Books) -> None:
    """A customer of a thousand instances is checked to its end: all messages come of its first one."""
    for n in range(1000):
        added = Instance(customer_id=CUSTOMER.customer_id, instance_id=f"i{n}", digests=("0" * 64,))
        books.tables.instances.put(added)
    chain, parts, hours = links(books, MOST_REPORTS)
    assert 2 == chain
    assert 3 == hours
    # Two months up to the present, four hours a message.
    first = Period.anchored(START, LAST).first_hour
    assert [first + n * 4 * HOUR for n in range(len(parts))] == [part.since for part in parts]
    assert all(a.until == b.since for a, b in pairwise(parts))
    assert NOW.replace(minute=0) + HOUR == parts[-1].until


def test_no_chain_is_too_long(books: Books) -> None:
    """However many reports lie in however few hours, no chain of messages is ended by Lambda."""
    hours = [LAST + n * HOUR for n in range(300)]
    for n, hour in enumerate(hours):
        for journal in range(1 + (n > 100) + (n > 200) * 3):
            books.tables.reports.put(report(hour, state_id=f"{journal}", counters={"http_requests": 1}))
    chain, parts, compared = links(books, most_reports=4)
    assert chain <= LONGEST_CHAIN
    assert len({part.since for part in parts}) == len(parts)
    # The first two of the hours have usage in any case, and the last one lies after all of these.
    assert len(hours) + 1 == compared


def test_a_calendar_customer_has_months(books: Books) -> None:
    """Without an anchor the open and the last calendar month are compared."""
    plain = CUSTOMER.model_copy(update={"anchor": None, "stripe_customer_id": None})
    books.tables.customers.replace(CUSTOMER, plain)
    assert 3 == conserve(CUSTOMER.customer_id, NOW, books.tables, CATALOG).hours


def test_an_unknown_customer_has_nothing(books: Books) -> None:
    """A customer that was removed meanwhile ends the sweep quietly."""
    assert 0 == conserve("cust_gone", NOW, books.tables, CATALOG).hours


@pytest.mark.usefixtures("customer")
def test_the_sweep_through_the_queue(
    service: Service,
    last_hour: datetime,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The schedule's task reaches every customer; a difference is a metric and a log line, and is mended."""
    service.post(document(last_hour))
    service.aggregate()
    (stored,) = service.tables.hours.between("cust_8f2c", last_hour, last_hour + DAY)
    emptied = Hour(stored.start, stored.computed_from, {}, instances=1, final=stored.final)
    service.tables.hours.put("cust_8f2c", emptied)
    capsys.readouterr()
    service.invoke("aggregate", {"task": "sweep_daily"})
    service.aggregate()
    named = [vars(record) for record in caplog.records if record.message == "usage is not conserved"]
    assert {"http_requests", "mqtt_bytes_received"} == {row["metric"] for row in named}
    assert {("42", "nothing"), ("123456", "nothing")} == {(row["expected"], row["found"]) for row in named}
    assert {("cust_8f2c", format_instant(last_hour))} == {(row["customer_id"], row["hour"]) for row in named}
    counted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [2] in [row.get("conservation_difference") for row in counted]
    service.aggregate()
    (healed,) = service.tables.hours.between("cust_8f2c", last_hour, last_hour + DAY)
    assert stored == healed


def test_the_sweep_of_a_conserved_customer_only_reads_it() -> None:
    """A customer whose usage is conserved costs a handful of queries and no write."""
    books, seen = Books(), list[str]()
    books.client.before = lambda call: seen.append(call.operation)
    books.differences()
    assert {"query"} == set(seen)


def test_adjusted_usage_is_conserved(books: Books) -> None:
    """The ledger is held to the contributions after an adjustment; days that it moves are on their way."""
    present = Period.anchored(START, NOW)
    adjustment = Adjustment(
        customer_id=CUSTOMER.customer_id,
        period_start=present.start,
        number=1,
        meter="api_calls",
        quantity=Decimal(-100),
        first_hour=present.first_hour,
        last_hour=HOURS[-1],
        reason="a test of ours",
        who="arn:aws:iam::123456789012:user/ada",
        at=NOW,
    )
    assert books.tables.adjustments.add(adjustment)
    assert [("api_calls", Stage.LEDGER)] == [(one.metric, one.stage) for one in books.differences()]

    books.tables.markers.touch_unsent(CUSTOMER.customer_id, present.first_hour.date())
    assert [] == books.differences()


def test_a_settled_period_is_conserved(books: Books) -> None:
    """What a settlement covers is no difference, whatever was decided."""
    billing = books.finalise("0")
    assert [Stage.INVOICE] == [one.stage for one in books.differences()]
    item = SettleItem(
        customer_id=CUSTOMER.customer_id,
        period_start=billing.start,
        number=1,
        meter="api_calls",
        quantity=Decimal(840),
        amount=Decimal("370.00"),
        kind=SettleKind.WRITE_OFF,
        reason="a courtesy",
        who="arn:aws:iam::123456789012:user/ada",
        at=NOW,
    )
    assert books.tables.settlements.put(item)
    assert [] == books.differences()
