"""Events that were answered with a 200 and do not count are reported afterwards."""

from typing import Any

import httpx
import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, loose

REPORT = "v1.billing.meter.error_report_triggered"
NO_METER = "v1.billing.meter.no_meter_found"


def _reports(client: stripe.StripeClient, kind: str = REPORT) -> list[Any]:
    """The retrieved reports, newest first: lists do not show what is in them."""
    listed = client.v2.core.events.list({"types": [kind]}).data
    return [client.v2.core.events.retrieve(one.id) for one in listed]


def _send(client: stripe.StripeClient, event_name: str, payload: dict[str, str], **more: Any) -> None:
    client.v1.billing.meter_events.create(loose({"event_name": event_name, "payload": payload, **more}))


def test_an_unknown_customer_is_reported(client: stripe.StripeClient, shop: Shop) -> None:
    """The SDK reads the report: its code, its count, a sample, and the meter it is about."""
    _send(client, shop.event_name, {"stripe_customer_id": "cus_nobody", "value": "1"})
    [report] = _reports(client)
    [kind] = report.data.reason.error_types

    assert (kind.code, kind.error_count, len(kind.sample_errors)) == ("meter_event_customer_not_found", 1, 1)
    assert report.data.reason.error_count == 1
    assert report.related_object.id == shop.meter
    assert report.fetch_related_object().event_name == shop.event_name


def test_an_unknown_event_name_is_reported(client: stripe.StripeClient, shop: Shop) -> None:
    """An event for no meter makes a no_meter_found event."""
    _send(client, "typo", {"stripe_customer_id": shop.customer, "value": "1"})
    [report] = _reports(client, NO_METER)

    assert report.data.reason.error_types[0].code == "no_meter"
    assert _reports(client) == []


def test_an_archived_meter_is_reported(client: stripe.StripeClient, shop: Shop) -> None:
    """A deactivated meter counts nothing more."""
    client.v1.billing.meters.deactivate(shop.meter)
    shop.use("1")

    assert _reports(client)[0].data.reason.error_types[0].code == "archived_meter"
    assert shop.total(NOON, NOON + HOUR) == 0.0


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"value": "1"}, "meter_event_no_customer_defined"),
        ({"stripe_customer_id": "cus_Sim000000000001", "value": "1e3"}, "meter_event_invalid_value"),
        ({"stripe_customer_id": "cus_Sim000000000001"}, "meter_event_invalid_value"),
    ],
)
def test_a_bad_payload_is_reported(
    client: stripe.StripeClient, shop: Shop, payload: dict[str, str], code: str
) -> None:
    """A payload without a customer, without a value or with an exponent does not count."""
    _send(client, shop.event_name, payload)

    assert _reports(client)[0].data.reason.error_types[0].code == code
    assert shop.total(NOON, NOON + HOUR) == 0.0


def test_a_rejected_event_keeps_its_identifier(client: stripe.StripeClient, shop: Shop) -> None:
    """The identifier is used up by the 200, though nothing was counted."""
    shop.use("1e3", identifier="a")
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        shop.use("1000", identifier="a")


def test_a_rejected_event_overwrites_nothing(shop: Shop) -> None:
    """The hour keeps the value that counted before."""
    shop.use("5")
    shop.use("1e3")

    assert shop.total(NOON, NOON + HOUR) == 5.0


def test_samples_name_the_idempotency_key(client: stripe.StripeClient, shop: Shop) -> None:
    """As the SDK documents it, a sample names the request's Idempotency-Key, not the event's identifier."""
    shop.use("1e3", identifier="a", key="k1")

    sample = _reports(client)[0].data.reason.error_types[0].sample_errors[0]
    assert sample.request.identifier == "k1"


def test_samples_can_be_made_to_name_the_identifier(
    client: stripe.StripeClient, shop: Shop, control: httpx.Client
) -> None:
    """The other reading of the field can be switched on."""
    control.post("/settings", json={"error_samples_name": "identifier"})
    shop.use("1e3", identifier="a")

    sample = _reports(client)[0].data.reason.error_types[0].sample_errors[0]
    assert sample.request.identifier == "a"


