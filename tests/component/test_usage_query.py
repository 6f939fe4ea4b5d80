"""usage_query through its events: what was accepted is what is shown, to its own customer alone."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from metering.aws.web import Identity
from metering.core.accounts import BillingPeriod, Customer, PeriodState
from metering.core.billed import InvoiceStatus, PeriodInvoice
from metering.core.catalog import builtin_catalog
from metering.core.instants import DAY, format_instant, hour_of
from metering.core.instants import HOUR as ONE_HOUR
from metering.core.periods import Period
from metering.core.rollup import rollup
from metering.core.settlements import SettleItem, SettleKind
from testing.reports import document, gauge, report, source
from testing.tables import Calls
from usage_query.live import MOST_RECOMPUTED, live_usage

if TYPE_CHECKING:
    from datetime import datetime

    from tests.component.service import Service

PATH = "current_period"
PORTAL = Identity("cust_8f2c", "", "portal")


def used(hour: datetime, requests: int, **changes: Any) -> dict[str, Any]:
    """Return a report of calls and devices."""
    devices = {"active_devices": gauge(12, 13, 43200)}
    return document(
        hour, counters={"http_requests": requests}, gauges=devices, sources={"http": source()}, **changes
    )


def figures(body: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without the instants at which it was given."""
    return {name: value for name, value in body.items() if name not in {"as_of", "server_time"}}


def test_whoami(service: Service, now: datetime) -> None:
    """A key's identity, the clock and the pace are the agent's first answer."""
    answer = service.get("whoami")
    assert 200 == answer.status
    assert ("cust_8f2c", "default", 900) == tuple(
        answer.body[name] for name in ("customer_id", "instance_id", "report_every_seconds")
    )
    assert format_instant(now) <= answer.body["server_time"]


def test_whoami_is_for_instances(service: Service) -> None:
    """A portal token has no instance to ask for: 403."""
    assert (403, "instance_key_required") == ((found := service.get("whoami", PORTAL)).status, found.code)


def test_a_report_is_visible_after_its_202(service: Service, customer: Customer, last_hour: datetime) -> None:
    """A report is in the very next answer before anything is aggregated, and in the same way after."""
    assert "0" == service.get(PATH).body["api_calls"]
    assert 202 == service.post(used(last_hour, 42)).status
    before = service.get(PATH).body
    assert ("42", "12") == (before["api_calls"], before["active_devices"])
    service.aggregate()
    assert figures(before) == figures(service.get(PATH).body)


def test_a_correction_is_visible_at_once(service: Service, customer: Customer, last_hour: datetime) -> None:
    """A higher revision of an hour that was aggregated already shows at once."""
    service.post(used(last_hour, 42))
    service.aggregate()
    service.post(used(last_hour, 50, revision=2))
    assert "50" == service.get(PATH).body["api_calls"]


def test_the_open_hour_is_visible(service: Service, customer: Customer, now: datetime) -> None:
    """The hour still open shows what was reported of it so far."""
    service.post(document(hour_of(now), span=(0, 0), counters={"http_requests": 7}))
    assert "7" == service.get(PATH).body["api_calls"]


def test_both_routes(service: Service, customer: Customer, last_hour: datetime) -> None:
    """The route with a customer and the one without give the same figures, to a key and to a portal token."""
    service.post(used(last_hour, 42))
    answers = [
        service.get(PATH),
        service.get(PATH, PORTAL),
        service.get("current_period_portal", PORTAL),
        service.get("current_period_portal", Identity("cust_8f2c", "default", "instance")),
    ]
    assert [200] * 4 == [answer.status for answer in answers]
    assert [figures(answers[0].body)] * 4 == [figures(answer.body) for answer in answers]


def test_another_customer(service: Service, customer: Customer) -> None:
    """Another customer's credential gets 403, and the same body whether that customer exists or not."""
    other = Identity("cust_9999", "default", "instance")
    existing = service.get(PATH, other)
    missing = service.get(PATH, other, pathParameters={"customer_id": "cust_none"})
    assert (403, "forbidden") == (existing.status, existing.code)
    assert 403 == missing.status
    assert existing.body["error"] == missing.body["error"]


