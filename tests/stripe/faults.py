"""Each fault of the wire and of Stripe, and how the hour is right again: ``docs/stripe-faults.md``.

``test_faults.py`` holds the page to what happens, and writes it anew when ``WRITE_FAULTS=1`` is set.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from metering.core.catalog import builtin_catalog
from metering.core.instants import HOUR
from metering.core.rating import invoice_total
from metering.tables.ledger import PENDING, SENT
from stripe_simulator.serving.account import StripeAccount
from testing.steps import CrashError
from tests.stripe.transport import METER_EVENTS, fault
from tests.stripe.world import CUSTOMER, DAY, GIB, START, World, prepared_account

PAGE = Path(__file__).resolve().parents[2] / "docs" / "stripe-faults.md"
METER = "mqtt_traffic"
MINUTE = timedelta(minutes=1)
MOST_RUNS = 20

type Step = tuple[str, int]

_PUT_PENDING: Step = ("put_item ledger", 1)
_CALL: Step = (METER_EVENTS, 1)
_PUT_SENT: Step = ("put_item ledger", 2)
"""Steps of a run: which call, and the how manieth of its kind."""

type Run = Callable[[World], None]


@dataclass(frozen=True)
class Case:
    """A fault: what happens during the run that reports 12 GB, and what happens until the next."""

    name: str
    report: Run
    meanwhile: Run
    found_by: str


@dataclass(frozen=True)
class Row:
    """What came of a case: three totals, the number the hour ended with, and the calls it took."""

    name: str
    after_the_fault: str
    found_by: str
    usage: Decimal
    ledger: Decimal
    at_stripe: Decimal
    number: int
    events: int
    counted: int
    invoice: Decimal
    estimate: Decimal

    @property
    def settled(self) -> bool:
        """Whether usage, ledger, Stripe and invoice agree, with one event counted for the hour."""
        agree = self.usage == self.ledger == self.at_stripe and self.invoice == self.estimate
        return agree and self.counted == 1


def _nothing(_: World) -> None:
    """Nothing special happens."""


def _a_day_later(world: World) -> None:
    world.later(25 * HOUR)


def _two_hours_later(world: World) -> None:
    world.later(2 * HOUR)


def _with(kind: str, **more: int) -> Run:
    def run(world: World) -> None:
        world.wire.faults.add(fault(kind, times=9 if kind in _NEVER_ANSWERED else 1, **more))
        world.dispatch()
        world.wire.faults.clear()

    return run


_NEVER_ANSWERED = frozenset({"hang", "hang_after", "drop_before", "drop_after"})
"""The SDK tries these again by itself, so that one would not be noticed."""


def _dies(step: Step, *, after: bool) -> Run:
    name, nth = step

    def run(world: World) -> None:
        world.steps.die_at(nth, name, after=after)
        try:
            world.dispatch()
        except CrashError:
            world.steps.live_on()
            return
        raise AssertionError(f"a run has no {name} number {nth}")

    return run


def _old_request(world: World) -> None:
    """The first request hangs at Stripe; the corrected value overtakes it."""
    world.use(START, {"mqtt_bytes_sent": 30 * GIB})
    world.wire.faults.add(fault("processed_late", after_s=3600))
    world.dispatch()
    world.use(START, {"mqtt_bytes_sent": 12 * GIB})
    world.dispatch()


def _a_b_a(world: World) -> None:
    for gigabytes in (12, 30, 12):
        world.use(START, {"mqtt_bytes_sent": gigabytes * GIB})
        _with("drop_after")(world)


def _archived(world: World) -> None:
    assert world.account is not None
    [meter] = [m for m in world.account.state.meters.values() if m.event_name == f"zemfyre_{METER}"]
    meter.deactivated_at = world.clock.now()
    world.dispatch()
    meter.deactivated_at = None


def _hear_everything(world: World) -> None:
    world.later(MINUTE).hear(*world.events())


def _lag(world: World) -> None:
    assert world.account is not None
    world.account.change_settings({"aggregation_delay_s": 8 * 60})
    world.dispatch()


def _reconcile_soon(world: World) -> None:
    world.later(5 * MINUTE).reconcile()


CASES = (
    Case("none", _with("drop_before", skip=99), _nothing, "-"),
    Case("500, nothing changed", _with("500"), _nothing, "the next run, same number"),
    Case("500 although the event counted", _with("500_after"), _nothing, "the next run, same number"),
    Case("429", _with("429"), _nothing, "the next run, same number"),
    Case("hangs, nothing changed", _with("hang"), _nothing, "the next run, same number"),
    Case("hangs, the event counted", _with("hang_after"), _nothing, "the next run: 400 already exists"),
    Case("dropped before the commit", _with("drop_before"), _nothing, "the next run, same number"),
    Case("dropped after the commit", _with("drop_after"), _nothing, "the next run: 400 already exists"),
    Case(
        "identifier forgotten after 24 h",
        _with("drop_after"),
        _a_day_later,
        "the next run: counted anew, the hour overwritten",
    ),
    Case("refused after a 200, reported", _archived, _hear_everything, "reconciliation, next number"),
    Case("refused after a 200, not reported", _archived, _nothing, "reconciliation, next number"),
    Case("summaries lag behind", _lag, _reconcile_soon, "waits, nothing sent again"),
    Case(
        "an old request processed late",
        _old_request,
        _two_hours_later,
        "reconciliation, next number",
    ),
    Case("A, B, A, every answer lost", _a_b_a, _nothing, "the next run: 400 already exists"),
    Case(
        "died before the ledger said pending",
        _dies(_PUT_PENDING, after=False),
        _nothing,
        "the next run, number 1",
    ),
    Case(
        "died when the ledger said pending",
        _dies(_PUT_PENDING, after=True),
        _nothing,
        "the next run, same number",
    ),
    Case("died before the call", _dies(_CALL, after=False), _nothing, "the next run, same number"),
    Case(
        "died with the answer unread", _dies(_CALL, after=True), _nothing, "the next run: 400 already exists"
    ),
    Case(
        "died before the answer was kept",
        _dies(_PUT_SENT, after=False),
        _nothing,
        "the next run: 400 already exists",
    ),
    Case("died when the answer was kept", _dies(_PUT_SENT, after=True), _nothing, "nothing to do"),
)


def run(case: Case, account: StripeAccount) -> Row:
    """Report 12 GB of an hour through a fault, let the schedules run, and close the period."""
    world = World(account=account)
    world.at(START + DAY).use(START, {"mqtt_bytes_sent": 12 * GIB})
    case.report(world)
    after = _described(world)
    case.meanwhile(world)
    world.settle()
    invoice = world.period().invoice_total
    assert invoice is not None
    return Row(
        case.name,
        after,
        case.found_by,
        world.usage_total(METER),
        world.ledger_total(METER),
        world.stripe_total(METER),
        world.entries(METER)[START].number,
        world.events_sent(),
        _counted_events(world),
        invoice,
        invoice_total(world.estimate()),
    )


def _described(world: World) -> str:
    entry = world.entries(METER).get(START)
    if entry is None:
        return "nothing"
    assert entry.state in {PENDING, SENT}
    at_stripe = world.stripe_total(METER)
    return f"{entry.state} {entry.number}, Stripe has {at_stripe.normalize():f}"


def _counted_events(world: World) -> int:
    """Count what Stripe's own summaries count for the hour: one window, however many were sent."""
    profile = world.customers.customer(CUSTOMER)
    assert profile is not None
    span = world.period().span
    return len(
        world.gateway.reader.hourly(METER, str(profile.stripe_customer_id), span.first_hour, span.end_hour)
    )


