"""Subscription schedules: POST and GET /v1/subscription_schedules."""

import copy
from collections.abc import Iterator
from itertools import pairwise

from stripe_simulator.engine import lookup, schedules
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.item_changes import add_item
from stripe_simulator.engine.periods import Cycle
from stripe_simulator.engine.schedules import CLOSED
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.engine.subscribed import Phase, PhaseItem, Schedule, Subscription
from stripe_simulator.protocol.errors import StripeRefusalError, not_imitated
from stripe_simulator.protocol.pagination import page, within
from stripe_simulator.protocol.parameters import (
    EPOCH,
    EXPAND,
    PAGING,
    SPAN,
    Flag,
    Metadata,
    OneOf,
    Parameters,
    Record,
    Records,
    Text,
    Whole,
    merged_metadata,
)
from stripe_simulator.resources.endpoint import Endpoint
from stripe_simulator.resources.schedule_json import rendered
from stripe_simulator.resources.subscriptions import cancel

_PRORATION = OneOf(("always_invoice", "create_prorations", "none"))
_PHASE_ITEM = Record(
    {"price": Text(), "quantity": Whole(least=0), "metadata": Metadata()}, required=("price",)
)
_PHASE = Record(
    {
        "duration": Record(
            {"interval": OneOf(("day", "month", "week", "year")), "interval_count": Whole(least=1)},
            required=("interval",),
        ),
        "end_date": EPOCH,
        "items": Records(_PHASE_ITEM, most=20),
        "metadata": Metadata(),
        "proration_behavior": _PRORATION,
        "start_date": EPOCH,
    },
    required=("items",),
)


def _find_active(state: State, identity: str) -> Schedule:
    schedule = lookup.schedule(state, identity)
    if schedule.status in CLOSED:
        raise StripeRefusalError(
            f"You cannot change a subscription schedule that is {schedule.status}.", param="id"
        )
    return schedule


def _create(state: State, asked: Asked) -> Json:
    """A schedule from a subscription: one phase, the present period, with the subscription's items."""
    wanted = asked.parameters
    subscription = lookup.subscription(state, wanted["from_subscription"], "from_subscription")
    if not subscription.living:
        raise StripeRefusalError(
            "You cannot migrate a subscription that is canceled.", param="from_subscription"
        )
    if subscription.schedule is not None:
        raise StripeRefusalError(
            "You cannot migrate a subscription that is already attached to a schedule: "
            f"`{subscription.schedule}`.",
            param="from_subscription",
        )
    if subscription.cancel_at_period_end or subscription.cancel_at is not None:
        raise not_imitated("a schedule of a subscription that is being canceled", "from_subscription")
    items = tuple(PhaseItem(item.price, item.quantity) for item in subscription.items)
    schedule = Schedule(
        id=state.new_id("sub_sched"),
        customer=subscription.customer,
        subscription=subscription.id,
        created=asked.now,
        phases=(Phase(subscription.period_start, subscription.period_end, items, "create_prorations"),),
    )
    state.schedules[schedule.id] = schedule
    subscription.schedule = schedule.id
    schedules.await_end(state, schedule)
    record(state, "subscription_schedule.created", schedule, asked.now, asked)
    return rendered(state, schedule, asked.now)


def _update(state: State, asked: Asked) -> Json:
    schedule, wanted = _find_active(state, asked.id), asked.parameters
    if "phases" in wanted:
        schedule.phases = _phases(state, schedule, wanted["phases"], asked.now)
        schedules.await_end(state, schedule)
    if "metadata" in wanted:
        schedule.metadata = merged_metadata(schedule.metadata, wanted["metadata"])
    record(state, "subscription_schedule.updated", schedule, asked.now, asked)
    return rendered(state, schedule, asked.now)


def _phases(state: State, schedule: Schedule, given: list[Parameters], now: int) -> tuple[Phase, ...]:
    """The new phases; the first must be the current one, unchanged but for its end."""
    if not given:
        raise StripeRefusalError("A schedule must have at least one phase.", param="phases")
    current = schedules.phase_at(schedule, now)
    assert current is not None
    if given[0].get("start_date") != current.start:
        raise StripeRefusalError(
            "You can not modify the start date of the current phase.", param="phases[0][start_date]"
        )
    subscription = state.subscriptions[schedule.subscription]
    phases = tuple(_read_phases(state, subscription, current.start, given))
    if set(phases[0].items) != set(current.items):
        raise not_imitated("changing the items of the current phase", "phases[0][items]")
    if phases[0].end <= now:
        raise StripeRefusalError("The current phase must end in the future.", param="phases[0][end_date]")
    for place, (before, after) in enumerate(pairwise(phases), start=1):
        if set(before.items) == set(after.items):
            continue
        if subscription.cycle.period_from(after.start)[0] != after.start:
            raise not_imitated(
                "a phase that changes prices in the middle of a period", f"phases[{place}][start_date]"
            )
        if after.proration_behavior != "none":
            raise not_imitated("prorations; pass none", f"phases[{place}][proration_behavior]")
    return phases


