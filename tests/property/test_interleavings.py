"""Random histories under any interleaving, with kills at any step, end in the items of the serial run."""

from dataclasses import replace

import pytest
from hypothesis import given

from metering.core.basis import Basis
from metering.core.catalog import Catalog, builtin_catalog
from metering.core.contract import Report
from tests.property.billing_world import World
from tests.property.histories import History, histories

CATALOG = builtin_catalog()
PEAKS = CATALOG.model_copy(
    update={
        "meters": CATALOG.meters
        | {"devices": CATALOG.meters["devices"].model_copy(update={"basis": Basis.PEAK})}
    }
)


def serial(accepted: list[Report], catalog: Catalog) -> World:
    """One ingest, then one worker, over each accepted report once, in the order of revisions."""
    world = World(catalog, page=1000)
    world.deliver(sorted(accepted, key=lambda report: report.revision))
    world.settle()
    return world


def check(history: History, catalog: Catalog, page: int) -> None:
    """Play a history and compare its items with those of the serial run."""
    world = World(catalog, page=page)
    trace = world.play(history)
    assert serial(world.accepted, catalog).state() == world.state(), "\n".join(trace)


@pytest.mark.parametrize("page", [1, 1000], ids=["a page an item", "one page"])
@pytest.mark.parametrize("catalog", [CATALOG, PEAKS], ids=["builtin", "peak"])
@given(history=histories())
def test_any_interleaving_ends_in_the_items_of_the_serial_run(
    history: History, catalog: Catalog, page: int
) -> None:
    """Any order, repetition, interleaving, kill and retry of the same deliveries ends in the same bytes."""
    check(history, catalog, page)


@given(histories())
def test_the_order_in_which_others_move_is_all_that_chance_decides(history: History) -> None:
    """The same history with the same choices takes the same steps: a counterexample can be had again."""
    assert World(CATALOG).play(history) == World(CATALOG).play(history)


def told(report: Report) -> dict[str, tuple[int, ...]]:
    """Return what a report of a history tells of each metric; of a level, its integral and its maximum."""
    return {name: (amount,) for name, amount in report.counters.items()} | {
        name: (gauge.integral, gauge.max) for name, gauge in report.gauges.items()
    }


@given(histories())
def test_a_lowered_counter_is_always_named(history: History) -> None:
    """A higher revision that lowers an amount of its journal's hour names it, and no other ever does."""
    world = World(CATALOG)
    world.play(replace(history, choices=tuple(replace(c, dies=False) for c in history.choices)))
    expected = [
        tuple(
            name
            for name, amounts in sorted(told(old).items())
            if any(after < before for before, after in zip(amounts, told(new)[name], strict=True))
        )
        for old, new in world.replaced()
    ]
    assert sorted(filter(None, expected)) == sorted(filter(None, world.lowered))
