"""Meters, plans and prices, read from ``catalog.toml`` and checked when loaded.

Source: docs/billing.md#meters and docs/billing.md#plans.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Container, Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from metering.core.basis import Basis
from metering.core.contract import field_errors
from metering.core.currencies import in_hundredths
from metering.core.exact import Exact
from metering.core.metrics import COUNTERS, GAUGES, REGISTRY, MetricKind


class CatalogError(ValueError):
    """A catalogue or a customer's override that must not be used; the text names each wrong entry."""


def _not_as_a_version_is_written(name: str) -> str:
    if _WRITTEN_VERSION.search(name):
        raise ValueError(f"{name!r} ends as the event name of a version does: `_v` and a number")
    return name


_WRITTEN_VERSION = re.compile(r"_v[0-9]+$")
MeterName = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_]{0,39}$|^[a-z][a-z0-9_]{0,34}@([2-9]|[1-9][0-9]{1,2})$"),
    AfterValidator(_not_as_a_version_is_written),
]
"""A meter's name, and its version from the second on: ``storage``, ``storage@2``."""


def meter_base(meter: str) -> str:
    """Return what a meter's versions have in common: the name without the version."""
    return meter.partition("@")[0]


def meter_version(meter: str) -> int:
    """Return a meter's version; one that names none is the first."""
    return int(meter.partition("@")[2] or 1)


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Meter(_Entry):
    """What turns metrics into something with a price: ``amount ÷ unit_size`` on a basis."""

    label: str
    metrics: tuple[str, ...] = Field(min_length=1, strict=False)
    unit: str
    unit_size: Annotated[int, Field(gt=0)]
    basis: Annotated[Basis, Field(strict=False)]

    @model_validator(mode="after")
    def _metrics_fit_the_basis(self) -> Self:
        fitting = COUNTERS if self.basis.kind is MetricKind.COUNTER else GAUGES
        for name in self.metrics:
            if name not in REGISTRY:
                raise ValueError(f"metric {name!r} is not in the registry")
            if name not in fitting:
                raise ValueError(f"basis {self.basis!s} needs {self.basis.kind!s}s; {name!r} is none")
        return self


class Tier(NamedTuple):
    """One graduated tier: units up to ``up_to`` (None: no end) cost ``unit_amount`` dollars each."""

    up_to: Decimal | None
    unit_amount: Decimal


class Price(_Entry):
    """What a plan says of one meter: units included, dollars for each unit beyond, or no limit at all."""

    included: Exact | None = None
    overage: Exact | None = None
    unlimited: bool = False

    @model_validator(mode="after")
    def _either_limited_or_not(self) -> Self:
        if self.unlimited in (self.included is not None, self.overage is not None):
            raise ValueError("give either both `included` and `overage`, or `unlimited = true` alone")
        if self.included is not None and self.included != self.included.to_integral_value():
            raise ValueError("`included` must be whole units: Stripe's tiers end at whole units")
        return self

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The graduated tiers, as the estimate uses them and as Stripe gets them; none when unlimited."""
        if self.included is None or self.overage is None:
            return ()
        beyond = Tier(None, self.overage)
        return (Tier(self.included, Decimal(0)), beyond) if self.included else (beyond,)


class Plan(_Entry):
    """A plan's version: a monthly fee in dollars, and a price for each meter that it sells."""

    label: str
    base_fee: Exact | Literal["custom"]
    meters: dict[MeterName, Price]


class Override(_Entry):
    """A customer's own fee and prices, in place of the plan's."""

    base_fee: Exact | None = None
    meters: dict[MeterName, Price] = {}


class Terms(_Entry):
    """What one customer pays in one period: the plan's version with the customer's overrides applied.

    ``meters`` are those that are sold; what the others count is shown, and neither sent nor billed.
    """

    plan: str
    label: str
    base_fee: Exact
    meters: dict[MeterName, Price]
    overridden: frozenset[str] = frozenset()
    """The meters whose price is the customer's own."""


