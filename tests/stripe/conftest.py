"""Worlds: a customer with its tables, its Stripe account and a clock."""

import pytest

from metering.core.catalog import builtin_catalog, parse_override
from stripe_simulator.serving.account import StripeAccount
from tests.stripe.world import World, prepared_account


@pytest.fixture(scope="session")
def account() -> StripeAccount:
    """A Stripe account with the catalogue's objects, to be copied."""
    return prepared_account(builtin_catalog())


@pytest.fixture
def unlimited() -> World:
    """A customer on enterprise for $500.00, whose meters have no price."""
    return World(plan="enterprise@1", override=parse_override({"base_fee": "500"}))


@pytest.fixture
def world(account: StripeAccount) -> World:
    """A customer on starter with one instance, at the start of its first period."""
    return World(account=account)
