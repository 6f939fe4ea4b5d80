"""What Stripe does with a meter event: take it, refuse it, overwrite an hour with it."""

from typing import Any

import httpx
import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.account import Call, StripeAccount
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, loose


def test_an_event_is_answered_as_it_was_sent(shop: Shop) -> None:
    """The answer repeats what was sent, and says when it came."""
    event = shop.use("12.5", identifier="a", timestamp=NOON - 60)

    assert (event.event_name, event.identifier, event.timestamp, event.created) == (
        "mqtt_traffic",
        "a",
        NOON - 60,
        NOON,
    )
    assert event.payload["value"] == "12.5"


def test_an_event_without_a_timestamp_is_of_now(shop: Shop) -> None:
    """The timestamp defaults to the time of the call, and the identifier is made up."""
    event = shop.use("1")

    assert event.timestamp == NOON
    assert event.identifier


def test_a_duplicate_identifier_is_refused_without_a_code(shop: Shop) -> None:
    """The message alone tells a duplicate: type invalid_request_error, no code."""
    shop.use("1", identifier="a")

    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.use("1", identifier="a")

    assert refused.value.http_status == 400
    assert refused.value.json_body == {
        "error": {"message": "An event already exists with identifier a.", "type": "invalid_request_error"}
    }
    assert refused.value.code is None


def test_a_duplicate_is_refused_whatever_it_carries(shop: Shop) -> None:
    """The identifier alone is compared; the first event's value stays."""
    shop.use("1", identifier="a")
    with pytest.raises(stripe.InvalidRequestError):
        shop.use("2", identifier="a", timestamp=NOON - HOUR)

    assert shop.total(NOON - DAY, NOON + HOUR) == 1.0


def test_an_identifier_is_forgotten_after_24_hours(shop: Shop, clock: Clock) -> None:
    """After 24 hours the same identifier is a new event."""
    shop.use("1", identifier="a", timestamp=NOON)
    clock.advance(DAY - 1)
    with pytest.raises(stripe.InvalidRequestError):
        shop.use("2", identifier="a", timestamp=NOON)
    clock.advance(1)
    shop.use("2", identifier="a", timestamp=NOON)

    assert shop.total(NOON, NOON + HOUR) == 2.0


def test_an_identifier_of_over_100_characters_is_refused(shop: Shop) -> None:
    """Identifiers have at most 100 characters."""
    assert shop.use("1", identifier="x" * 100).identifier == "x" * 100
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.use("1", identifier="x" * 101)

    assert refused.value.param == "identifier"


@pytest.mark.parametrize(
    ("offset", "taken"), [(-35 * DAY, True), (300, True), (-35 * DAY - 1, False), (301, False)]
)
def test_a_timestamp_is_at_most_35_days_old_and_5_minutes_ahead(
    shop: Shop, offset: int, *, taken: bool
) -> None:
    """Both bounds are inclusive."""
    if taken:
        assert shop.use("1", timestamp=NOON + offset).timestamp == NOON + offset
    else:
        with pytest.raises(stripe.InvalidRequestError, match="timestamp cannot be more than"):
            shop.use("1", timestamp=NOON + offset)


def test_a_value_has_at_most_15_digits(shop: Shop) -> None:
    """Fifteen significant digits are exact in a double, and Stripe takes no more."""
    shop.use("123456.123456789")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.use("1234567.123456789")

    assert refused.value.code == "meter_event_value_too_many_digits"
    assert shop.total(NOON, NOON + HOUR) == 123456.123456789


def test_leading_zeros_are_no_digits(shop: Shop) -> None:
    """Only significant digits count."""
    shop.use("0.000000123456789")

    assert shop.total(NOON, NOON + HOUR) == 1.23456789e-07


@pytest.mark.parametrize("value", ["1e3", "1E-7", "NaN", "Infinity", "ten", "", "0x10", "1,5", "1_000", "+1"])
def test_a_value_that_is_no_plain_decimal_never_counts(shop: Shop, value: str) -> None:
    """Exponents and words are taken with a 200, and do not count."""
    shop.use(value)

    assert shop.total(NOON, NOON + HOUR) == 0.0


def test_a_newer_event_overwrites_its_hour(shop: Shop) -> None:
    """Of an hour only the event received last counts."""
    shop.use("5", timestamp=NOON)
    shop.use("3", timestamp=NOON)

    assert shop.total(NOON, NOON + HOUR) == 3.0


def test_receipt_decides_not_the_timestamp(shop: Shop, clock: Clock) -> None:
    """Within an hour an event with an older timestamp overwrites, when it is received later."""
    clock.advance(HOUR)
    shop.use("5", timestamp=NOON + 1800)
    shop.use("3", timestamp=NOON)

    assert shop.total(NOON, NOON + HOUR) == 3.0


def test_hours_are_judged_by_the_timestamps_utc_hour(shop: Shop) -> None:
    """The last second of an hour and the first of the next are of two hours, which add up."""
    shop.use("5", timestamp=NOON - 1)
    shop.use("3", timestamp=NOON)

    assert shop.used(NOON - HOUR, NOON + HOUR, value_grouping_window="hour") == [
        (NOON, NOON + HOUR, 3.0),
        (NOON - HOUR, NOON, 5.0),
    ]


