"""What every day brings a customer: usage, schedules, faults, crashes, and an operator at work."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import stripe

from metering.aws.observability import metrics
from metering.core.catalog import Override
from metering.core.instants import HOUR, hour_of
from metering.core.settlements import SettleKind
from ops.adjust import Wanted, adjust
from ops.attach import attach
from ops.errors import OperatorError
from ops.late_usage import Billing
from ops.set_plan import planned, set_plan
from ops.settle import Decision, settle
from ops.subscriptions import SubscriptionRequest
from stripe_report.messages import Reconcile
from stripe_simulator.engine.billed import Invoice
from testing.steps import CrashError
from tests.stripe import equation
from tests.stripe.transport import fault
from tests.stripe.world import CUSTOMER, DAY, World

MIB = 2**20
MINUTE = timedelta(minutes=1)
EVERYTHING = 10**6
WHO = "arn:aws:iam::123456789012:user/ada"
METERS = ("mqtt_traffic", "http_traffic", "api_calls", "storage", "devices")
SPANS = (7 * MINUTE, HOUR, 5 * HOUR, 26 * HOUR, 9 * DAY, 20 * DAY, 40 * DAY)
MOST_SPAN = 130 * DAY
MOST_ROUNDS = 600


class Days:
    """A customer's days; the same seed takes the same ones."""

    def __init__(self, seed: int, world: World) -> None:
        assert world.account is not None
        self.random = random.Random(seed)
        self.world = world
        self.stripe_account = world.account
        self.told: list[str] = []
        """What happened, for people who look at a seed."""
        self.counted: Counter[str] = Counter()
        """Operational events, each of which has an alarm."""
        world.account.change_settings(
            {
                "grace_s": self.random.choice([1, 12, 72]) * 3600,
                "cancellation_invoice": self.random.choice(["grace", "at_once", "never"]),
                "anchor_reset_invoice": self.random.choice(["grace", "at_once", "never"]),
                "late_after_price_change": self.random.choice(["old_price", "new_price", "unbilled"]),
                "draft_usage": self.random.choice(["at_finalisation", "at_each_read"]),
                "paused_invoice": self.random.choice(["at_once", "grace"]),
                "after_retries": self.random.choice(["past_due", "unpaid", "canceled"]),
                "retries_s": 2 * 86400,
            }
        )

    def everyday(self) -> list[tuple[Callable[[], object], int]]:
        return [
            (self.wait, 8),
            (self.use, 3),
            (self.dispatch, 4),
            (self.night, 2),
            (self.hear, 2),
            (self.bill_late, 1),
            (self.settle_periods, 1),
            (self.adjust, 1),
        ]

    # ------------------------------------------------------------------ every day

    def use(self) -> None:
        """Report an hour, of now or of days ago, or report it anew."""
        world = self.world
        back = self.random.choice([0, 0, 1, 2, 30, 24 * 9, 24 * 33, 24 * 45]) * HOUR
        hour = max(hour_of(world.now) - back, world.start - HOUR)
        counters = {
            "mqtt_bytes_sent": self.random.randrange(12 * 1024) * MIB,
            "mqtt_bytes_received": self.random.randrange(1024) * MIB,
            "http_bytes_sent": self.random.choice([0, self.random.randrange(12 * 1024) * MIB]),
            "http_requests": self.random.choice([0, self.random.randrange(120_000)]),
        }
        self.risk(
            lambda: world.use(
                hour,
                counters,
                devices=self.random.choice([None, 0, 40, 9_000]),
                storage=self.random.choice([None, 5000 * 1024 * MIB]),
                instance=self.random.choice(["i0", "i1"]),
                final=self.random.random() < 0.3,
            )
        )
        # An agent delivers again what got no answer, and each delivery marks the hour.
        world.markers.touch_dirty(CUSTOMER, hour)
        self.recompute()

    def recompute(self) -> None:
        for marker in list(self.world.markers.dirty_of(CUSTOMER)):
            self.world.recompute(marker.hour)

    def dispatch(self) -> None:
        for _ in range(self.random.choice([0, 0, 1])):
            kind = self.random.choice(["500", "500_after", "429", "hang_after", "drop_before", "drop_after"])
            self.world.wire.faults.add(
                fault(kind, skip=self.random.randrange(3), times=self.random.choice([1, 3, 9]))
            )
        self.risk(self.world.dispatch)
        if self.random.random() < 0.8:
            self.world.wire.faults.clear()

    def wait(self) -> None:
        """Let time pass, with the schedules running or not."""
        span = self.random.choice(SPANS)
        if self.random.random() < 0.6:
            self.schedules(self.world.now + span)
        else:
            self.world.at(self.world.now + span)

    def night(self) -> None:
        self.risk(lambda: self.world.writer.work(Reconcile(customer_id=CUSTOMER), self.world.now))

    def hear(self) -> None:
        """Hear some of Stripe's events, in any order."""
        events = self.world.events()
        some = self.random.sample(events, self.random.randrange(min(4, len(events)) + 1))
        try:
            self.risk(lambda: self.world.hear(*some))
        except stripe.StripeError as away:
            # EventBridge delivers it again some time, or never.
            self.told.append(f"  not heard: {away}")

    def schedules(self, until: datetime, stride: timedelta | None = None) -> None:
        """Run the schedules up to an instant, as often as it pleases them."""
        world, stride = self.world, stride or self.random.choice([3 * HOUR, 12 * HOUR, DAY, 2 * DAY])
        for _ in range(MOST_ROUNDS):
            world.dispatch()
            world.close()
            if self.random.random() < 0.1:
                world.writer.work(Reconcile(customer_id=CUSTOMER), world.now)
            self.gather()
            if world.now >= until:
                return
            looks = [entry.at for entry in world.tables.closings.due(until)]
            world.at(min(max([min(looks, default=until), world.now + stride]), until))
        raise AssertionError("the schedules never came to an end")

    # ------------------------------------------------------------------ the operator

    def bill_late(self) -> None:
        """Bill what is late, sometimes with credits."""
        world = self.world
        limit = self.random.choice([None, Decimal(EVERYTHING)])
        billing = Billing(world.tables, world.catalog, world.now, world.stripe, limit)
        account = equation.account_of(world)
        if account.customer.stripe_customer_id is not None:
            self.command(lambda: list(billing.bill(account, billing.late(account))))

    def settle_periods(self) -> None:
        """Settle a period, if that is not refused."""
        kind = self.random.choice(list(SettleKind))
        for period in equation.account_of(self.world).periods:
            self.settle_one(period.start, kind)

    def settle_one(self, start: datetime, kind: SettleKind) -> bool:
        world = self.world

        def run() -> object:
            account = equation.account_of(world)
            [billing] = [period for period in account.periods if period.start == start]
            decision = Decision(kind, "a history", WHO, world.now)
            return settle(world.stripe, account, billing, decision, world.tables, world.catalog)

        return self.command(run)

    def adjust(self) -> None:
        world = self.world
        account = equation.account_of(world)
        billing = self.random.choice(account.periods)
        hours = list(billing.span.hours())
        first, last = sorted((self.random.choice(hours), self.random.choice(hours)))
        quantity = Decimal(self.random.choice([-1, 1]) * self.random.randrange(1, 20_000)) / 1000
        wanted = Wanted(
            meter=self.random.choice(METERS),
            quantity=quantity,
            hours=self.random.choice([None, (first, last)]),
            reason="a history",
            who=WHO,
            at=world.now,
        )
        self.command(lambda: adjust(equation.account_of(world), billing, wanted, world.tables, world.catalog))

    def come_back(self, **asked: Any) -> bool:
        """Attach the customer to a subscription anew."""
        world = self.world
        request = SubscriptionRequest(**asked)
        return self.command(
            lambda: attach(
                world.stripe, equation.account_of(world), request, world.tables, world.catalog, world.now
            )
        )

    def set_plan(self, plan: str) -> bool:
        world = self.world

        def run() -> object:
            account = equation.account_of(world)
            wanted = planned(account, plan, Override(), world.catalog, world.now)
            return set_plan(world.stripe, account, wanted, world.tables, world.catalog, world.now)

        return self.command(run)

    def command(self, run: Callable[[], object]) -> bool:
        """Run a command as the operator does: again after it died; tell whether it was not refused."""
        for attempt in range(3):
            if attempt < 2 and self.random.random() < 0.15:
                self.world.steps.die_at(self.random.randrange(1, 12), after=self.random.random() < 0.5)
            try:
                run()
            except CrashError:
                continue
            except OperatorError as refusal:
                self.told.append(f"  refused: {refusal}")
                return False
            except stripe.InvalidRequestError as refusal:
                if "does not imitate" not in str(refusal):
                    raise
                return False
            except (stripe.RateLimitError, stripe.APIConnectionError, stripe.APIError) as away:
                self.told.append(f"  Stripe is away: {away}")
                return False
            finally:
                self.world.steps.live_on()
            return True
        raise AssertionError("a command that nothing disturbs dies")

    # ------------------------------------------------------------------ at Stripe

    def subscription(self) -> str | None:
        """Return the customer's subscription, if it lives."""
        name = equation.account_of(self.world).customer.stripe_subscription_id
        found = self.stripe_account.state.subscriptions.get(name or "")
        return found.id if found is not None and found.living else None

    def stripe_customer(self) -> str:
        return str(equation.account_of(self.world).customer.stripe_customer_id)

    def made_at_stripe(self, **more: Any) -> str | None:
        """Make a subscription with the customer's prices, as someone does in the dashboard."""
        world, profile = self.world, equation.account_of(self.world).customer
        terms = world.catalog.terms(profile.plan, profile.override)
        if profile.override != Override():
            return None
        keys = [f"{profile.plan}.base_fee", *(f"{profile.plan}.{meter}" for meter in terms.meters)]
        with self.undisturbed():
            prices = world.stripe.v1.prices.list({"lookup_keys": keys, "limit": 100}).data
        wanted: Any = {
            "customer": profile.stripe_customer_id,
            "items": [{"price": price.id} for price in prices],
            "collection_method": "send_invoice",
            "days_until_due": 30,
            "billing_mode": {"type": "flexible"},
            **more,
        }
        try:
            with self.undisturbed():
                return world.stripe.v1.subscriptions.create(wanted).id
        except stripe.InvalidRequestError:
            return None

    def invoices(self, *statuses: str) -> list[Invoice]:
        return equation.our_invoices(self.world, statuses)

    def update(self, **changes: Any) -> None:
        self.change(lambda name: self.world.stripe.v1.subscriptions.update(name, cast("Any", changes)))

    def change(self, act: Callable[[str], object]) -> None:
        if (name := self.subscription()) is not None:
            self.at_stripe(lambda: act(name))

    def at_stripe(self, act: Callable[[], object]) -> None:
        """Do something that Stripe may refuse."""
        kept = self.world.wire.faults
        try:
            with self.undisturbed():
                act()
        except stripe.InvalidRequestError as refusal:
            self.told.append(f"  Stripe refuses: {refusal.user_message}")
        assert kept is self.world.wire.faults

    def undisturbed(self) -> Any:
        """Other people's calls meet no fault: faults to come are for ours."""
        return _WithoutFaults(self.world)

    def risk(self, act: Callable[[], object]) -> None:
        """Do something, and die on the way with a chance of one in five."""
        self.world.steps.risk(self.random, 0.2, act)

    def gather(self) -> None:
        for name, told in metrics.metric_set.items():
            self.counted[name] += int(sum(told["Value"]))
        metrics.clear_metrics()

    def tell(self, step: Callable[[], object]) -> None:
        self.told.append(f"{self.world.now:%m-%d %H:%M} {getattr(step, '__name__', step)}")


class _WithoutFaults:
    """While it lasts the wire has no faults."""

    def __init__(self, world: World) -> None:
        self._wire: Any = world.wire

    def __enter__(self) -> None:
        self._kept = self._wire.faults
        self._wire.faults = type(self._kept)()

    def __exit__(self, *_: object) -> None:
        self._wire.faults = self._kept
