"""Previews, drafts, grace and finalisation: which usage lands on which invoice."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, instant, loose

PERIOD_END = instant("2026-04-10T12:00")


def _lines(invoice: stripe.Invoice) -> list[tuple[str, Decimal | None, int]]:
    """Each line's price, quantity and amount."""
    found = []
    for line in invoice.lines.auto_paging_iter():
        details = line.pricing.price_details if line.pricing else None
        found.append((str(details.price) if details else "", line.quantity_decimal, line.amount))
    return found


def _cycle_invoice(client: stripe.StripeClient) -> stripe.Invoice:
    [invoice] = [one for one in client.v1.invoices.list().data if one.billing_reason == "subscription_cycle"]
    return invoice


def _events(client: stripe.StripeClient, kind: str) -> list[stripe.Event]:
    return client.v1.events.list({"type": kind}).data


def test_a_preview_has_the_next_fee_and_the_usage_so_far(client: stripe.StripeClient, shop: Shop) -> None:
    """The base fee of the next period, and the current period's usage, a line for each tier."""
    subscription = shop.subscribe()
    shop.use("12.5")
    preview = client.v1.invoices.create_preview({"subscription": subscription.id})

    assert _lines(preview) == [
        (shop.fee_price, Decimal(1), 2900),
        (shop.metered_price, Decimal(10), 0),
        (shop.metered_price, Decimal("2.5"), 25),
    ]
    assert (preview.total, preview.amount_due, preview.status) == (2925, 2925, "draft")
    assert preview.id.startswith("upcoming_in")


def test_lines_say_which_period_they_are_for(client: stripe.StripeClient, shop: Shop) -> None:
    """Usage is of the current period, the fee of the next."""
    subscription = shop.subscribe()
    preview = client.v1.invoices.create_preview({"subscription": subscription.id})

    assert [(line.period.start, line.period.end) for line in preview.lines.data] == [
        (PERIOD_END, instant("2026-05-10T12:00")),
        (NOON, PERIOD_END),
    ]


def test_a_lines_integer_quantity_is_truncated(client: stripe.StripeClient, shop: Shop) -> None:
    """The integer field loses the fraction; quantity_decimal is exact."""
    subscription = shop.subscribe()
    shop.use("9.999999999")
    preview = client.v1.invoices.create_preview({"subscription": subscription.id})

    assert (preview.lines.data[1].quantity, preview.lines.data[1].quantity_decimal) == (
        9,
        Decimal("9.999999999"),
    )


def test_amounts_are_rounded_half_up_once_a_line(client: stripe.StripeClient, shop: Shop) -> None:
    """10.15 units are 0.15 over, 1.5 cents, 2 cents on the line."""
    subscription = shop.subscribe()
    shop.use("10.15")
    preview = client.v1.invoices.create_preview({"subscription": subscription.id})

    assert preview.lines.data[2].amount == 2


def test_a_negative_total_bills_as_zero(client: stripe.StripeClient, shop: Shop) -> None:
    """Values below zero count, and an invoice never pays usage back."""
    subscription = shop.subscribe()
    shop.use("-5", timestamp=NOON)
    assert shop.total(NOON, NOON + HOUR) == -5.0

    preview = client.v1.invoices.create_preview({"subscription": subscription.id})
    assert _lines(preview)[1:] == [(shop.metered_price, Decimal(0), 0)]


def test_lines_are_described_with_their_tier_and_price(client: stripe.StripeClient, shop: Shop) -> None:
    """People can read what a line is for."""
    subscription = shop.subscribe()
    shop.use("12.5")
    preview = client.v1.invoices.create_preview({"subscription": subscription.id})

    assert [line.description for line in preview.lines.data] == [
        "1 \N{MULTIPLICATION SIGN} Starter (at $29.00 / month)",
        "10 \N{MULTIPLICATION SIGN} MQTT traffic (Tier 1 at $0.00 / month)",
        "2.5 \N{MULTIPLICATION SIGN} MQTT traffic (Tier 2 at $0.10 / month)",
    ]


def test_a_preview_finds_the_customers_subscription(client: stripe.StripeClient, shop: Shop) -> None:
    """The customer is enough."""
    shop.subscribe()

    assert client.v1.invoices.create_preview({"customer": shop.customer}).total == 2900


