"""GET /v1/billing/meters/{id}/event_summaries: what was used, window by window."""

import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, instant, loose


def test_the_start_is_inclusive_and_the_end_exclusive(shop: Shop) -> None:
    """An event at the start counts, one at the end does not."""
    shop.use("1", timestamp=NOON - HOUR)
    shop.use("2", timestamp=NOON)

    assert shop.total(NOON - HOUR, NOON) == 1.0


def test_without_a_grouping_one_summary_covers_the_span(shop: Shop) -> None:
    """The whole span has one value, zero when nothing was used."""
    assert shop.used(NOON - DAY, NOON) == [(NOON - DAY, NOON, 0.0)]


def test_hours_without_events_are_left_out(shop: Shop) -> None:
    """Grouped by hour, only hours with events are listed, newest first; a zero that was sent is listed."""
    shop.use("1", timestamp=NOON - 5 * HOUR)
    shop.use("0", timestamp=NOON - 2 * HOUR + 59)

    assert shop.used(NOON - DAY, NOON, value_grouping_window="hour") == [
        (NOON - 2 * HOUR, NOON - HOUR, 0.0),
        (NOON - 5 * HOUR, NOON - 4 * HOUR, 1.0),
    ]


def test_days_are_utc_days(shop: Shop) -> None:
    """Grouped by day, hours add up within UTC days."""
    midnight = instant("2026-03-10T00:00")
    shop.use("1", timestamp=midnight - 1)
    shop.use("2", timestamp=midnight)
    shop.use("4", timestamp=midnight + HOUR)

    assert shop.used(midnight - DAY, midnight + DAY, value_grouping_window="day") == [
        (midnight, midnight + DAY, 6.0),
        (midnight - DAY, midnight, 1.0),
    ]


def test_a_page_has_ten_summaries_unless_asked_for_more(client: stripe.StripeClient, shop: Shop) -> None:
    """The default page is short: who does not follow the pages misses hours."""
    for hour in range(24):
        shop.use("1", timestamp=NOON - hour * HOUR)
    span = {"start_time": NOON - DAY, "end_time": NOON + HOUR, "value_grouping_window": "hour"}
    listed = client.v1.billing.meters.event_summaries.list(
        shop.meter,
        loose({"customer": shop.customer, **span}),
    )

    assert len(listed.data) == 10
    assert listed.has_more
    assert [one.start_time for one in listed.auto_paging_iter()] == [NOON - hour * HOUR for hour in range(24)]


def test_the_value_is_a_float(shop: Shop) -> None:
    """Stripe answers a binary float here, the nearest to the exact sum."""
    shop.use("0.1", timestamp=NOON - HOUR)
    shop.use("0.2", timestamp=NOON)

    assert shop.total(NOON - HOUR, NOON + HOUR) == 0.3


@pytest.mark.parametrize(
    ("start", "end", "window", "param"),
    [
        (NOON + 1, NOON + HOUR, None, "start_time"),
        (NOON, NOON + 61, None, "end_time"),
        (NOON + 60, NOON + HOUR, "hour", "start_time"),
        (NOON - HOUR, NOON + 60, "hour", "end_time"),
        (NOON, NOON + DAY, "day", "start_time"),
        (NOON, NOON, None, "end_time"),
        (NOON, NOON - HOUR, "hour", "end_time"),
    ],
)
def test_a_span_is_aligned_with_its_windows(
    shop: Shop, start: int, end: int, window: str | None, param: str
) -> None:
    """Without grouping a span is aligned with minutes, else with its windows; and it is not empty."""
    more = {"value_grouping_window": window} if window else {}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.used(start, end, **more)

    assert refused.value.param == param


def test_an_unknown_customer_is_refused(client: stripe.StripeClient, shop: Shop) -> None:
    """Summaries are of a customer that exists."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.billing.meters.event_summaries.list(
            shop.meter, {"customer": "cus_nobody", "start_time": NOON, "end_time": NOON + 60}
        )

    assert refused.value.param == "customer"


def test_summaries_of_an_archived_meter_stay(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """Deactivating a meter stops new events and keeps what was counted."""
    shop.use("5", timestamp=NOON)
    clock.advance(60)
    client.v1.billing.meters.deactivate(shop.meter)

    assert shop.total(NOON, NOON + HOUR) == 5.0
