"""Each money fault is found when what mends it is taken out, as the protocol's six faults are."""

import pytest

from metering.core.catalog import builtin_catalog
from stripe_simulator.serving.account import StripeAccount
from tests.stripe.planted import Planted, found_by_night, found_by_the_equation, other_totals, run, used
from tests.stripe.planted_changes import OUTSIDE, PAST
from tests.stripe.planted_invoices import LEAVING, OURS
from tests.stripe.world import World


@pytest.mark.parametrize("fault", [*OURS, *LEAVING, *OUTSIDE, *PAST], ids=lambda fault: fault.name)
def test_a_planted_money_fault_is_found(
    account: StripeAccount, fault: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The equation holds in the life without the fault; with it the equation or the night names it."""
    mended = World(account=account)
    fault.live(mended)
    assert set() == found_by_the_equation(mended)
    named = found_by_night(mended)

    fault.plant(monkeypatch)
    planted = World(account=account)
    fault.live(planted)
    assert found_by_the_equation(planted) or found_by_night(planted) - named


def test_a_catalogue_in_yen_is_found_by_its_total() -> None:
    """Were it not refused when it is loaded, 2,900 yen would be asked as 290,000: the totals are others."""
    catalog = builtin_catalog().model_copy(update={"currency": "jpy"})
    world = run(used(World(catalog=catalog), 30), 36)
    assert other_totals(world)