def test_an_expired_session(service: Service, customer: Customer, now: datetime) -> None:
    """A session that ended since the gateway cached it gets 401 on every route."""
    ended = Identity("cust_8f2c", "", "portal", now)
    answers = [service.get(name, ended) for name in ("whoami", PATH, "current_period_portal")]
    assert [(401, "expired")] * 3 == [(answer.status, answer.code) for answer in answers]


def test_without_a_profile(service: Service) -> None:
    """A customer without a billing profile gets 404, in the contract's shape."""
    assert (404, "unknown_customer") == ((found := service.get(PATH)).status, found.code)


def test_before_the_first_period(service: Service, now: datetime) -> None:
    """Before its first period a customer sees when billing begins, in the same shape, and no hour counted."""
    anchor = hour_of(now) + 2 * ONE_HOUR
    service.tables.customers.add(Customer(customer_id="cust_8f2c", name="x", plan="starter@1", anchor=anchor))
    service.post(used(hour_of(now) - ONE_HOUR, 42))
    service.aggregate()
    found = service.get(PATH)
    assert 200 == found.status
    assert (format_instant(anchor), None) == (found.body["begins_at"], found.body["ended_at"])
    assert (format_instant(anchor), "0") == (
        found.body["period"]["start"],
        found.body["period"]["elapsed"],
    )
    assert ("0", [], "29.00") == (
        found.body["api_calls"],
        found.body["daily_breakdown"],
        found.body["estimated_invoice"]["total"],
    )
    (flag,) = found.body["flags"]
    assert ("not_begun", 0) == (flag["code"], flag["hours"])
    assert flag["message"].startswith(f"billing begins on {anchor.day} {anchor:%B %Y}, {anchor:%H:%M} UTC")


def test_between_two_subscriptions(service: Service, now: datetime) -> None:
    """A customer who comes back sees when billing begins again, not the period that ended."""
    left(service, hour_of(now) - ONE_HOUR)
    anchor = hour_of(now) + ONE_HOUR
    customers = service.tables.customers
    old = customers.customer("cust_8f2c")
    assert old is not None
    customers.replace(old, old.model_copy(update={"stripe_subscription_id": "sub_2", "anchor": anchor}))
    span = Period.anchored(anchor, anchor)
    customers.add_period("cust_8f2c", BillingPeriod(start=span.start, end=span.end, plan="professional@1"))
    found = service.get(PATH).body
    assert (format_instant(anchor), None, "professional@1") == (
        found["begins_at"],
        found["ended_at"],
        found["plan"],
    )


def left(service: Service, ended: datetime) -> None:
    """Add a customer whose subscription ended at an instant, ten days after its period began."""
    made = Customer(
        customer_id="cust_8f2c",
        name="Eight",
        plan="starter@1",
        anchor=hour_of(ended) - 10 * DAY,
        stripe_customer_id="cus_1",
    )
    service.tables.customers.add(made)
    span = Period.anchored(hour_of(ended) - 10 * DAY, ended)
    before = Period.anchored(span.start - 40 * DAY, span.start - 40 * DAY)
    for one in (before, span):
        period = BillingPeriod.of(made, one)
        service.tables.customers.add_period("cust_8f2c", period.cut(ended) if one is span else period)


@pytest.mark.parametrize("days", [0, 3, 60, 500])
def test_after_the_end(service: Service, now: datetime, days: int) -> None:
    """A customer who left sees what ended and when, and its last period, however long ago that was."""
    ended = hour_of(now) - days * DAY + timedelta(minutes=5) - ONE_HOUR
    left(service, ended)
    service.post(used(hour_of(ended) - ONE_HOUR, 42))
    service.aggregate()
    found = service.get(PATH)
    assert 200 == found.status
    assert (format_instant(ended), None) == (found.body["ended_at"], found.body["begins_at"])
    assert (format_instant(ended), "1") == (found.body["period"]["end"], found.body["period"]["elapsed"])
    assert ("42" if days < 400 else "0") == found.body["api_calls"]
    flag = found.body["flags"][0]
    assert ("ended", 0) == (flag["code"], flag["hours"])
    assert flag["message"].startswith(
        f"the subscription ended on {ended.day} {ended:%B %Y}, {ended:%H:%M} UTC"
    )
    assert found.body == service.get("current_period_portal", PORTAL).body | {
        name: found.body[name] for name in ("as_of", "server_time")
    }


