"""Plans, which a subscription's items still show beside their price: the same in older words."""

from stripe_simulator.engine.objects import Price
from stripe_simulator.engine.state import Json
from stripe_simulator.protocol.amounts import text, whole


def rendered(price: Price) -> Json:
    """A recurring price as Stripe shows it in a ``plan`` field."""
    recurring = price.recurring
    assert recurring is not None
    return {
        "id": price.id,
        "object": "plan",
        "active": price.active,
        "amount": whole(price.unit_amount),
        "amount_decimal": text(price.unit_amount),
        "billing_scheme": "tiered" if price.tiers else "per_unit",
        "created": price.created,
        "currency": price.currency,
        "interval": recurring.interval,
        "interval_count": recurring.interval_count,
        "livemode": False,
        "metadata": price.metadata,
        "meter": recurring.meter,
        "nickname": price.nickname,
        "product": price.product,
        "tiers_mode": "graduated" if price.tiers else None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "metered" if recurring.metered else "licensed",
    }
