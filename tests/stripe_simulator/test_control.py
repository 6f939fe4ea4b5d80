"""The control endpoints: clock, settings, counters, the whole state, pages for people."""

import httpx
import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.server import RunningSimulator
from tests.stripe_simulator.shop import HOUR, NOON, Shop, instant


def test_the_clock_is_set_and_advanced(control: httpx.Client) -> None:
    """A set clock stands; advance moves it on."""
    assert control.post("/clock", json={"now": NOON}).json() == {"now": NOON}
    assert control.post("/clock", json={"advance": 60}).json() == {"now": NOON + 60}
    assert control.post("/clock", json={"now": 1_000, "advance": 60}).json() == {"now": 1_060}
    assert control.get("/clock").json() == {"now": 1_060}


def test_a_freed_clock_runs_with_real_time_and_can_be_ahead() -> None:
    """Null lets the clock run with real time; advancing it then keeps it running, ahead."""
    clock = Clock(0)
    clock.set(None)
    real = clock.now()
    clock.advance(7 * HOUR)

    assert real > instant("2026-01-01T00:00")
    assert clock.now() - real >= 7 * HOUR


@pytest.mark.parametrize("wanted", [{"noww": 1}, {"now": "2026"}, {"advance": -1}, {"now": True}])
def test_a_clock_refuses_what_it_does_not_know(control: httpx.Client, wanted: dict[str, object]) -> None:
    """A misspelt clock call is refused, and the clock stays."""
    assert control.post("/clock", json=wanted).status_code == 400
    assert control.get("/clock").json() == {"now": NOON}


def test_moving_the_clock_ends_periods_without_a_call(shop: Shop, control: httpx.Client) -> None:
    """What is due happens when the clock is moved, not only when someone asks Stripe."""
    shop.subscribe()
    control.post("/clock", json={"now": instant("2026-04-10T12:00")})

    assert [one["status"] for one in control.get("/state").json()["invoices"]] == ["open", "draft"]


def test_calls_are_counted_by_path(client: stripe.StripeClient, control: httpx.Client) -> None:
    """Every call of the API is counted under its route, refused ones too; control calls are not."""
    made = client.v1.customers.create({"name": "Acme"})
    client.v1.customers.retrieve(made.id)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.retrieve("cus_nobody")
    with pytest.raises(stripe.InvalidRequestError):
        client.raw_request("get", "/v1/nothing")

    assert control.get("/calls").json() == {
        "total": 4,
        "by_path": {"POST /v1/customers": 1, "GET /v1/customers/{id}": 2, "GET /v1/nothing": 1},
    }
    control.delete("/calls")
    assert control.get("/calls").json() == {"total": 0, "by_path": {}}


def test_settings_are_changed_by_name(control: httpx.Client) -> None:
    """Settings can be read and changed; unknown ones are refused."""
    before = control.get("/settings").json()
    after = control.post("/settings", json={"grace_s": 60}).json()

    assert (before["grace_s"], before["aggregation_delay_s"]) == (HOUR, 0)
    assert after == {**before, "grace_s": 60}
    assert control.post("/settings", json={"grace": 60}).status_code == 400


def test_the_state_shows_everything(shop: Shop, control: httpx.Client) -> None:
    """The dump has every object, every event as it came, and what counts of them."""
    shop.subscribe()
    shop.use("5", identifier="a")
    shop.use("3", identifier="b")
    shop.use("1e3", identifier="c")
    state = control.get("/state").json()

    assert [one["identifier"] for one in state["meter_events"]] == ["a", "b", "c"]
    assert state["usage"] == [
        {
            "meter": shop.meter,
            "event_name": shop.event_name,
            "customer": shop.customer,
            "total": "3",
            "events": [{"identifier": "b", "timestamp": NOON, "value": "3", "processed_at": NOON}],
        }
    ]
    assert [one["code"] for one in state["rejected"]] == ["meter_event_invalid_value"]
    assert {
        name: len(state[name]) for name in ("customers", "meters", "prices", "products", "subscriptions")
    } == {"customers": 1, "meters": 1, "prices": 2, "products": 2, "subscriptions": 1}


def test_a_reset_forgets_everything(shop: Shop, control: httpx.Client, simulator: RunningSimulator) -> None:
    """After a reset the account is empty, settings are the defaults, and the clock stands where it stood."""
    shop.use("5")
    control.post("/settings", json={"grace_s": 60, "hold_s": 1})
    control.post("/faults", json={"kind": "500"})
    control.post("/reset")

    state = control.get("/state").json()
    assert (state["now"], state["customers"], state["meter_events"]) == (NOON, [], [])
    assert control.get("/settings").json()["grace_s"] == HOUR
    assert simulator.simulator.hold_s == 0.01
    assert control.get("/faults").json()["pending"] == []


def test_a_page_shows_people_what_is_there(simulator: RunningSimulator, shop: Shop) -> None:
    """The start page names customers, meters, events and invoices, and says that it is no Stripe."""
    shop.subscribe()
    shop.use("12.5", identifier="acme.mqtt_traffic.20260310T12.1")
    page = httpx.get(simulator.url, trust_env=False).text

    for words in ("Not Stripe", "Acme", "mqtt_traffic", "acme.mqtt_traffic.20260310T12.1", "$29.00", "12.5"):
        assert words in page


def test_a_page_shows_names_as_text(simulator: RunningSimulator, client: stripe.StripeClient) -> None:
    """A name with markup in it is shown, not run."""
    client.v1.customers.create({"name": "<script>alert(1)</script>"})
    page = httpx.get(simulator.url, trust_env=False).text

    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_invoice_has_a_page(simulator: RunningSimulator, shop: Shop) -> None:
    """An invoice's page shows its lines and total; one that is not there is a 404."""
    shop.subscribe()
    page = httpx.get(f"{simulator.url}/invoices/in_Sim000000000001", trust_env=False)

    assert "Starter (at $29.00 / month)" in page.text
    assert httpx.get(f"{simulator.url}/invoices/in_none", trust_env=False).status_code == 404


def test_a_setting_is_one_of_its_words(control: httpx.Client) -> None:
    """A word that a setting does not have is refused: a mistyped reading would silently be another."""
    refused = control.post("/settings", json={"draft_usage": "sometimes"})

    assert 400 == refused.status_code
    assert "'at_finalisation'" in refused.json()["error"]["message"]
