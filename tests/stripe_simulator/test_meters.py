"""Meters can be made, found again, renamed and switched off; nothing else about them changes."""

from typing import Any

import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import NOON, Shop, loose


def _new(client: stripe.StripeClient, event_name: str = "calls", **more: Any) -> stripe.billing.Meter:
    return client.v1.billing.meters.create(
        loose(
            {
                "display_name": "Calls",
                "event_name": event_name,
                "default_aggregation": {"formula": "sum"},
                **more,
            }
        )
    )


def test_a_meter_has_stripes_defaults(client: stripe.StripeClient) -> None:
    """Without more, events name the customer under stripe_customer_id and the value under value."""
    meter = _new(client)

    assert (meter.status, meter.event_time_window, meter.created) == ("active", None, NOON)
    assert meter.customer_mapping.event_payload_key == "stripe_customer_id"
    assert meter.value_settings.event_payload_key == "value"
    assert meter.default_aggregation.formula == "sum"


def test_payload_keys_can_be_chosen(client: stripe.StripeClient, shop: Shop) -> None:
    """A meter reads customer and value from the payload keys that it was made with."""
    meter = _new(
        client,
        customer_mapping={"event_payload_key": "who", "type": "by_id"},
        value_settings={"event_payload_key": "bytes"},
    )
    client.v1.billing.meter_events.create(
        {"event_name": "calls", "payload": {"who": shop.customer, "bytes": "7"}}
    )
    [summary] = client.v1.billing.meters.event_summaries.list(
        meter.id, {"customer": shop.customer, "start_time": NOON, "end_time": NOON + 60}
    ).data

    assert summary.aggregated_value == 7.0


@pytest.mark.parametrize("formula", ["max", "average"])
def test_there_is_no_other_formula(client: stripe.StripeClient, formula: str) -> None:
    """A meter sums, counts or takes the last; Stripe has no maximum."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _new(client, default_aggregation={"formula": formula})

    assert refused.value.param == "default_aggregation[formula]"


def test_an_event_name_has_one_active_meter(client: stripe.StripeClient) -> None:
    """A second active meter of the same event name is refused; an archived one frees the name."""
    first = _new(client)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        _new(client)
    assert refused.value.param == "event_name"

    client.v1.billing.meters.deactivate(first.id)
    assert _new(client).id != first.id


def test_a_name_that_was_taken_since_stops_the_reactivation(client: stripe.StripeClient) -> None:
    """Reactivating is refused while another active meter has the event name."""
    first = _new(client)
    client.v1.billing.meters.deactivate(first.id)
    _new(client)

    with pytest.raises(stripe.InvalidRequestError):
        client.v1.billing.meters.reactivate(first.id)


def test_only_the_display_name_changes(client: stripe.StripeClient) -> None:
    """The display name can be changed, nothing else."""
    meter = _new(client)

    assert (
        client.v1.billing.meters.update(meter.id, {"display_name": "API calls"}).display_name == "API calls"
    )
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.billing.meters.update(
            meter.id,
            loose({"event_time_window": "hour"}),
        )
    assert refused.value.code == "parameter_unknown"


def test_a_meter_is_switched_off_and_on(client: stripe.StripeClient, clock: Clock) -> None:
    """Deactivating says when; reactivating forgets it."""
    meter = _new(client)
    clock.advance(60)
    off = client.v1.billing.meters.deactivate(meter.id)
    assert (off.status, off.status_transitions.deactivated_at) == ("inactive", NOON + 60)

    on = client.v1.billing.meters.reactivate(meter.id)
    assert (on.status, on.status_transitions.deactivated_at) == ("active", None)


def test_switching_twice_is_refused(client: stripe.StripeClient) -> None:
    """An active meter cannot be reactivated, an inactive one not deactivated."""
    meter = _new(client)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.billing.meters.reactivate(meter.id)
    client.v1.billing.meters.deactivate(meter.id)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.billing.meters.deactivate(meter.id)


def test_meters_are_listed_by_status(client: stripe.StripeClient) -> None:
    """The list has all meters, newest first, or those of a status."""
    first, second = _new(client, "first"), _new(client, "second")
    client.v1.billing.meters.deactivate(first.id)

    assert [meter.id for meter in client.v1.billing.meters.list().data] == [second.id, first.id]
    assert [meter.id for meter in client.v1.billing.meters.list({"status": "inactive"}).data] == [first.id]
    assert client.v1.billing.meters.retrieve(first.id).event_name == "first"