def test_a_report_gathers_a_window_and_samples_a_few(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """One report counts all rejections of its window and names at most five of a code."""
    control.post("/settings", json={"error_window_s": 600})
    for number in range(7):
        shop.use("1e3", key=f"k{number}")
    clock.advance(599)
    assert _reports(client) == []

    clock.advance(1)
    [report] = _reports(client)
    [kind] = report.data.reason.error_types
    assert (report.data.reason.error_count, kind.error_count) == (7, 7)
    assert [sample.request.identifier for sample in kind.sample_errors] == ["k0", "k1", "k2", "k3", "k4"]
    assert (report.data.validation_start, report.data.validation_end) == (
        "2026-03-10T12:00:00.000Z",
        "2026-03-10T12:10:00.000Z",
    )


def test_lists_do_not_show_what_a_report_says(client: stripe.StripeClient, shop: Shop) -> None:
    """Thin events are thin in lists: their content comes when one is retrieved."""
    shop.use("1e3")
    [listed] = client.v2.core.events.list({"object_id": shop.meter}).data

    assert listed.type == REPORT
    assert "data" not in listed


def test_reports_are_paged_and_filtered(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """The SDK follows next_page_url; lists filter by type, object and time."""
    for number in range(5):
        shop.use("1e3", identifier=str(number))
        clock.advance(60)
    _send(client, "typo", {"stripe_customer_id": shop.customer, "value": "1"})

    def count(**wanted: Any) -> int:
        return len(list(client.v2.core.events.list(loose(wanted)).auto_paging_iter()))

    assert count(limit=2) == 6
    assert count(limit=2, types=[REPORT]) == 5
    assert count(limit=2, object_id=shop.meter) == 5
    assert count(created={"gte": "2026-03-10T12:03:00Z"}) == 3
    assert count(created={"gt": "2026-03-10T12:00:00Z", "lt": "2026-03-10T12:02:00Z"}) == 1
    assert count(created={"lte": "2026-03-10T12:00:00Z"}) == 1


def test_what_was_fine_when_it_came_may_be_rejected_when_processed(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """An event is judged when it is processed: a meter archived meanwhile counts it no more."""
    control.post("/faults", json={"kind": "processed_late", "after_s": 60})
    shop.use("5")
    client.v1.billing.meters.deactivate(shop.meter)
    clock.advance(60)

    assert _reports(client)[0].data.reason.error_types[0].code == "archived_meter"
    assert shop.total(NOON, NOON + HOUR) == 0.0


def test_which_rejections_come_late_can_be_set(
    client: stripe.StripeClient, shop: Shop, control: httpx.Client
) -> None:
    """Where Stripe's behaviour is not known for sure, a test can have it either way."""
    control.post("/settings", json={"asynchronous": ["timestamp_too_far_in_past"]})
    shop.use("5", timestamp=NOON - 36 * DAY)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.use("1e3")

    assert refused.value.code == "meter_event_invalid_value"
    assert _reports(client)[0].data.reason.error_types[0].code == "timestamp_too_far_in_past"


@pytest.mark.parametrize(
    ("named", "request_of"),
    [
        ("idempotency_key", {"identifier": "k1"}),
        ("identifier", {"identifier": "a"}),
        ("id_and_idempotency_key", {"id": "req_Sim", "idempotency_key": "k1"}),
    ],
)
def test_a_sample_names_its_event_in_one_of_three_ways(
    client: stripe.StripeClient, shop: Shop, control: httpx.Client, named: str, request_of: dict[str, str]
) -> None:
    """By the Idempotency-Key, by the event's identifier, or by the request that brought it."""
    control.post("/settings", json={"error_samples_name": named})
    shop.use("1e3", identifier="a", key="k1")
    [sample] = _reports(client)[0].data.reason.error_types[0].sample_errors

    seen = sample.request.to_dict()
    assert request_of == {**seen, **({"id": seen["id"][:7]} if "id" in seen else {})}


@pytest.mark.parametrize(
    ("code", "timestamp"),
    [("timestamp_too_far_in_past", NOON - 36 * DAY), ("timestamp_in_future", NOON + HOUR)],
)
def test_a_bad_timestamp_may_be_reported_later(
    client: stripe.StripeClient, shop: Shop, control: httpx.Client, code: str, timestamp: int
) -> None:
    """Where Stripe takes it with a 200, a timestamp out of bounds is in a report, and does not count."""
    control.post("/settings", json={"asynchronous": [code]})
    shop.use("1", timestamp=timestamp)

    assert code == _reports(client)[0].data.reason.error_types[0].code
