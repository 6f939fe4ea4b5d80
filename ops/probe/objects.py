"""Checks of keys, idempotency, meters and prices."""

from typing import Any

import stripe

from ops.probe.check import Check, Finding, held, refusal, refused
from ops.probe.sandbox import Sandbox


def _livemode(sandbox: Sandbox) -> Finding:
    customer = sandbox.client.v1.customers.retrieve(sandbox.customer)
    return held(customer.livemode is False, f"livemode {customer.livemode}")


def _replayed(sandbox: Sandbox) -> Finding:
    options: Any = {"idempotency_key": f"{sandbox.name}-same"}
    params: Any = {"product": sandbox.product, "currency": "usd", "unit_amount": 1}
    first = sandbox.client.v1.prices.create(params, options)
    second = sandbox.client.v1.prices.create(params, options)
    return held(first.id == second.id, f"{first.id}, {second.id}")


def _mismatched(sandbox: Sandbox) -> Finding:
    options: Any = {"idempotency_key": f"{sandbox.name}-other"}
    params: Any = {"product": sandbox.product, "currency": "usd", "unit_amount": 1}
    sandbox.client.v1.prices.create(params, options)
    error = refusal(lambda: sandbox.client.v1.prices.create(params | {"unit_amount": 2}, options))
    return held(isinstance(error, stripe.IdempotencyError), f"{type(error).__name__}: {error}")


def _refused_not_kept(sandbox: Sandbox) -> Finding:
    options: Any = {"idempotency_key": f"{sandbox.name}-refused"}
    good: Any = {"product": sandbox.product, "currency": "usd", "unit_amount": 1}
    bad = refusal(lambda: sandbox.client.v1.prices.create(good | {"zemfyre": "1"}, options))
    after = refusal(lambda: sandbox.client.v1.prices.create(good, options))
    return held(bad is not None and after is None, f"{bad}; then {after or 200}")


def _one_meter_a_name(sandbox: Sandbox) -> Finding:
    params: Any = {
        "display_name": sandbox.name,
        "event_name": sandbox.name,
        "default_aggregation": {"formula": "sum"},
    }
    return refused(lambda: sandbox.client.v1.billing.meters.create(params))


def _meter_fixed(sandbox: Sandbox) -> Finding:
    params: Any = {"event_time_window": "day"}
    return refused(lambda: sandbox.client.v1.billing.meters.update(sandbox.meter, params))


def _tiers_expanded(sandbox: Sandbox) -> Finding:
    plain: Any = sandbox.client.v1.prices.retrieve(sandbox.metered_price)
    shown = sandbox.client.v1.prices.retrieve(sandbox.metered_price, {"expand": ["tiers"]})
    return held(
        "tiers" not in plain and bool(shown.tiers),
        f"{'tiers' in plain} without expand, {len(shown.tiers or ())} tiers with",
    )


def _no_tiers(sandbox: Sandbox) -> Finding:
    plain = sandbox.client.v1.prices.retrieve(sandbox.fee_price, {"expand": ["tiers"]})
    return held("tiers" not in plain, f"{'tiers' in plain} with expand")


def _tier_without_amount(sandbox: Sandbox) -> Finding:
    params = sandbox.metered(tiers=[{"up_to": 2}, {"up_to": "inf", "unit_amount": 10}])
    return refused(lambda: sandbox.client.v1.prices.create(params))


def _transformed_tiers(sandbox: Sandbox) -> Finding:
    params = sandbox.metered(transform_quantity={"divide_by": 10, "round": "up"})
    return refused(lambda: sandbox.client.v1.prices.create(params))


def _metered_without_meter(sandbox: Sandbox) -> Finding:
    params = sandbox.metered(recurring={"interval": "month", "usage_type": "metered"})
    return refused(lambda: sandbox.client.v1.prices.create(params))


def _one_price_a_lookup_key(sandbox: Sandbox) -> Finding:
    sandbox.client.v1.prices.create(sandbox.fee(lookup_key=sandbox.name))
    return refused(lambda: sandbox.client.v1.prices.create(sandbox.fee(lookup_key=sandbox.name)))


def _found_by_lookup_key(sandbox: Sandbox) -> Finding:
    key = f"{sandbox.name}-found"
    made = sandbox.client.v1.prices.create(sandbox.fee(lookup_key=key))
    found = sandbox.client.v1.prices.list({"lookup_keys": [key]}).data
    return held([made.id] == [price.id for price in found], f"{len(found)} found")


CHECKS = (
    Check("a test-mode key sees livemode false", _livemode),
    Check("under the same Idempotency-Key the first answer is replayed", _replayed),
    Check("an Idempotency-Key with other parameters is refused", _mismatched),
    Check("a refused parameter is not kept under the Idempotency-Key", _refused_not_kept),
    Check("an event name has one active meter", _one_meter_a_name),
    Check("a meter's window never changes", _meter_fixed),
    Check("tiers are there only when expanded", _tiers_expanded),
    Check("a price of one amount has no tiers, not even expanded", _no_tiers),
    Check("a tier without an amount is refused", _tier_without_amount),
    Check("transform_quantity is refused with tiers", _transformed_tiers),
    Check("a metered price needs a meter", _metered_without_meter),
    Check("a lookup key is of one price", _one_price_a_lookup_key),
    Check("a price is found by its lookup key", _found_by_lookup_key),
)
