"""Planted faults of "the invoice that is ours" and of "leaving, returning, ending without a bill"."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

import pytest

import ops.subscriptions
from metering.core.accounts import Account, BillingPeriod, Customer, PeriodState
from metering.core.billed import InvoiceStatus
from metering.core.instants import HOUR
from metering.core.periods import Period
from metering.core.stripe_names import OUR_ID
from metering.tables.tables import Tables
from ops.late_usage import Billing
from ops.periods import end_unsold
from ops.stripe_objects import existing_prices
from stripe_report import closing, subscription
from stripe_report.closing import ClosingStep
from stripe_report.desk import Desk
from stripe_report.invoices import PeriodInvoices
from stripe_report.reader import Reader
from stripe_report.subscribed import Subscription, SubscriptionStatus
from tests.stripe import equation
from tests.stripe.planted import METER, MINUTE, Planted, cancelled_at_the_end, gigabytes, night, run, used
from tests.stripe.test_coming_back import cancel, come_back
from tests.stripe.test_our_invoice import support_contract
from tests.stripe.world import CUSTOMER, DAY, START, World

FIFTH = START + 5 * DAY

# ------------------------------------------------------------------ the invoice that is ours


def with_a_support_contract(world: World) -> None:
    """A second subscription of the same Stripe customer with the same anchor; 30 GB used."""
    support_contract(world)
    run(used(world, 30), 36)


def any_invoice_of_the_customer(patch: pytest.MonkeyPatch) -> None:
    """An invoice is found by Stripe customer and period start."""

    def first(desk: Desk, account: Account, billing: BillingPeriod) -> PeriodInvoices:
        found = desk.gateway.reader.invoices(
            billing.start,
            subscription_id=None,
            stripe_customer_id=str(account.customer.stripe_customer_id),
        )
        same = [one for one in found if one.period_start == billing.start and one.created >= billing.end]
        return PeriodInvoices(billing, tuple(same[:1]))

    patch.setattr(closing, "invoices_of", first)


def _ending_invoice(world: World, *statuses: str) -> str:
    found = [
        one for one in equation.our_invoices(world, statuses) if one.period_start < world.now.timestamp()
    ]
    return found[-1].id


def void_before_our_look(world: World) -> None:
    """The invoice is made void before anyone looks at it."""
    used(world, 12)
    world.at(world.period().end + 80 * HOUR)
    world.stripe.v1.invoices.void_invoice(_ending_invoice(world, "open"))
    run(world, 3)


def void_counts(patch: pytest.MonkeyPatch) -> None:
    """Whatever is no draft is final, and billed."""
    patch.setattr(InvoiceStatus, "counts", property(lambda self: self is not InvoiceStatus.DRAFT))


def void_after_our_look(world: World) -> None:
    """The invoice is written down as open, and made void a day later."""
    run(used(world, 12), 36)
    world.stripe.v1.invoices.void_invoice(_ending_invoice(world, "open"))
    run(world, 3)


def nobody_looks_again(patch: pytest.MonkeyPatch) -> None:
    """A final period is never looked at again."""
    patch.setattr(closing, "_watched", lambda *_given: ClosingStep(None))


def with_a_threshold(world: World) -> None:
    """A threshold's invoice in the middle of the period, then a final one beside a draft."""
    world.stripe.v1.subscriptions.update(
        str(world.period().subscription_id), {"billing_thresholds": {"amount_gte": 100}}
    )
    used(used(world, 30), 5, 10 * DAY)
    run(world, 36)


def any_final_invoice_will_do(patch: pytest.MonkeyPatch) -> None:
    """A period is final with the first invoice of it that is no draft."""
    patch.setattr(PeriodInvoices, "is_final", property(lambda self: bool(self.final.all)))
    honest = closing._noted
    patch.setattr(closing, "_noted", lambda d, c, found, now: honest(d, c, found.final, now))
    nobody_looks_again(patch)


# ------------------------------------------------------------------ leaving and coming back


def leaves_and_comes_back(
    finalised: Literal["grace", "at_once"] = "at_once", *, invoice_now: bool = True
) -> Callable[[World], None]:
    """12 GB sent, 40 unsent, cancelled at 12:05, attached at 12:15; then a week."""

    def live(world: World) -> None:
        assert world.account is not None
        world.account.state.settings.cancellation_invoice = finalised
        world.at(FIFTH).use(START, gigabytes(12))
        world.dispatch()
        world.use(START + HOUR, gigabytes(40))
        world.use(FIFTH, gigabytes(5))
        cancel(world.at(FIFTH + 5 * MINUTE), invoice_now=invoice_now)
        come_back(world.at(FIFTH + 15 * MINUTE))
        run(world, 7)

    return live


