"""Random lives of a customer at Stripe: everything that people may do to a subscription and its invoices.

Whatever happens, each unit that was used is billed, covered, said to be unbilled, or not sold
(`tests.stripe.equation`). The same seed takes the same steps.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

from metering.aws.observability import metrics
from metering.core.accounts import Status
from metering.core.settlements import SettleKind
from ops.customers import set_status
from ops.late_usage import Billing
from tests.stripe import equation
from tests.stripe.days import EVERYTHING
from tests.stripe.outside import Outside
from tests.stripe.world import DAY

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_SPAN = 130 * DAY


class Life(Outside):
    """One random life; the same seed takes the same steps."""

    def run(self) -> None:
        """Take the steps, let everything end, check what came of it; bill what is left, and check again."""
        metrics.clear_metrics()
        outside = self.random.sample(self.outside(), self.random.choice([1, 2, 3, 5]))
        chosen: list[Callable[[], object]] = [*outside]
        chosen += self.random.choices(*zip(*self.everyday(), strict=True), k=10)
        self.random.shuffle(chosen)
        for step in chosen:
            if self.world.now > self.world.start + MOST_SPAN:
                break
            self.tell(step)
            self.use()
            step()
            self.gather()
        self._end()
        self._check()
        self._bill_what_is_left()
        self._check()
        for _ in range(2):
            self.use()
        self.recompute()
        self.schedules(self.world.now + 2 * DAY)
        self._check()

    def _end(self) -> None:
        """Let faults end, and whatever lives; then let the schedules run until nothing can come any more."""
        world = self.world
        world.wire.faults.clear()
        self.recompute()
        customers = world.customers
        set_status(customers, equation.account_of(world).customer, Status.ACTIVE, dry_run=False)
        if self.random.random() < 0.5:
            self._cancel_at_period_end()
            self.schedules(world.now + 32 * DAY, DAY)
        self._cancel()
        self.tell(self._cancel)
        world.hear(*world.events()[-3:])
        self.night()
        last = max(period.end for period in equation.account_of(world).periods)
        self.schedules(max(world.now, last) + 9 * DAY, DAY / 2)
        self.tell(self._check)

    def _bill_what_is_left(self) -> None:
        """Bill or credit all that is late, and settle all that no invoice bills."""
        world = self.world
        billing = Billing(world.tables, world.catalog, world.now, world.stripe, Decimal(EVERYTHING))
        account = equation.account_of(world)
        gone = self.stripe_account.state.customers[self.stripe_customer()].deleted
        if not gone:
            self.command(lambda: list(billing.bill(account, billing.late(account))))
            assert [] == [one.usage for one in billing.late(account) if one.usage]
        for period in billing.unbilled(account):
            kind = SettleKind.WRITE_OFF if gone else self.random.choice(list(SettleKind))
            settled = self.settle_one(period.billing.start, kind)
            drafts = self.invoices("draft")
            assert settled or drafts, "a period without an invoice cannot be settled"
        self.gather()

    def _check(self) -> None:
        """Hold the customer's books against what Stripe's account says."""
        world = self.world
        found = equation.books(world)
        assert () == found.nowhere
        assert {} == found.awaited
        assert {} == found.differences(), found
        recorded = {meter: value for meter, value in equation.billed_by_records(world).items() if value}
        assert {meter: value for meter, value in found.billed.items() if value} == recorded
        assert [] == equation.billed_twice(world)
        assert [] == equation.made_twice(world)
        assert [] == equation.wrongly_priced(world)
        self._check_alarms()

    def _check_alarms(self) -> None:
        """What is unbilled was alarmed, each kind by its own name."""
        world = self.world
        unbilled = Billing(world.tables, world.catalog, world.now).unbilled(equation.account_of(world))
        if any(period.usage for period in unbilled):
            assert {"periods_unbilled", "invoices_void", "drafts_stuck"} & self.counted.keys()
        if any(equation.mispriced(world, one) for one in equation.account_of(world).periods):
            assert "invoices_mispriced" in self.counted