def unbilled(service: Service) -> list[str]:
    """Return what the page says is on no invoice."""
    return [flag["message"] for flag in service.get(PATH).body["flags"] if "unbilled" == flag["code"]]


def invoiced(period: BillingPeriod, status: InvoiceStatus) -> PeriodInvoice:
    """Return what a look found of the invoice that ends a period."""
    return PeriodInvoice(
        customer_id="cust_8f2c",
        period_start=period.start,
        invoice_id="in_1",
        status=status,
        ends_period=True,
        total=Decimal("29.00"),
        seen_at=period.end,
    )


def test_a_period_on_no_invoice_is_said(service: Service, now: datetime) -> None:
    """72 hours after its end a period without an invoice is unbilled, until one bills it or it is settled."""
    left(service, hour_of(now) - 2 * DAY)
    before, last = service.tables.customers.periods("cust_8f2c")
    assert 1 == len(unbilled(service))
    assert f"{before.start.day} {before.start:%B %Y}" in unbilled(service)[0]
    service.tables.invoices.add(invoiced(before, InvoiceStatus.OPEN))
    assert [] == unbilled(service)
    service.tables.invoices.add(invoiced(last, InvoiceStatus.VOID))
    assert 1 == len(unbilled(service))
    service.tables.settlements.put(
        SettleItem(
            customer_id="cust_8f2c",
            period_start=last.start,
            number=1,
            meter="mqtt_traffic",
            quantity=Decimal(1),
            amount=Decimal("0.00"),
            kind=SettleKind.WRITE_OFF,
            reason="void by mistake",
            who="ops",
            at=now,
        )
    )
    assert [] == unbilled(service)


def test_usage_after_the_end_is_said(service: Service, now: datetime) -> None:
    """What comes in after the subscription has ended is shown as unbilled."""
    left(service, hour_of(now) - 2 * DAY)
    before, _ = service.tables.customers.periods("cust_8f2c")
    service.tables.invoices.add(invoiced(before, InvoiceStatus.OPEN))
    assert [] == unbilled(service)
    service.post(used(hour_of(now) - ONE_HOUR, 42))
    service.aggregate()
    [said] = unbilled(service)
    assert said.startswith("what was used after")


def test_ended_before_it_began(service: Service, now: datetime) -> None:
    """A subscription that ended before any period of it has none to show: 404."""
    service.tables.customers.add(
        Customer(
            customer_id="cust_8f2c",
            name="x",
            plan="starter@1",
            anchor=hour_of(now) + 2 * ONE_HOUR,
            stripe_customer_id="cus_1",
        )
    )
    assert (404, "no_period") == ((found := service.get(PATH)).status, found.code)


def test_an_unknown_route(service: Service) -> None:
    """A route that is not ours gets 404."""
    assert 404 == service.get(PATH, routeKey="GET /api/usage/everything").status


def test_a_page_that_polls(service: Service, customer: Customer, last_hour: datetime) -> None:
    """An answer carries a tag of its figures: asked again with it there is 304 until something changes."""
    service.post(used(last_hour, 42))
    first = service.get(PATH)

    def again() -> int:
        headers = service.event(PATH)["headers"] | {"if-none-match": first.headers["etag"]}
        answer = service.get(PATH, headers=headers)
        assert (answer.status == 304) == (answer.body == {})
        return answer.status

    assert 304 == again()
    service.aggregate()
    assert 304 == again()
    service.post(used(last_hour, 43, revision=2))
    assert 200 == again()


def test_instances(service: Service, customer: Customer, last_hour: datetime) -> None:
    """Every instance is listed with its newest report."""
    service.post(used(last_hour, 42))
    (instance,) = service.get(PATH).body["instances"]
    assert {
        "id": "default",
        "last_report_at": format_instant(last_hour + ONE_HOUR),
        "silent": False,
    } == instance


def test_other_customers_stay_out(service: Service, customer: Customer, last_hour: datetime) -> None:
    """Nothing of another customer is in the figures, however alike its name."""
    service.post(used(last_hour, 42, customer_id="cust_8f2"), Identity("cust_8f2", "default", "instance"))
    service.post(used(last_hour, 42, customer_id="cust_8f2c0"), Identity("cust_8f2c0", "default", "instance"))
    assert "0" == service.get(PATH).body["api_calls"]


