"""Random histories under any interleaving, with kills at any step, end in the items of the serial run."""

from hypothesis import given

from metering.catalog import Basis, Catalog, builtin_catalog
from metering.contract import Report
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


@given(histories())
def test_any_interleaving_ends_in_the_items_of_the_serial_run(history: History) -> None:
    """Any order, repetition, interleaving and loss-then-retry ends in the same items, byte for byte."""
    world = World(CATALOG)
    trace = world.play(history)
    assert serial(world.accepted, CATALOG).state() == world.state(), "\n".join(trace)