def _read_phases(
    state: State, subscription: Subscription, start: int, given: list[Parameters]
) -> Iterator[Phase]:
    for place, one in enumerate(given):
        if one.get("start_date", start) != start:
            raise StripeRefusalError(
                "A phase must start where the one before it ends.", param=f"phases[{place}][start_date]"
            )
        end = _end(one, start, f"phases[{place}]")
        yield Phase(
            start=start,
            end=end,
            items=tuple(_items(state, subscription, one["items"], f"phases[{place}]")),
            proration_behavior=one.get("proration_behavior", "create_prorations"),
            metadata=merged_metadata({}, one.get("metadata", {})),
        )
        start = end


def _end(given: Parameters, start: int, param: str) -> int:
    if ("end_date" in given) == ("duration" in given):
        raise not_imitated(
            "a phase without, or with both of, `end_date` and `duration`", f"{param}[end_date]"
        )
    if "duration" in given:
        duration = given["duration"]
        return Cycle(start, duration["interval"], duration.get("interval_count", 1)).boundary(1)
    end: int = given["end_date"]
    if end <= start:
        raise StripeRefusalError("A phase must end after it starts.", param=f"{param}[end_date]")
    return end


def _items(
    state: State, subscription: Subscription, given: list[Parameters], param: str
) -> Iterator[PhaseItem]:
    """The items of a phase, each refused where a subscription would refuse it."""
    if not given:
        raise StripeRefusalError("A phase must have at least one item.", param=f"{param}[items]")
    tried = copy.deepcopy(subscription)
    tried.items = []
    for place, one in enumerate(given):
        add_item(state, tried, one, 0, 0, f"{param}[items][{place}]")
        recurring = lookup.price(state, one["price"]).recurring
        metered = recurring is not None and recurring.metered
        yield PhaseItem(one["price"], None if metered else one.get("quantity", 1))


def _release(state: State, asked: Asked) -> Json:
    schedule = _find_active(state, asked.id)
    schedules.end(state, state.subscriptions[schedule.subscription], "released", asked.now, asked)
    return rendered(state, schedule, asked.now)


def _cancel(state: State, asked: Asked) -> Json:
    """End the subscription at once; here, and not on a subscription's own end, an invoice is the default."""
    schedule = _find_active(state, asked.id)
    cancel(
        state,
        state.subscriptions[schedule.subscription],
        asked,
        invoices=asked.parameters.get("invoice_now", True),
        prorates=asked.parameters.get("prorate", True),
    )
    return rendered(state, schedule, asked.now)


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(state, lookup.schedule(state, asked.id), asked.now)


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    found = [
        rendered(state, schedule, asked.now)
        for schedule in reversed(state.schedules.values())
        if wanted.get("customer", schedule.customer) == schedule.customer
        and within(schedule.created, wanted.get("created", {}))
    ]
    return page(found, wanted, "/v1/subscription_schedules")


_NEW = Record({**EXPAND, "from_subscription": Text()}, required=("from_subscription",))
_CHANGED = Record(
    {
        **EXPAND,
        "end_behavior": OneOf(("release",)),
        "metadata": Metadata(),
        "phases": Records(_PHASE, most=10),
        "proration_behavior": _PRORATION,
    }
)
_PATH = "/v1/subscription_schedules"
ENDPOINTS = (
    Endpoint("POST", _PATH, _NEW, _create),
    Endpoint("GET", _PATH, Record({**PAGING, "created": SPAN, "customer": Text()}), _list),
    Endpoint("GET", f"{_PATH}/{{id}}", Record(EXPAND), _retrieve),
    Endpoint("POST", f"{_PATH}/{{id}}", _CHANGED, _update),
    Endpoint(
        "POST",
        f"{_PATH}/{{id}}/cancel",
        Record({**EXPAND, "invoice_now": Flag(), "prorate": Flag()}),
        _cancel,
    ),
    Endpoint(
        "POST",
        f"{_PATH}/{{id}}/release",
        Record({**EXPAND, "preserve_cancel_date": Flag()}),
        _release,
    ),
)