def test_customers_do_not_overwrite_each_other(client: stripe.StripeClient, shop: Shop) -> None:
    """An hour is of one customer."""
    other = client.v1.customers.create({"name": "Other"})
    shop.use("5")
    client.v1.billing.meter_events.create(
        {"event_name": shop.event_name, "payload": {"stripe_customer_id": other.id, "value": "7"}}
    )

    assert shop.total(NOON, NOON + HOUR) == 5.0


@pytest.mark.parametrize(
    ("window", "formula", "expected"),
    [
        (None, "sum", 10.0),
        (None, "count", 3.0),
        (None, "last", 4.0),
        ("hour", "sum", 9.0),
        ("hour", "count", 2.0),
        ("hour", "last", 4.0),
        ("day", "sum", 5.0),
    ],
)
def test_a_formula_aggregates_what_its_window_leaves(
    client: stripe.StripeClient, shop: Shop, window: str | None, formula: str, expected: float
) -> None:
    """Without a window every event counts; with one, the last received of each hour or day."""
    more = {"event_time_window": window} if window else {}
    meter = client.v1.billing.meters.create(
        loose(
            {
                "display_name": "Other",
                "event_name": "other",
                "default_aggregation": {"formula": formula},
                **more,
            }
        )
    )
    for value, timestamp in (("1", NOON - HOUR), ("4", NOON), ("5", NOON - 1800)):
        client.v1.billing.meter_events.create(
            {
                "event_name": "other",
                "payload": {"stripe_customer_id": shop.customer, "value": value},
                "timestamp": timestamp,
            }
        )
    [summary] = client.v1.billing.meters.event_summaries.list(
        meter.id, {"customer": shop.customer, "start_time": NOON - DAY, "end_time": NOON + DAY}
    ).data

    assert summary.aggregated_value == expected


def test_usage_shows_after_the_aggregation_delay(shop: Shop, clock: Clock, control: httpx.Client) -> None:
    """A 200 is not yet counted: summaries know an event only when the delay is over."""
    control.post("/settings", json={"aggregation_delay_s": 600})
    shop.use("5", timestamp=NOON)
    assert shop.total(NOON, NOON + HOUR) == 0.0

    clock.advance(599)
    assert shop.total(NOON, NOON + HOUR) == 0.0
    clock.advance(1)
    assert shop.total(NOON, NOON + HOUR) == 5.0


def test_an_overwritten_hour_shows_the_old_value_until_the_delay_is_over(
    shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """Eventual consistency holds for overwriting too."""
    control.post("/settings", json={"aggregation_delay_s": 600})
    shop.use("5", timestamp=NOON)
    clock.advance(600)
    shop.use("3", timestamp=NOON)
    assert shop.total(NOON, NOON + HOUR) == 5.0

    clock.advance(600)
    assert shop.total(NOON, NOON + HOUR) == 3.0


def test_an_old_request_processed_late_wins(shop: Shop, clock: Clock, control: httpx.Client) -> None:
    """What Stripe processes last overwrites, though it was accepted first."""
    control.post("/faults", json={"kind": "processed_late", "after_s": 300})
    shop.use("5", timestamp=NOON, identifier="old")
    shop.use("3", timestamp=NOON, identifier="new")
    assert shop.total(NOON, NOON + HOUR) == 3.0

    clock.advance(300)
    assert shop.total(NOON, NOON + HOUR) == 5.0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4 * HOUR - 1), st.integers(0, 10**9).map(lambda nano: f"{nano / 10**9:.9f}")
        ),
        max_size=12,
    )
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_the_total_is_the_sum_of_each_hours_last(sent: list[tuple[int, str]]) -> None:
    """Whatever is sent in whatever order, each hour counts what it was sent last."""
    account = StripeAccount()
    customer = _asked(account, "POST", "/v1/customers", {})["id"]
    meter = {
        "display_name": "m",
        "event_name": "m",
        "event_time_window": "hour",
        "default_aggregation": {"formula": "sum"},
    }
    meter_id = _asked(account, "POST", "/v1/billing/meters", meter)["id"]
    for offset, value in sent:
        payload = {"stripe_customer_id": customer, "value": value}
        event = {"event_name": "m", "timestamp": str(NOON - 4 * HOUR + offset), "payload": payload}
        _asked(account, "POST", "/v1/billing/meter_events", event)
    wanted = {"customer": customer, "start_time": str(NOON - 4 * HOUR), "end_time": str(NOON)}
    [summary] = _asked(account, "GET", f"/v1/billing/meters/{meter_id}/event_summaries", wanted)["data"]

    last = {offset // HOUR: int(value.replace(".", "")) for offset, value in sent}
    assert round(summary["aggregated_value"] * 10**9) == sum(last.values())


def _asked(account: StripeAccount, method: str, path: str, form: dict[str, Any]) -> Any:
    answer = account.answer(Call(method, path, form, "sk_test_1"), NOON)
    assert answer.status == 200
    return answer.body
