"""Random histories end with the invoice that is the rating of the rolled-up usage, lives with the equation.

A history is one life that nobody disturbs, a life draws from all that people do at Stripe. ``make test`` runs
a few dozen, ``make test-stripe`` ten thousand of each (``HISTORIES`` in the environment). A failure names its
seed, and what happened; ``HISTORIES_FROM`` starts there.
"""

import os
from functools import cache

import pytest

from metering.core.catalog import Catalog, Override, Price, builtin_catalog
from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.account import StripeAccount
from stripe_simulator.serving.server import running_simulator
from tests.stripe.histories import History
from tests.stripe.http_world import HttpWorld
from tests.stripe.lives import Life
from tests.stripe.world import START, World, peak_catalog, prepared_account

FIRST = int(os.environ.get("HISTORIES_FROM", "0"))
COUNT = int(os.environ.get("HISTORIES", "36"))
LIVES = int(os.environ.get("HISTORIES", "16"))
CHUNK = 12
FEW = 4
OVER_HTTP = max(3, COUNT // 200)
CUSTOM = Override.model_validate(
    {
        "base_fee": "499.00",
        "meters": {"mqtt_traffic": Price.model_validate({"included": "3", "overage": "0.07"})},
    }
)
TERMS = [("starter@1", Override()), ("professional@1", Override()), ("enterprise@1", CUSTOM)]
CATALOGS = [builtin_catalog, peak_catalog]


@cache
def _account(peak: int) -> StripeAccount:
    return prepared_account(CATALOGS[peak]())


def _variant(seed: int) -> tuple[Catalog, str, Override]:
    return CATALOGS[seed % 2](), *TERMS[seed // 2 % 3]


@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, CHUNK))
def test_a_random_history_ends_with_the_right_invoice(first: int) -> None:
    """Every seed's history ends with an invoice that is the rating of its rolled-up usage, to the cent."""
    for seed in range(first, first + CHUNK):
        catalog, plan, override = _variant(seed)
        world = World(catalog=catalog, plan=plan, override=override, instances=2, account=_account(seed % 2))
        try:
            History(seed, world).run()
        except Exception as error:
            error.add_note(f"seed {seed}, {plan}")
            raise


@pytest.mark.parametrize("first", range(FIRST, FIRST + LIVES, FEW))
def test_a_random_life_accounts_for_all_that_was_used(first: int) -> None:
    """Σ contributions + adjustments = billed + covered + unbilled + not sold in every life, to the billionth.

    And no time is billed twice, what Stripe's invoices say is what our records say is billed, and what was
    charged is the price of what was charged for.
    """
    for seed in range(first, first + FEW):
        catalog, plan, override = _variant(seed)
        world = World(catalog=catalog, plan=plan, override=override, instances=2, account=_account(seed % 2))
        life = Life(seed, world)
        try:
            life.run()
        except Exception as error:
            error.add_note("\n".join((f"seed {seed}, {plan}", *life.told)))
            raise


def test_a_random_history_over_http_ends_with_the_right_invoice() -> None:
    """At least three histories over real HTTP end with an invoice that is the rating of their usage."""
    with running_simulator(Clock(int(START.timestamp()))) as running:
        for seed in range(OVER_HTTP):
            catalog, plan, override = _variant(seed)
            world = HttpWorld(catalog=catalog, plan=plan, override=override, instances=2, running=running)
            try:
                History(seed, world).run()
            except Exception as error:
                error.add_note(f"seed {seed}, {plan}, over HTTP")
                raise