def within_hour_12(world: World) -> None:
    """5 GB in hour 12, sent before it is over; cancelled at 12:05, attached at 12:15; then 36 days."""
    world.at(FIFTH + 4 * MINUTE).use(FIFTH, gigabytes(5))
    world.dispatch(include_open=True)
    cancel(world.at(FIFTH + 5 * MINUTE), invoice_now=True)
    come_back(world.at(FIFTH + 15 * MINUTE))
    run(world, 36)


def invoiced_is_used(patch: pytest.MonkeyPatch) -> None:
    """Where no invoice is known, what was used is written down as invoiced, and the period is final."""
    honest = end_unsold

    def guessed(account: Account, first: Period, tables: Tables) -> None:
        for period in account.periods:
            if period.end <= first.start and period.sold and period.state is not PeriodState.FINALISED:
                hours = list(tables.hours.of_period(CUSTOMER, period.span))
                gb = sum((hour.counters.get("mqtt_bytes_sent", 0) for hour in hours), 0) // 2**30
                final = period.model_copy(
                    update={
                        "state": PeriodState.FINALISED,
                        "invoiced": {METER: Decimal(gb)},
                        "invoice_id": "in_guessed",
                    }
                )
                tables.customers.replace_period(CUSTOMER, period, final)
        honest(account, first, tables)

    patch.setattr("ops.attach.end_unsold", guessed)


def dated_back(patch: pytest.MonkeyPatch) -> None:
    """A new subscription is dated back to the hour's beginning, and its first period has that hour."""
    honest = ops.subscriptions._create_subscription

    def create(client: Any, customer: Customer, stripe_customer_id: str, terms: Any) -> Any:
        if terms.previous is None:
            return honest(client, customer, stripe_customer_id, terms)
        prices = existing_prices(client, terms.lookup_keys)
        start = terms.begins - HOUR
        return client.v1.subscriptions.create(
            {
                "customer": stripe_customer_id,
                "items": [{"price": prices[key].id} for key in terms.lookup_keys],
                "backdate_start_date": int(start.timestamp()),
                "billing_cycle_anchor_config": {
                    "day_of_month": start.day,
                    "hour": start.hour,
                    "minute": 0,
                    "second": 0,
                },
                "proration_behavior": "none",
                "billing_mode": {"type": "flexible"},
                "metadata": {OUR_ID: customer.customer_id},
                "collection_method": "send_invoice",
                "days_until_due": 30,
            }
        )

    patch.setattr(ops.subscriptions, "_create_subscription", create)
    patch.setattr("ops.attach.end_unsold", lambda *_given: None)


def back_within_the_hour(world: World) -> None:
    """Cancelled and attached within one hour; 20 GB used after it, and sent."""
    cancel(world.at(START + 5 * MINUTE), invoice_now=True)
    come_back(world.later(MINUTE))
    world.at(FIFTH).use(FIFTH - 3 * HOUR, gigabytes(20))
    night(world)
    run(world, 7)


def the_same_key(patch: pytest.MonkeyPatch) -> None:
    """The request that made the cancelled subscription is made again, and Stripe replays its answer."""
    honest = ops.subscriptions._create_subscription
    answers: list[Any] = []

    def replayed(client: Any, customer: Customer, stripe_customer_id: str, terms: Any) -> Any:
        if not answers:
            answers.append(honest(client, customer, stripe_customer_id, terms))
        return answers[0]

    patch.setattr(ops.subscriptions, "_create_subscription", replayed)
    patch.setattr("ops.attach.end_unsold", lambda *_given: None)


def in_a_trial(world: World) -> None:
    """Attached before anyone looked; 30 GB are used in the trial, which ends, and a week passes."""
    made = _trial(world)
    profile = equation.account_of(world).customer
    world.customers.replace(profile, profile.model_copy(update={"stripe_subscription_id": made}))
    [period] = world.customers.periods(CUSTOMER)
    world.customers.replace_period(
        CUSTOMER, period, period.model_copy(update={"subscription_id": made, "items": {}})
    )
    night(used(world, 30))
    night(world.at(START + 11 * DAY))
    run(world, 7)


