"""Meters, plans and prices, read from ``catalog.toml`` and checked when loaded.

Source: docs/billing.md#meters and docs/billing.md#plans.
"""

import tomllib
from collections.abc import Mapping
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


MeterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


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
    """A plan's version: a monthly fee in dollars and a price for every meter."""

    label: str
    base_fee: Exact | Literal["custom"]
    meters: dict[MeterName, Price]


class Override(_Entry):
    """A customer's own fee and prices, in place of the plan's."""

    base_fee: Exact | None = None
    meters: dict[MeterName, Price] = {}


class Terms(_Entry):
    """What one customer pays in one period: the plan's version with the customer's overrides applied."""

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

    @model_validator(mode="after")
    def _every_plan_prices_every_meter(self) -> Self:
        for name, plan in self.plans.items():
            for meter in self.meters.keys() - plan.meters.keys():
                raise ValueError(f"plan {name!r} has no price for meter {meter!r}")
            for meter in plan.meters.keys() - self.meters.keys():
                raise ValueError(f"plan {name!r} prices meter {meter!r}, which does not exist")
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

    def terms(self, plan: str, override: Override | None = None) -> Terms:
        """Apply a customer's override to a plan's version.

        Raises
        ------
        CatalogError
            When the plan or a meter does not exist, or a plan with a custom fee comes without one.
        """
        if plan not in self.plans:
            raise CatalogError(f"no plan {plan!r}; there are {', '.join(sorted(self.plans))}")
        own = override or Override()
        if unknown := sorted(own.meters.keys() - self.meters.keys()):
            raise CatalogError(f"override of meter {unknown[0]!r}, which does not exist")
        entry = self.plans[plan]
        fee = entry.base_fee if own.base_fee is None else own.base_fee
        if fee == "custom":
            raise CatalogError(f"plan {plan!r} has a custom fee: the customer's override must give base_fee")
        return Terms(
            plan=plan,
            label=entry.label,
            base_fee=fee,
            meters=entry.meters | own.meters,
            overridden=frozenset(own.meters),
        )


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
