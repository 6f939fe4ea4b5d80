"""What people do to a subscription and its invoices at Stripe, or by leaving and coming back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from metering.core.accounts import Status
from metering.core.instants import HOUR, hour_of
from ops.customers import days_to_report, set_status
from tests.stripe import equation
from tests.stripe.days import MIB, MINUTE, Days
from tests.stripe.test_our_invoice import support_contract
from tests.stripe.transport import fault
from tests.stripe.world import CUSTOMER, DAY


class Outside(Days):
    """What others do."""

    def outside(self) -> list[Callable[[], object]]:
        return [
            self._second_subscription,
            self._cancel,
            self._cancel_and_come_back,
            self._cancel_at_period_end,
            self._cancel_at,
            self._new_anchor,
            self._exchange_prices,
            self._thresholds,
            self._pause_collection,
            self._pause,
            self._nobody_pays,
            self._yearly_addon,
            self._change_an_invoice,
            self._change_an_invoice,
            self._touch_a_draft,
            self._delete_customer,
            self._change_plan,
            self._change_plan_and_undo_it,
            self._suspend,
            self._try_a_trial,
            self._try_without_payment_method,
            self._stuck_event,
            self._limit,
            self._archive_for_a_while,
        ]

    def _second_subscription(self) -> None:
        """A support contract of the same Stripe customer, or another subscription on our meters."""
        if self.random.random() < 0.7:
            self.at_stripe(lambda: support_contract(self.world))
            return
        client = self.world.stripe
        with self.undisturbed():
            [price] = client.v1.prices.list({"lookup_keys": ["professional@1.mqtt_traffic"]}).data
        other: Any = {"customer": self.stripe_customer(), "items": [{"price": price.id}]}
        self.at_stripe(lambda: client.v1.subscriptions.create(other))

    def _cancel(self) -> None:
        params: Any = {"invoice_now": self.random.random() < 0.5}
        self.change(lambda name: self.world.stripe.v1.subscriptions.cancel(name, params))

    def _cancel_and_come_back(self) -> None:
        """Within the hour, later, or on another plan."""
        self._cancel()
        world = self.world
        span = self.random.choice([5 * MINUTE, 50 * MINUTE, 26 * HOUR, 20 * DAY])
        if self.random.random() < 0.5:
            world.at(world.now + span)
        else:
            self.schedules(world.now + span)
        self.use()
        if self.random.random() < 0.3:
            self.set_plan("professional")
        self.come_back()

    def _cancel_at_period_end(self) -> None:
        self.update(cancel_at_period_end=True)

    def _cancel_at(self) -> None:
        at = self.world.now + self.random.choice([3 * HOUR, 5 * DAY + 7 * MINUTE, 50 * DAY])
        self.update(cancel_at=int(at.timestamp()), proration_behavior="none")
        if self.random.random() < 0.3:
            self.wait()
            self.update(cancel_at="")

    def _new_anchor(self) -> None:
        """The present period ends here, and a full one begins."""
        self.update(billing_cycle_anchor="now", proration_behavior="none")

    def _exchange_prices(self) -> None:
        """One metered price, some, or all, with or without billing what was used before."""
        client, name = self.world.stripe, self.subscription()
        if name is None:
            return
        with self.undisturbed():
            items = client.v1.subscriptions.retrieve(name)["items"]["data"]
        metered = [item for item in items if item["price"]["recurring"]["meter"]]
        if not metered:
            return
        behavior = self.random.choice(["none", "create_prorations", "always_invoice"])
        plan = self.random.choice(["professional@1", "starter@1"])
        changes = []
        for item in self.random.sample(metered, self.random.choice([1, len(metered)])):
            meter = str(item["price"]["lookup_key"]).split(".")[1]
            with self.undisturbed():
                prices = client.v1.prices.list({"lookup_keys": [f"{plan}.{meter}"]}).data
            changes += [{"id": item["id"], "price": price.id} for price in prices]
        self.update(items=changes, proration_behavior=behavior)

    def _thresholds(self) -> None:
        self.update(billing_thresholds={"amount_gte": self.random.choice([50, 200, 2000])})

    def _pause_collection(self) -> None:
        behavior = self.random.choice(["keep_as_draft", "mark_uncollectible", "void"])
        self.update(pause_collection={"behavior": behavior})
        if self.random.random() < 0.6:
            self.wait()
            self.update(pause_collection="")

    def _pause(self) -> None:
        """The subscription itself pauses, and perhaps goes on."""
        through: Any = {
            "bill_for": {"outstanding_usage_through": {"type": self.random.choice(["now", "none"])}}
        }
        self.change(lambda name: self.world.stripe.v1.subscriptions.pause(name, through))
        if self.random.random() < 0.7:
            self.wait()
            self.change(self.world.stripe.v1.subscriptions.resume)

    def _nobody_pays(self) -> None:
        """The invoices are due at once, and the subscription is past due and given up."""
        self.update(days_until_due=0)

    def _yearly_addon(self) -> None:
        client = self.world.stripe

        def run() -> object:
            product = client.v1.products.create({"name": "Training"})
            params: Any = {
                "product": product.id,
                "currency": "usd",
                "unit_amount": 12_000,
                "recurring": {"interval": "year"},
            }
            price = client.v1.prices.create(params)
            changes: Any = {"items": [{"price": price.id}], "proration_behavior": "none"}
            return client.v1.subscriptions.update(str(self.subscription()), changes)

        self.at_stripe(run)

    def _change_an_invoice(self) -> None:
        """Pay it, void it, give it up, or credit some of it."""
        invoices = self.invoices("open", "uncollectible")
        if not invoices:
            return
        chosen, v1 = self.random.choice(invoices), self.world.stripe.v1
        credit: Any = {"invoice": chosen.id, "amount": min(100, max(1, chosen.remaining))}
        paid: Any = {"paid_out_of_band": True}
        change = self.random.choice(
            [
                lambda: v1.invoices.void_invoice(chosen.id),
                lambda: v1.invoices.void_invoice(chosen.id),
                lambda: v1.invoices.mark_uncollectible(chosen.id),
                lambda: v1.invoices.pay(chosen.id, paid),
                lambda: v1.credit_notes.create(credit),
            ]
        )
        self.at_stripe(change)

    def _touch_a_draft(self) -> None:
        """Finalise it by hand, or delete it."""
        drafts = self.invoices("draft")
        if not drafts:
            return
        chosen, v1 = self.random.choice(drafts), self.world.stripe.v1
        change = self.random.choice(
            [lambda: v1.invoices.finalize_invoice(chosen.id), lambda: v1.invoices.delete(chosen.id)]
        )
        self.at_stripe(cast("Callable[[], object]", change))

    def _delete_customer(self) -> None:
        """The Stripe customer is gone; perhaps it comes back as another."""
        client = self.world.stripe
        self.at_stripe(lambda: client.v1.customers.delete(self.stripe_customer()))
        self.wait()
        if self.random.random() < 0.5:
            with self.undisturbed():
                made = client.v1.customers.create({"name": "Acme again"})
            self.come_back(stripe_customer_id=made.id)

    def _change_plan(self) -> None:
        self.set_plan("professional")

    def _change_plan_and_undo_it(self) -> None:
        self.set_plan("professional")
        self.wait()
        self.set_plan("starter")

    def _suspend(self) -> None:
        """Nothing is reported for a while; when it is resumed the open days are."""
        world, customers = self.world, self.world.customers
        set_status(customers, equation.account_of(world).customer, Status.SUSPENDED, dry_run=False)
        self.use()
        self.wait()
        set_status(customers, equation.account_of(world).customer, Status.ACTIVE, dry_run=False)
        days_to_report(equation.account_of(world), world.markers, world.now, dry_run=False)

    def _try_a_trial(self) -> None:
        """Leave, and come back to a subscription in its trial: refused, and attached when that has ended."""
        self._cancel()
        self.world.at(self.world.now + HOUR)
        name = self.made_at_stripe(trial_period_days=5)
        if name is None:
            return
        assert not self.come_back(stripe_subscription_id=name)
        self.use()
        self.schedules(self.world.now + 6 * DAY)
        self.come_back(stripe_subscription_id=name)

    def _try_without_payment_method(self) -> None:
        """Leave, and come back charged automatically: incomplete, so refused; then sent invoices."""
        self._cancel()
        self.world.at(self.world.now + 2 * HOUR)
        self.come_back(days_until_due=None)
        self.world.at(self.world.now + self.random.choice([HOUR, 30 * HOUR]))
        self.come_back()

    def _stuck_event(self) -> None:
        """One number never gets an answer."""
        hour = hour_of(self.world.now)
        prefix = f"{CUSTOMER}.mqtt_traffic.{hour:%Y%m%dT%H}.1"
        self.world.wire.faults.add(replace(fault("500", times=100_000), identifier_prefix=prefix))
        self.world.use(hour, {"mqtt_bytes_sent": 3 * 1024 * MIB})
        self.schedules(self.world.now + 3 * HOUR)

    def _limit(self) -> None:
        """Stripe answers 429 to whatever is read, for a while."""
        limited = fault("429", times=self.random.choice([3, 12]))
        self.world.wire.faults.add(replace(limited, method="GET", path_prefix="/v1"))
        self.schedules(self.world.now + 5 * HOUR)

    def _archive_for_a_while(self) -> None:
        """Let Stripe refuse events after its answer."""
        meters = self.stripe_account.state.meters.values()
        meter = next(one for one in meters if one.event_name == "zemfyre_mqtt_traffic")
        meter.deactivated_at = self.world.clock.now()
        self.use()
        self.schedules(self.world.now + HOUR)
        meter.deactivated_at = None
