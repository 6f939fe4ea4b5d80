"""Random histories of usage, corrections, faults and crashes, each to its final invoice.

Whatever happens on the way, the invoice must be the rating of the rolled-up usage to the cent, Stripe's hours
must be ours, and what comes after the invoice must be late usage.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from metering.core.instants import HOUR
from metering.core.rating import invoice_total, quantities, rate, tiered_amount
from metering.tables.ledger import SENT
from stripe_simulator.engine.objects import Meter
from tests.stripe.transport import fault
from tests.stripe.world import CUSTOMER, DAY, World, lines_of

MIB = 2**20
MINUTE = timedelta(minutes=1)
FAULTS = ("500", "500_after", "429", "hang", "hang_after", "drop_before", "drop_after", "processed_late")
LATEST_S = 2 * 3600
"""How late Stripe gets to an old request: before the last look at the period, so that it can be put right."""
QUIET_BEFORE_FINAL = timedelta(hours=4)


class History:
    """One random history; the same seed takes the same steps."""

    def __init__(self, seed: int, world: World) -> None:
        self.random = random.Random(seed)
        self.world = world
        grace = self.random.choice([6, 12, 24, 72]) * HOUR
        assert world.account is not None
        world.account.change_settings({"grace_s": int(grace.total_seconds())})
        self._ends = world.period().end + grace - QUIET_BEFORE_FINAL
        start, end = world.period().span.first_hour, world.period().span.end_hour
        somewhere = start + self.random.randrange(20 * 24) * HOUR
        self._hours = [start, start + HOUR, somewhere, somewhere + HOUR, somewhere + DAY, end - HOUR]

    def run(self) -> None:
        """Take the steps, let everything settle, and check what came of it."""
        steps: list[tuple[int, Callable[[], object]]] = [
            (6, self._use),
            (5, self._dispatch),
            (3, self._wait),
            (1, self._hear),
            (1, self._close),
            (1, self._archive_for_a_while),
        ]
        chosen = self.random.choices([step for _, step in steps], [weight for weight, _ in steps], k=12)
        for step in chosen:
            step()
        world = self.world
        world.settle()
        self._check()
        self._use_late()

    def _use(self) -> None:
        """Report an hour that has begun, or report it anew."""
        begun = [hour for hour in self._hours if hour <= self.world.now]
        hour = self.random.choice(begun)
        counters = {
            "mqtt_bytes_sent": self.random.randrange(12 * 1024) * MIB,
            "mqtt_bytes_received": self.random.randrange(1024) * MIB,
            "http_bytes_sent": self.random.choice([0, self.random.randrange(12 * 1024) * MIB]),
            "http_requests": self.random.choice([0, self.random.randrange(120_000)]),
        }
        self._risk(
            lambda: self.world.use(
                hour,
                counters,
                devices=self.random.choice([None, 0, 40, 9_000]),
                storage=self.random.choice([None, 5000 * 1024 * MIB]),
                instance=self.random.choice(["i0", "i1"]),
                final=self.random.random() < 0.3,
            )
        )
        # An agent delivers again what got no answer, and each delivery marks the hour.
        self.world.markers.touch_dirty(CUSTOMER, hour)
        for marker in list(self.world.markers.dirty_of(CUSTOMER)):
            self.world.recompute(marker.hour)

    def _dispatch(self) -> None:
        """Report to Stripe through a fault or two, and perhaps die on the way."""
        for _ in range(self.random.choice([0, 0, 1, 2])):
            kind = self.random.choice(FAULTS)
            late = {"after_s": self.random.randrange(1, LATEST_S)} if kind == "processed_late" else {}
            self.world.wire.faults.add(
                fault(kind, skip=self.random.randrange(3), times=self.random.choice([1, 3, 9]), **late)
            )
        include_open = self.random.random() < 0.2
        self._risk(lambda: self.world.dispatch(include_open=include_open))
        if self.random.random() < 0.5:
            self.world.wire.faults.clear()

    def _wait(self) -> None:
        span = self.random.choice([MINUTE * 7, HOUR, 5 * HOUR, 26 * HOUR, 9 * DAY, 20 * DAY])
        self.world.at(max(self.world.now, min(self.world.now + span, self._ends)))

    def _hear(self) -> None:
        """Hear some of Stripe's events, in any order."""
        events = self.world.events()
        some = self.random.sample(events, self.random.randrange(min(4, len(events)) + 1))
        self._risk(lambda: self.world.hear(*some))

    def _close(self) -> None:
        self._risk(self.world.close)

    def _archive_for_a_while(self) -> None:
        """Let Stripe refuse events after its answer."""
        meter = self._meter(self.random.choice(["mqtt_traffic", "api_calls"]))
        meter.deactivated_at = self.world.clock.now()
        self._dispatch()
        # What waits with its answer given is refused too, as long as the meter is archived.
        self.world.later(MINUTE)
        meter.deactivated_at = None
        if self.random.random() < 0.5:
            self._hear()

    def _risk(self, act: Callable[[], object]) -> None:
        """Do something, and die on the way with a chance of one in four."""
        self.world.steps.risk(self.random, 0.25, act)

    def _meter(self, name: str) -> Meter:
        account = self.world.account
        assert account is not None
        return next(m for m in account.state.meters.values() if m.event_name == f"zemfyre_{name}")

    def _check(self) -> None:
        world = self.world
        contributed = world.contributions()
        period = world.period()
        for meter, price in period.terms(world.catalog).meters.items():
            by_hour = {hour: value for hour, value in contributed[meter].items() if value}
            assert by_hour == {h: v for h, v in self._stripe_hours(meter).items() if v}, meter
            in_ledger = world.entries(meter)
            assert by_hour == {
                h: e.value for h, e in in_ledger.items() if e.value and period.span.has_hour(h)
            }
            assert {SENT} >= {e.state for h, e in in_ledger.items() if period.span.has_hour(h)}, meter
            if not price.unlimited:
                assert sum(by_hour.values(), Decimal(0)) == period.invoiced[meter], meter
        lines = rate(quantities(contributed), period.terms(world.catalog))
        invoice = world.final_invoice()
        billed = {line.meter: line.amount for line in lines_of(invoice, world.price_names())}
        assert {line.meter: line.amount for line in lines if line.meter in billed} == billed
        assert invoice_total(lines) == period.invoice_total == Decimal(invoice.total).scaleb(-2)
        assert [] == world.late(period)

    def _stripe_hours(self, meter: str) -> dict[datetime, Decimal]:
        world = self.world
        profile = world.customers.customer(CUSTOMER)
        assert profile is not None
        span = world.period().span
        return world.gateway.reader.hourly(
            meter, str(profile.stripe_customer_id), span.first_hour, span.end_hour
        )

    def _use_late(self) -> None:
        """A report after the invoice is late usage: not sent, and its price what the total has more."""
        world = self.world
        sent, before = world.events_sent(), quantities(world.contributions())
        self._hours = [self._hours[0]]
        self._use()
        world.dispatch()
        assert sent == world.events_sent()
        after = quantities(world.contributions())
        terms = world.period().terms(world.catalog)
        found = world.late(world.period())
        expected = {
            meter: (
                after[meter] - before[meter],
                tiered_amount(after[meter], price.tiers) - tiered_amount(before[meter], price.tiers),
            )
            for meter, price in terms.meters.items()
            if not price.unlimited and after[meter] != before[meter]
        }
        assert expected == {late.meter: (late.quantity, late.amount) for late in found}