def page() -> str:
    """Return the page with the table of all cases."""
    account = prepared_account(builtin_catalog())
    rows = [run(case, account) for case in CASES]
    table = [
        f"| {' | '.join(_HEADINGS)} |",
        "|---" * len(_HEADINGS) + "|",
        *(
            f"| {row.name} | {row.after_the_fault} | {row.found_by} | {_short(row.usage)} | "
            f"{_short(row.ledger)} | {_short(row.at_stripe)} | {row.number} | {row.events} | "
            f"${row.invoice} | ${row.estimate} |"
            for row in rows
        ),
    ]
    return "\n".join([_INTRODUCTION, *table, "", _END]) + "\n"


def _short(value: Decimal) -> str:
    return f"{value.normalize():f}"


_HEADINGS = (
    *("fault", "right after it", "found by", "usage", "ledger", "Stripe", "number", "calls"),
    *("invoice", "estimate"),
)
_INTRODUCTION = """# Faults between us and Stripe, and what becomes of them

One hour of 12 GB MQTT traffic on starter (10 GB included, $0.10 a GB beyond, $29.00 a month) is reported
through each fault; then the schedules run as always until the period's invoice is final.
`tests/stripe/faults.py` makes this table through Stripe's SDK against the simulator, and
`tests/stripe/test_faults.py` fails when it changes. *Number* is the one that the hour ended with, *calls* are
all meter events posted, repetitions by the SDK included.
"""
_END = """In every row Stripe counts one event for the hour, and usage = ledger = Stripe = invoice. Two events
of one hour can never add up, because Stripe's meters are pre-aggregated by the hour: the newest overwrites.
`tests/stripe/histories.py` mixes all of this at random; `make test-stripe` runs ten thousand histories."""