def _trial(world: World) -> str:
    profile = equation.account_of(world).customer
    old = str(profile.stripe_subscription_id)
    items = world.stripe.v1.subscriptions.retrieve(old)["items"]["data"]
    world.stripe.v1.subscriptions.cancel(old)
    wanted: Any = {
        "customer": profile.stripe_customer_id,
        "items": [{"price": item["price"]["id"]} for item in items],
        "trial_period_days": 10,
        "collection_method": "send_invoice",
        "days_until_due": 30,
        "metadata": {OUR_ID: CUSTOMER},
    }
    return world.stripe.v1.subscriptions.create(wanted).id


def a_trial_lives(patch: pytest.MonkeyPatch) -> None:
    """A subscription in a trial is taken for a living one."""
    honest = Reader.subscription

    def living(self: Reader, subscription_id: str) -> Subscription:
        found = honest(self, subscription_id)
        trialing = found.status is SubscriptionStatus.TRIALING
        return replace(found, status=SubscriptionStatus.ACTIVE if trialing else found.status, trial_end=None)

    patch.setattr(Reader, "subscription", living)


def goes_on_after_the_end(world: World) -> None:
    """4,800 GB in the days after the subscription's end."""
    cancelled_at_the_end(used(world, 12))
    end = world.period().end
    for number in range(24):
        world.use(end + number * 6 * HOUR, gigabytes(200))
    run(world, 2)


def nobody_counts_it(patch: pytest.MonkeyPatch) -> None:
    """What comes after the end is accepted, and in no count."""
    patch.setattr("aggregate.conservation.differences_after_end", lambda *_given: [])


def stripe_customer_deleted(world: World) -> None:
    """20 GB used, the Stripe customer deleted, a week passes."""
    used(world, 20)
    customer = str(equation.account_of(world).customer.stripe_customer_id)
    world.at(FIFTH).stripe.v1.customers.delete(customer)
    night(world)
    run(world, 7)


def no_list_of_what_is_unbilled(patch: pytest.MonkeyPatch) -> None:
    """A period that no invoice bills is closing for ever, and in no list."""
    patch.setattr(Billing, "_unbilled", lambda *_given: None)


def attached_to_another_plan(patch: pytest.MonkeyPatch) -> None:
    """The open period keeps the plan it had, whatever the subscription bills."""
    honest = subscription._opened

    def opened(desk: Desk, customer: Customer, span: Period, found: Subscription) -> BillingPeriod:
        return honest(desk, customer, span, found).on_plan("professional@1", customer.override, desk.catalog)

    def of(customer: Customer, span: Period, catalog: Any) -> BillingPeriod:
        return BillingPeriod.of(customer, span).on_plan("professional@1", customer.override, catalog)

    patch.setattr(subscription, "_opened", opened)
    patch.setattr(BillingPeriod, "opened", staticmethod(of))


def on_another_plan(world: World) -> None:
    """Comes back, uses 30 GB of its plan, and its month ends."""
    cancel(world.at(FIFTH + 5 * MINUTE), invoice_now=True)
    come_back(world.at(FIFTH + 15 * MINUTE))
    world.at(FIFTH + 8 * HOUR).use(FIFTH + 2 * HOUR, gigabytes(30))
    run(world, 36)


OURS = (
    Planted("another's invoice is taken for ours", with_a_support_contract, any_invoice_of_the_customer),
    Planted("void before our look", void_before_our_look, void_counts),
    Planted("void after our look", void_after_our_look, nobody_looks_again),
    Planted("final by a threshold's invoice", with_a_threshold, any_final_invoice_will_do),
)
LEAVING = (
    Planted("unsent when cancelled", leaves_and_comes_back(), invoiced_is_used),
    Planted("hour 12 on both invoices", within_hour_12, dated_back),
    Planted("without a final invoice", leaves_and_comes_back(invoice_now=False), invoiced_is_used),
    Planted(
        "no list of what no invoice bills",
        leaves_and_comes_back(invoice_now=False),
        no_list_of_what_is_unbilled,
    ),
    Planted("back within the hour", back_within_the_hour, the_same_key),
    Planted("a trial is living", in_a_trial, a_trial_lives),
    Planted("usage after the end", goes_on_after_the_end, nobody_counts_it),
    Planted("the Stripe customer is deleted", stripe_customer_deleted, no_list_of_what_is_unbilled),
    Planted("attached to another plan", on_another_plan, attached_to_another_plan),
)