def test_other_periods_stay_out(service: Service, customer: Customer, last_hour: datetime) -> None:
    """Usage of an hour before the period is not in it."""
    service.post(used(last_hour - timedelta(days=11), 42))
    assert "0" == service.get(PATH).body["api_calls"]
    service.aggregate()
    assert "0" == service.get(PATH).body["api_calls"]


def live(service: Service, now: datetime) -> tuple[list[int], datetime]:
    """Return the calls of each live hour of the month, and how far they are."""
    month = Period.calendar_month(now)
    billing = BillingPeriod(start=month.start, end=month.end, plan="starter@1")
    found = live_usage("cust_8f2c", billing, now, service.tables, builtin_catalog())
    return [hour.counters["http_requests"] for hour in found.usage.hours], found.as_of


@pytest.mark.parametrize(("state", "calls"), [(PeriodState.OPEN, 8), (PeriodState.FINALISED, 5)])
def test_a_live_hour_is_made_as_it_will_be_stored(
    service: Service, last_hour: datetime, state: PeriodState, calls: int
) -> None:
    """A dirty hour is shown by the newest rule, in a period that is closed by the rule of the stored one."""
    chain = [
        report(last_hour, span, state_id=name, counters={"http_requests": n})
        for name, span, n in (("a", (0, 1200), 3), ("b", (1000, 2600), 4), ("c", (2400, 3600), 5))
    ]
    for journal in chain:
        service.tables.reports.put(journal)
    service.tables.hours.put("cust_8f2c", rollup(last_hour, chain, version=1))
    service.tables.markers.touch_dirty("cust_8f2c", last_hour)
    month = Period.calendar_month(last_hour)
    billing = BillingPeriod(start=month.start, end=month.end, plan="starter@1", state=state)
    found = live_usage("cust_8f2c", billing, last_hour + ONE_HOUR, service.tables, builtin_catalog())
    assert [calls] == [hour.counters["http_requests"] for hour in found.usage.hours]


def test_markers_are_read_first(service: Service, customer: Customer, last_hour: datetime) -> None:
    """Markers are read before hours, so that an hour cleared in between is already among them."""
    service.post(used(last_hour, 42))
    watched = Calls().watch(service.client)
    live(service, last_hour + ONE_HOUR)
    read = [query["TableName"] for query in watched.of("Query", "GetItem")]
    assert ["markers", "hours", "reports", "customers"] == read
    assert {True} == {query["ConsistentRead"] for query in watched.of("Query", "GetItem")}


def test_how_far_the_answer_is(service: Service, last_hour: datetime) -> None:
    """Beyond 48 dirty hours the oldest are recomputed, and ``as_of`` is the first that was not."""
    start = Period.calendar_month(last_hour).start
    now = start + timedelta(days=20)
    hours = [start + n * ONE_HOUR for n in range(MOST_RECOMPUTED + 2)]
    for number, hour in enumerate(hours):
        service.tables.reports.put(report(hour, counters={"http_requests": number}))
        service.tables.markers.touch_dirty("cust_8f2c", hour)
        if number == MOST_RECOMPUTED - 1:
            assert (list(range(MOST_RECOMPUTED)), now) == live(service, now)
    assert (list(range(MOST_RECOMPUTED)), hours[MOST_RECOMPUTED]) == live(service, now)


def test_hours_in_order(service: Service, last_hour: datetime) -> None:
    """Stored and live hours come in one order of time."""
    start = Period.calendar_month(last_hour).start
    for number in (2, 0, 1):
        service.tables.reports.put(report(start + number * ONE_HOUR, counters={"http_requests": number}))
        service.tables.markers.touch_dirty("cust_8f2c", start + number * ONE_HOUR)
        if number == 0:
            service.aggregate()
    assert [0, 1, 2] == live(service, start + timedelta(days=2))[0]


def test_a_silent_instance_shows_its_last_report(
    service: Service, customer: Customer, last_hour: datetime
) -> None:
    """However long ago it was: that is when it matters."""
    long_ago = last_hour - 200 * ONE_HOUR
    service.post(used(long_ago, 42))
    (instance,) = service.get(PATH).body["instances"]
    assert (format_instant(long_ago + ONE_HOUR), True) == (instance["last_report_at"], instance["silent"])