class Catalog(_Entry):
    """All meters and all versions of all plans."""

    currency: Annotated[str, Field(pattern=r"^[a-z]{3}$"), AfterValidator(in_hundredths)]
    meters: dict[MeterName, Meter]
    plans: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}@[1-9][0-9]{0,4}$")], Plan]

    @property
    def needs_whole_period(self) -> bool:
        """Whether some meter's contribution of an hour depends on the period's other hours."""
        return any(meter.basis.needs_whole_period for meter in self.meters.values())

    @property
    def sold(self) -> dict[str, Meter]:
        """The meters that some plan sells."""
        names = {meter for plan in self.plans.values() for meter in plan.meters}
        return {name: meter for name, meter in self.meters.items() if name in names}

    def meters_of(self, plan: str) -> tuple[str, ...]:
        """Return the meters that a plan's version sells, in the order of their names.

        Raises
        ------
        CatalogError
            When there is no such plan.
        """
        return tuple(sorted(self._plan(plan).meters))

    def shown(self, terms: Terms) -> dict[str, Meter]:
        """Return the meters shown under these terms: those sold, and the newest version of every other."""
        newest: dict[str, str] = {}
        for name in sorted(self.meters, key=lambda name: (name in terms.meters, meter_version(name))):
            newest[meter_base(name)] = name
        return {name: meter for name, meter in self.meters.items() if newest[meter_base(name)] == name}

    @model_validator(mode="after")
    def _plans_sell_meters_that_exist(self) -> Self:
        for name, plan in self.plans.items():
            for meter in sorted(plan.meters.keys() - self.meters.keys()):
                raise ValueError(f"plan {name!r} prices meter {meter!r}, which does not exist")
            for base, count in Counter(map(meter_base, plan.meters)).items():
                if count > 1:
                    raise ValueError(f"plan {name!r} sells {count} versions of the meter {base!r}")
        return self

    def newest(self, plan: str) -> str:
        """Resolve ``starter`` to its newest version, ``starter@2``; a full name stays as it is.

        Raises
        ------
        CatalogError
            When there is no such plan; the text lists those there are.
        """
        if plan in self.plans:
            return plan
        versions = [name for name in self.plans if name.partition("@")[0] == plan]
        if not versions:
            raise CatalogError(f"no plan {plan!r}; there are {', '.join(sorted(self.plans))}")
        return max(versions, key=lambda name: int(name.partition("@")[2]))

    def terms(self, plan: str, override: Override | None = None, sold: Container[str] | None = None) -> Terms:
        """Apply a customer's override to a plan's version.

        ``sold`` are the meters that a period has sold since it began; all of the plan's when None.

        Raises
        ------
        CatalogError
            When the plan or a meter does not exist, the plan does not sell what the override prices, or a
            plan with a custom fee comes without one.
        """
        entry = self._plan(plan)
        own = override or Override()
        if unknown := sorted(own.meters.keys() - self.meters.keys()):
            raise CatalogError(f"override of meter {unknown[0]!r}, which does not exist")
        if unsold := sorted(own.meters.keys() - entry.meters.keys()):
            raise CatalogError(f"override of meter {unsold[0]!r}, which the plan {plan!r} does not sell")
        fee = entry.base_fee if own.base_fee is None else own.base_fee
        if fee == "custom":
            raise CatalogError(f"plan {plan!r} has a custom fee: the customer's override must give base_fee")
        return Terms(
            plan=plan,
            label=entry.label,
            base_fee=fee,
            meters={
                name: price
                for name, price in (entry.meters | own.meters).items()
                if sold is None or name in sold
            },
            overridden=frozenset(own.meters),
        )

    def _plan(self, name: str) -> Plan:
        if name not in self.plans:
            raise CatalogError(f"no plan {name!r}; there are {', '.join(sorted(self.plans))}")
        return self.plans[name]


def parse_catalog(text: str, name: str = "catalog") -> Catalog:
    """Read a catalogue from TOML.

    Raises
    ------
    CatalogError
        Names the file and every wrong entry.
    """
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{name}: {error}") from None
    return _validated(Catalog, entries, name)


def parse_override(entries: Mapping[str, Any], name: str = "override") -> Override:
    """Read a customer's override from plain values; errors as in `parse_catalog`."""
    return _validated(Override, entries, name)


def _validated[E: _Entry](model: type[E], entries: Mapping[str, Any], name: str) -> E:
    try:
        return model.model_validate(entries)
    except ValidationError as error:
        rows = (
            ": ".join(part for part in (name, e.field, e.message) if part)
            for e in field_errors(error, whole="")
        )
        raise CatalogError("\n".join(rows)) from None


@cache
def builtin_catalog() -> Catalog:
    """Return the catalogue that ships with this package."""
    text = resources.files("metering.core").joinpath("catalog.toml").read_text(encoding="utf-8")
    return parse_catalog(text, "catalog.toml")