def test_a_preview_knows_only_what_is_aggregated(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """The aggregation delay holds for previews too."""
    control.post("/settings", json={"aggregation_delay_s": 60})
    subscription = shop.subscribe()
    shop.use("20")
    assert client.v1.invoices.create_preview({"subscription": subscription.id}).total == 2900

    clock.advance(60)
    assert client.v1.invoices.create_preview({"subscription": subscription.id}).total == 3000


def test_there_is_no_preview_without_a_subscription(client: stripe.StripeClient, shop: Shop) -> None:
    """A customer without an active subscription has no upcoming invoice."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoices.create_preview({"customer": shop.customer})
    assert (refused.value.http_status, refused.value.code) == (404, "invoice_upcoming_none")

    with pytest.raises(stripe.InvalidRequestError) as unsaid:
        client.v1.invoices.create_preview({})
    assert unsaid.value.code == "parameter_missing"


def test_a_preview_is_no_invoice(client: stripe.StripeClient, shop: Shop) -> None:
    """Previews are listed nowhere and bill nothing."""
    shop.subscribe()
    client.v1.invoices.create_preview({"customer": shop.customer})

    assert len(client.v1.invoices.list().data) == 1


def test_an_invoice_holds_ten_lines_and_the_rest_behind_its_address(
    client: stripe.StripeClient, shop: Shop
) -> None:
    """Whoever reads only the first page of lines misses some, on previews and on invoices."""
    prices = [
        client.v1.prices.create(
            {
                "currency": "usd",
                "product_data": {"name": f"Extra {number}"},
                "unit_amount": number,
                "recurring": {"interval": "month"},
            }
        ).id
        for number in range(12)
    ]
    shop.subscribe(items=[{"price": price} for price in prices])
    invoice = client.v1.invoices.list().data[0]
    preview = client.v1.invoices.create_preview({"customer": shop.customer})

    for one in (invoice, preview):
        assert (len(one.lines.data), one.lines.has_more) == (10, True)
        assert _lines(one) == [(price, Decimal(1), amount) for amount, price in enumerate(prices)]


def test_the_periods_end_makes_a_draft(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """At the end of the period a draft is created, and says when it will be finalised."""
    subscription = shop.subscribe()
    shop.use("12")
    clock.set(PERIOD_END - 1)
    assert _events(client, "invoice.created")[0].created == NOON

    clock.set(PERIOD_END + 60)
    invoice = _cycle_invoice(client)
    assert (invoice.status, invoice.created, invoice.automatically_finalizes_at, invoice.number) == (
        "draft",
        PERIOD_END,
        PERIOD_END + HOUR,
        None,
    )
    assert (invoice.period_start, invoice.period_end) == (NOON, PERIOD_END)
    assert invoice.parent is not None
    assert invoice.parent.subscription_details is not None
    assert invoice.parent.subscription_details.subscription == subscription.id
    [created, _] = _events(client, "invoice.created")
    assert (created.created, created.data.object["id"]) == (PERIOD_END, invoice.id)


def test_usage_of_the_ended_period_counts_until_finalisation(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """What arrives in the grace time with a timestamp inside the period is on the invoice."""
    shop.subscribe()
    shop.use("12")
    clock.set(PERIOD_END + HOUR - 1)
    shop.use("3", timestamp=PERIOD_END - HOUR)
    clock.advance(1)
    invoice = _cycle_invoice(client)

    assert invoice.status == "open"
    assert _lines(invoice)[1:] == [(shop.metered_price, Decimal(10), 0), (shop.metered_price, Decimal(5), 50)]


def test_usage_after_finalisation_lands_on_no_invoice(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """What arrives later changes neither the finalised invoice nor the next one, though summaries have it."""
    shop.subscribe()
    clock.set(PERIOD_END + HOUR)
    shop.use("100", timestamp=PERIOD_END - HOUR)
    assert _cycle_invoice(client).total == 2900
    assert shop.total(PERIOD_END - HOUR, PERIOD_END) == 100.0

    clock.set(instant("2026-05-10T14:00"))
    assert [one.total for one in client.v1.invoices.list().data] == [2900, 2900, 2900]


def test_usage_of_the_new_period_is_not_on_the_old_invoice(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """The event's timestamp decides which period it is of."""
    shop.subscribe()
    clock.set(PERIOD_END + 60)
    shop.use("20", timestamp=PERIOD_END)
    clock.advance(HOUR)

    assert _cycle_invoice(client).total == 2900
    assert client.v1.invoices.create_preview({"customer": shop.customer}).total == 3000


def test_usage_not_aggregated_at_finalisation_is_lost(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """Acknowledged is not counted: an event still on its way at finalisation is on no invoice."""
    control.post("/settings", json={"aggregation_delay_s": 600})
    shop.subscribe()
    clock.set(PERIOD_END + HOUR - 599)
    shop.use("100", timestamp=PERIOD_END - HOUR)
    clock.advance(HOUR)

    assert _cycle_invoice(client).total == 2900


def test_the_grace_time_can_be_set(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """With 72 hours of grace an invoice is a draft for 72 hours."""
    control.post("/settings", json={"grace_s": 72 * HOUR})
    shop.subscribe()
    clock.set(PERIOD_END + 72 * HOUR - 1)
    assert _cycle_invoice(client).status == "draft"

    clock.advance(1)
    assert _cycle_invoice(client).status == "open"


def test_finalisation_numbers_and_links_the_invoice(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """A finalised invoice has a number, a link, an instant, and an event that shows it so."""
    shop.subscribe()
    clock.set(PERIOD_END + 2 * HOUR)
    invoice = _cycle_invoice(client)

    assert invoice.status_transitions.finalized_at == PERIOD_END + HOUR
    assert invoice.automatically_finalizes_at is None
    assert invoice.number
    assert invoice.hosted_invoice_url
    page = httpx.get(invoice.hosted_invoice_url, trust_env=False)
    assert (page.status_code, "$29.00" in page.text) == (200, True)
    [finalized, _] = _events(client, "invoice.finalized")
    assert (finalized.created, finalized.data.object["total"]) == (PERIOD_END + HOUR, 2900)


def test_a_draft_can_be_finalised_by_hand(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """Finalising ends the grace at once, and only once."""
    shop.subscribe()
    clock.set(PERIOD_END + 60)
    draft = _cycle_invoice(client)
    assert client.v1.invoices.finalize_invoice(draft.id).status == "open"
    shop.use("100", timestamp=PERIOD_END - HOUR)
    assert client.v1.invoices.retrieve(draft.id).total == 2900

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoices.finalize_invoice(draft.id)
    assert refused.value.code == "invoice_not_editable"


def test_a_draft_can_be_given_more_time(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """automatically_finalizes_at moves the end of the grace; auto_advance off stops it."""
    shop.subscribe()
    clock.set(PERIOD_END + 60)
    draft = _cycle_invoice(client)
    client.v1.invoices.update(draft.id, {"automatically_finalizes_at": PERIOD_END + DAY})
    clock.set(PERIOD_END + DAY - 1)
    assert client.v1.invoices.retrieve(draft.id).status == "draft"

    client.v1.invoices.update(draft.id, {"auto_advance": False})
    clock.advance(DAY)
    assert client.v1.invoices.retrieve(draft.id).status == "draft"
    assert client.v1.invoices.retrieve(draft.id).automatically_finalizes_at is None


def test_a_finalised_invoice_changes_no_more(client: stripe.StripeClient, shop: Shop) -> None:
    """Only metadata can be changed after finalisation."""
    shop.subscribe()
    invoice = client.v1.invoices.list().data[0]
    changed = client.v1.invoices.update(invoice.id, {"metadata": {"period": "2026-03"}})
    assert changed.metadata is not None
    assert changed.metadata["period"] == "2026-03"

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoices.update(invoice.id, {"description": "other"})
    assert refused.value.code == "invoice_not_editable"


def test_a_draft_without_an_amount_is_paid_when_finalised(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Nothing to pay is paid."""
    shop.subscribe(items=[{"price": shop.metered_price}])
    clock.set(PERIOD_END + HOUR)

    assert (_cycle_invoice(client).status, _cycle_invoice(client).total) == ("paid", 0)


def test_a_clock_that_jumps_bills_each_period_once(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """After half a year each period has its invoice, created and finalised at its own time."""
    shop.subscribe()
    clock.set(instant("2026-09-10T12:00"))

    def listed(**wanted: Any) -> list[tuple[int, str | None]]:
        return [(one.created, one.status) for one in client.v1.invoices.list(loose(wanted)).data]

    ends = [instant(f"2026-{month:02d}-10T12:00") for month in range(3, 10)]
    assert listed() == [(ends[-1], "draft"), *((end, "open") for end in reversed(ends[:-1]))]
    assert listed(status="draft") == [(ends[-1], "draft")]
    assert listed(customer="cus_nobody") == []


def test_events_are_snapshots_newest_first(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """An event keeps what its object was like, and can be retrieved."""
    subscription = shop.subscribe()
    clock.set(PERIOD_END)
    [event] = _events(client, "customer.subscription.updated")
    found = client.v1.events.retrieve(event.id)

    item = found.data.object["items"]["data"][0]
    assert (found.data.object["id"], item["current_period_start"]) == (subscription.id, PERIOD_END)
    kinds = [
        one.type for one in client.v1.events.list({"types": ["invoice.created", "invoice.finalized"]}).data
    ]
    assert kinds == ["invoice.created", "invoice.finalized", "invoice.created"]
    assert client.v1.events.list({"created": {"gt": PERIOD_END}}).data == []


def test_an_event_names_the_call_that_caused_it(client: stripe.StripeClient) -> None:
    """A call's event has its request id and Idempotency-Key; what Stripe does by itself has none."""
    made = client.v1.customers.create({"name": "Acme"}, {"idempotency_key": "k1"})
    [event] = _events(client, "customer.created")

    assert made.last_response is not None
    assert event.request is not None
    assert (event.request.id, event.request.idempotency_key) == (made.last_response.request_id, "k1")
