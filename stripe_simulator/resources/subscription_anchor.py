"""Where a new subscription starts, and where its billing cycle is anchored."""

from stripe_simulator.engine.periods import Cycle, configured_anchor
from stripe_simulator.engine.subscribed import Subscription
from stripe_simulator.protocol.errors import StripeRefusalError, not_imitated
from stripe_simulator.protocol.parameters import Parameters


def start_of(wanted: Parameters, now: int) -> int:
    """When a new subscription starts to bill: now, or in the past when backdated (epoch seconds)."""
    start: int = wanted.get("backdate_start_date", now)
    if start > now:
        raise StripeRefusalError("backdate_start_date must be in the past.", param="backdate_start_date")
    anchored = "billing_cycle_anchor" in wanted or "billing_cycle_anchor_config" in wanted
    if "backdate_start_date" in wanted and not anchored:
        raise not_imitated("backdate_start_date without a billing cycle anchor", "backdate_start_date")
    return start


def set_cycle(subscription: Subscription, wanted: Parameters, now: int) -> None:
    """Anchor a new subscription's cycle as the call says, and set where its first period ends."""
    cycle, config = subscription.cycle, wanted.get("billing_cycle_anchor_config")
    if "billing_cycle_anchor" in wanted and config is not None:
        raise StripeRefusalError(
            "You may only specify one of these parameters: billing_cycle_anchor, "
            "billing_cycle_anchor_config.",
            param="billing_cycle_anchor_config",
        )
    if config is not None:
        if cycle.interval != "month":
            raise not_imitated(
                "billing_cycle_anchor_config without monthly prices", "billing_cycle_anchor_config"
            )
        parts = {name: config.get(name) for name in ("hour", "minute", "second")}
        anchor = configured_anchor(now, config["day_of_month"], **parts)
        subscription.anchor_config = {"day_of_month": config["day_of_month"], "month": None, **parts}
        cycle = Cycle(anchor, cycle.interval, cycle.count, config["day_of_month"])
    elif "billing_cycle_anchor" in wanted:
        anchor = wanted["billing_cycle_anchor"]
        if anchor < now:
            raise StripeRefusalError(
                "billing_cycle_anchor must be a timestamp in the future.", param="billing_cycle_anchor"
            )
        if anchor > Cycle(now, cycle.interval, cycle.count).boundary(1):
            raise StripeRefusalError(
                "billing_cycle_anchor cannot be later than next natural billing date.",
                param="billing_cycle_anchor",
            )
        cycle = Cycle(anchor, cycle.interval, cycle.count)
    subscription.cycle = cycle
    subscription.period_end = cycle.anchor if cycle.anchor > subscription.start else cycle.boundary(1)
