"""What a subscription's status says, and what leads from one to the next."""

from typing import Any

import httpx
import pytest
import stripe

from stripe_simulator.engine.clock import Clock
from tests.stripe_simulator.shop import DAY, HOUR, NOON, Shop, instant, loose

PERIOD_END = instant("2026-04-10T12:00")
CHARGED: dict[str, Any] = {"collection_method": "charge_automatically"}


def _status(client: stripe.StripeClient, subscription: stripe.Subscription) -> str:
    return client.v1.subscriptions.retrieve(subscription.id).status


def _invoices(client: stripe.StripeClient) -> list[tuple[str | None, str | None, int]]:
    return [(one.billing_reason, one.status, one.total) for one in client.v1.invoices.list().data]


def _pays(client: stripe.StripeClient, shop: Shop, method: str = "pm_card_visa") -> None:
    client.v1.customers.update(shop.customer, {"invoice_settings": {"default_payment_method": method}})


def test_without_a_payment_method_a_charged_subscription_is_incomplete(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """The first payment that does not come within 23 hours ends the subscription and voids its invoice."""
    subscription = shop.subscribe(**CHARGED)
    assert "incomplete" == subscription.status
    clock.advance(23 * HOUR - 1)
    assert "incomplete" == _status(client, subscription)

    clock.advance(1)
    assert "incomplete_expired" == _status(client, subscription)
    assert [("subscription_create", "void", 2900)] == _invoices(client)
    clock.set(PERIOD_END + DAY)
    assert 1 == len(_invoices(client))
    [listed] = client.v1.subscriptions.list({"status": "incomplete_expired"}).data
    assert subscription.id == listed.id


def test_an_incomplete_subscription_is_paid_in_time(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Paying the first invoice makes an incomplete subscription active."""
    subscription = shop.subscribe(**CHARGED)
    client.v1.invoices.pay(str(subscription.latest_invoice), {"payment_method": "pm_card_visa"})
    clock.advance(DAY)

    assert "active" == _status(client, subscription)


def test_a_refused_first_payment_can_refuse_the_subscription(client: stripe.StripeClient, shop: Shop) -> None:
    """With error_if_incomplete nothing is made when the payment does not come about."""
    _pays(client, shop, "pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError):
        shop.subscribe(payment_behavior="error_if_incomplete", **CHARGED)

    assert [] == client.v1.subscriptions.list({"status": "all"}).data
    assert [] == _invoices(client)


def test_a_card_pays_at_finalisation(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """With a payment method invoices are paid as soon as they are final."""
    _pays(client, shop)
    subscription = shop.subscribe(**CHARGED)
    clock.set(PERIOD_END + HOUR)

    assert "active" == _status(client, subscription)
    assert [("subscription_cycle", "paid", 2900), ("subscription_create", "paid", 2900)] == _invoices(client)


def test_an_invoice_that_is_not_paid_in_time_makes_past_due(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """A sent invoice that is open after its due date makes the subscription past due until it is settled."""
    subscription = shop.subscribe(collection_method="send_invoice", days_until_due=10)
    clock.advance(10 * DAY - 1)
    assert "active" == _status(client, subscription)
    clock.advance(1)
    assert "past_due" == _status(client, subscription)

    client.v1.invoices.void_invoice(str(subscription.latest_invoice))
    assert "active" == _status(client, subscription)


def test_a_past_due_subscription_goes_on_billing(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """A declined card at a period's end makes past due; the next period is billed as well."""
    _pays(client, shop)
    subscription = shop.subscribe(**CHARGED)
    _pays(client, shop, "pm_card_chargeCustomerFail")
    clock.set(PERIOD_END + HOUR)
    assert "past_due" == _status(client, subscription)

    clock.set(instant("2026-05-10T13:00"))
    assert [("subscription_cycle", "open", 2900)] * 2 == _invoices(client)[:2]


@pytest.mark.parametrize("outcome", ["past_due", "unpaid", "canceled"])
def test_what_nobody_pays_is_given_up(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client, outcome: str
) -> None:
    """After the last try the account's settings say whether the subscription stays, is unpaid or ends."""
    control.post("/settings", json={"after_retries": outcome})
    subscription = shop.subscribe(collection_method="send_invoice", days_until_due=1)
    clock.advance(DAY + 14 * DAY)

    assert outcome == _status(client, subscription)


def test_an_unpaid_subscription_leaves_its_invoices_drafts(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """Invoices of an unpaid subscription stay drafts that nobody finalises; paying what is due revives it."""
    control.post("/settings", json={"after_retries": "unpaid"})
    subscription = shop.subscribe(collection_method="send_invoice", days_until_due=1)
    clock.set(PERIOD_END + 10 * DAY)
    draft, first = client.v1.invoices.list().data
    assert ("draft", False, None) == (draft.status, draft.auto_advance, draft.automatically_finalizes_at)

    client.v1.invoices.pay(first.id, {"paid_out_of_band": True})
    assert "active" == _status(client, subscription)


def test_usage_in_a_trial_is_free(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """A trial's invoice is of nothing; after it a full period begins, and the trial's usage is on none."""
    subscription = shop.subscribe(trial_period_days=14)
    end = NOON + 14 * DAY
    assert ("trialing", NOON, end, end) == (
        subscription.status,
        subscription.trial_start,
        subscription.trial_end,
        subscription.billing_cycle_anchor,
    )
    assert [("subscription_create", "paid", 0)] == _invoices(client)
    shop.use("500", timestamp=NOON)

    clock.set(end + HOUR)
    shop.use("12", timestamp=end)
    assert "active" == _status(client, subscription)
    assert ("subscription_cycle", "open", 2900) == _invoices(client)[0]
    assert 2920 == client.v1.invoices.create_preview({"subscription": subscription.id}).total


@pytest.mark.parametrize(
    ("behavior", "status"), [("cancel", "canceled"), ("pause", "paused"), ("create_invoice", "past_due")]
)
def test_a_trial_ends_without_a_payment_method(
    client: stripe.StripeClient, shop: Shop, clock: Clock, behavior: str, status: str
) -> None:
    """A charged subscription without a payment method ends, pauses or bills at its trial's end, as made."""
    settings = {"end_behavior": {"missing_payment_method": behavior}}
    subscription = shop.subscribe(trial_period_days=1, trial_settings=settings, **CHARGED)
    clock.advance(2 * DAY)

    assert status == _status(client, subscription)


def test_a_trial_can_be_ended_now(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """trial_end=now begins the first paid period at once."""
    subscription = shop.subscribe(trial_period_days=14)
    clock.advance(DAY)
    ended = client.v1.subscriptions.update(subscription.id, {"trial_end": "now"})

    assert ("active", NOON + DAY) == (ended.status, ended.billing_cycle_anchor)


def test_a_paused_subscription_bills_nothing(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """A pause makes no invoices and loses what was used until it is resumed, with a full period from then."""
    subscription = shop.subscribe()
    shop.use("500", timestamp=NOON)
    clock.advance(DAY)
    assert "paused" == client.v1.subscriptions.pause(subscription.id).status
    clock.set(PERIOD_END + DAY)
    assert 1 == len(_invoices(client))

    resumed = client.v1.subscriptions.resume(subscription.id)
    assert ("active", PERIOD_END + DAY) == (resumed.status, resumed.billing_cycle_anchor)
    assert ("subscription_update", "open", 2900) == _invoices(client)[0]
    assert 2900 == client.v1.invoices.create_preview({"subscription": subscription.id}).total


def test_a_pause_bills_the_usage_when_told(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """A pause may bill what was used until it."""
    subscription = shop.subscribe()
    shop.use("12", timestamp=NOON)
    clock.advance(DAY)
    bill_for = {"outstanding_usage_through": {"type": "now"}}
    client.v1.subscriptions.pause(subscription.id, loose({"bill_for": bill_for}))

    assert ("subscription_update", "open", 20) == _invoices(client)[0]


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible"), ("void", "void")],
)
def test_paused_collection_goes_on_making_invoices(
    client: stripe.StripeClient, shop: Shop, clock: Clock, behavior: str, status: str
) -> None:
    """A subscription whose collection is paused is active; its invoices stay drafts, or are given up."""
    subscription = shop.subscribe()
    client.v1.subscriptions.update(subscription.id, loose({"pause_collection": {"behavior": behavior}}))
    clock.set(PERIOD_END + 5 * DAY)

    assert "active" == _status(client, subscription)
    invoice = client.v1.invoices.list().data[0]
    assert (status, None) == (invoice.status, invoice.automatically_finalizes_at)


def test_paused_invoices_may_have_their_grace(
    client: stripe.StripeClient, shop: Shop, clock: Clock, control: httpx.Client
) -> None:
    """Whether a paused invoice is void at once or after its grace time is a setting."""
    control.post("/settings", json={"paused_invoice": "grace"})
    subscription = shop.subscribe()
    client.v1.subscriptions.update(subscription.id, {"pause_collection": {"behavior": "void"}})
    clock.set(PERIOD_END + HOUR - 1)
    assert "draft" == _invoices(client)[0][1]

    clock.advance(1)
    assert "void" == _invoices(client)[0][1]


def test_collection_goes_on_when_the_pause_is_over(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """A pause of collection ends by itself at resumes_at, or when it is unset."""
    subscription = shop.subscribe()
    until = {"behavior": "void", "resumes_at": NOON + DAY}
    client.v1.subscriptions.update(subscription.id, loose({"pause_collection": until}))
    clock.set(NOON + DAY)
    assert client.v1.subscriptions.retrieve(subscription.id).pause_collection is None

    client.v1.subscriptions.update(subscription.id, {"pause_collection": {"behavior": "void"}})
    client.v1.subscriptions.update(subscription.id, {"pause_collection": ""})
    clock.set(PERIOD_END + HOUR)
    assert ("subscription_cycle", "open", 2900) == _invoices(client)[0]


def test_a_subscription_ends_at_an_instant(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """cancel_at cuts the period: its end moves while its start stays, and the usage until then is billed."""
    subscription = shop.subscribe()
    at = NOON + 10 * DAY
    cut = client.v1.subscriptions.update(subscription.id, {"cancel_at": at, "proration_behavior": "none"})
    item = cut["items"].data[0]
    assert (at, NOON, at) == (cut.cancel_at, item.current_period_start, item.current_period_end)
    shop.use("12", timestamp=NOON)

    clock.set(at + HOUR)
    assert ("canceled", ("subscription_cycle", "open", 20)) == (
        _status(client, subscription),
        _invoices(client)[0],
    )


def test_an_end_that_is_unset_gives_the_period_back(client: stripe.StripeClient, shop: Shop) -> None:
    """Without cancel_at the period ends where it would have; with a fee, a cut must not prorate."""
    subscription = shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="proration_behavior"):
        client.v1.subscriptions.update(subscription.id, {"cancel_at": NOON + DAY})
    client.v1.subscriptions.update(subscription.id, {"cancel_at": NOON + DAY, "proration_behavior": "none"})
    back = client.v1.subscriptions.update(subscription.id, {"cancel_at": ""})

    assert (None, PERIOD_END) == (back.cancel_at, back["items"].data[0].current_period_end)


def test_a_later_end_cuts_a_later_period(client: stripe.StripeClient, shop: Shop, clock: Clock) -> None:
    """An end in a later period cuts that one, and its fee is the share of it."""
    subscription = shop.subscribe()
    client.v1.subscriptions.update(subscription.id, {"cancel_at": PERIOD_END + 15 * DAY})
    clock.set(PERIOD_END + HOUR)

    item = client.v1.subscriptions.retrieve(subscription.id)["items"].data[0]
    assert (PERIOD_END, PERIOD_END + 15 * DAY) == (item.current_period_start, item.current_period_end)
    assert ("subscription_cycle", "open", 1450) == _invoices(client)[0]


def test_a_schedule_is_cancelled_with_an_invoice_by_default(
    client: stripe.StripeClient, shop: Shop, clock: Clock
) -> None:
    """Cancelling a schedule bills the usage unless told not to; cancelling a subscription does not."""
    subscription = shop.subscribe()
    shop.use("12", timestamp=NOON)
    clock.advance(DAY)
    schedule = client.v1.subscription_schedules.create({"from_subscription": subscription.id})
    with pytest.raises(stripe.InvalidRequestError, match="prorate"):
        client.v1.subscription_schedules.cancel(schedule.id)
    cancelled = client.v1.subscription_schedules.cancel(schedule.id, {"prorate": False})

    assert ("canceled", "canceled") == (cancelled.status, _status(client, subscription))
    assert ("subscription_update", "open", 20) == _invoices(client)[0]


@pytest.mark.parametrize(
    ("finalisation", "status"), [("grace", "draft"), ("at_once", "open"), ("never", "draft")]
)
def test_a_cancellations_invoice_may_be_final_at_once_or_never(
    client: stripe.StripeClient,
    shop: Shop,
    clock: Clock,
    control: httpx.Client,
    finalisation: str,
    status: str,
) -> None:
    """Nothing may count on a grace time after invoice_now: the invoice may be final at once, or never."""
    control.post("/settings", json={"cancellation_invoice": finalisation})
    subscription = shop.subscribe()
    shop.use("12", timestamp=NOON)
    clock.advance(DAY)
    client.v1.subscriptions.cancel(subscription.id, {"invoice_now": True})
    assert ("subscription_update", status, 20) == _invoices(client)[0]

    clock.advance(100 * DAY)
    assert ("draft" if finalisation == "never" else "open") == _invoices(client)[0][1]
