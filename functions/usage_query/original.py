"""The five figures that the original document names, as the catalogue's meters tell them.

The one place of this function where meters have names; everything else shows whatever the catalogue has. A
meter that the catalogue lacks shows as nothing used and without a limit. Source: docs/contract.md#the-api.
"""

from collections.abc import Mapping
from decimal import Decimal

from metering.core.answers import PlanLimits
from metering.core.catalog import Catalog, Terms, meter_base

DEVICES, MQTT, HTTP, STORAGE, CALLS = "devices", "mqtt_traffic", "http_traffic", "storage", "api_calls"


def figures(by_meter: Mapping[str, Decimal | None], catalog: Catalog) -> dict[str, Decimal | None]:
    """Return quantities by meter under the original's names, in its units: calls singly, not by thousands."""
    # Of each meter one version is shown, whichever it is.
    versions = {meter_base(name): name for name in by_meter}
    by_base = {base: by_meter[name] for base, name in versions.items()}
    calls = by_base.get(CALLS)
    return {
        "active_devices": by_base.get(DEVICES),
        "mqtt_gb": by_base.get(MQTT),
        "http_gb": by_base.get(HTTP),
        "storage_gb": by_base.get(STORAGE),
        "api_calls": None if calls is None else calls * catalog.meters[versions[CALLS]].unit_size,
    }


def known_figures(by_meter: Mapping[str, Decimal | None], catalog: Catalog) -> dict[str, Decimal]:
    """Return them with 0 where nothing is known."""
    return {name: value or Decimal(0) for name, value in figures(by_meter, catalog).items()}


def plan_limits(terms: Terms, catalog: Catalog) -> PlanLimits:
    """Return the plan's allowances under the original's names; None where there is no limit."""
    included = figures({name: price.included for name, price in terms.meters.items()}, catalog)
    return PlanLimits(
        max_devices=included["active_devices"],
        mqtt_gb=included["mqtt_gb"],
        http_gb=included["http_gb"],
        storage_gb=included["storage_gb"],
        api_calls=included["api_calls"],
    )
