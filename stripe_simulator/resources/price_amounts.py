"""What a price costs: one amount a unit, or graduated tiers."""

from decimal import Decimal

from stripe_simulator.engine.objects import Tier
from stripe_simulator.protocol.errors import StripeRefusalError, invalid_parameter, not_imitated
from stripe_simulator.protocol.parameters import EitherOr, Exact, Parameters, Record, Whole

CENTS = Whole(least=0)
TIER = Record(
    {
        "up_to": EitherOr(("inf",), Whole(least=1)),
        "unit_amount": CENTS,
        "unit_amount_decimal": Exact(),
        "flat_amount": CENTS,
        "flat_amount_decimal": Exact(),
    },
    required=("up_to",),
)


def unit_amount(wanted: Parameters) -> Decimal:
    """The one amount a unit, in cents, of a price without tiers.

    Raises
    ------
    StripeRefusalError
        No amount, two of them, or parameters that only tiered prices have.
    """
    for name in ("tiers", "tiers_mode"):
        if name in wanted:
            raise StripeRefusalError(f"`{name}` requires `billing_scheme` to be `tiered`.", param=name)
    if "transform_quantity" in wanted:
        raise not_imitated("transform_quantity", "transform_quantity")
    amount = _one_amount(wanted, "unit_amount", "")
    if amount is None:
        raise StripeRefusalError(
            "You must specify one of `unit_amount` or `unit_amount_decimal`.",
            code="parameter_missing",
            param="unit_amount",
        )
    return amount


def tiers(wanted: Parameters) -> tuple[Tier, ...]:
    """A tiered price's tiers.

    Raises
    ------
    StripeRefusalError
        A tier without an amount (a free one must say 0), bounds that do not ascend to ``inf``, an amount
        beside the tiers, ``transform_quantity``, or a mode other than graduated.
    """
    for name in ("unit_amount", "unit_amount_decimal"):
        if name in wanted:
            raise StripeRefusalError(f"`{name}` cannot be combined with tiers.", param=name)
    if "transform_quantity" in wanted:
        raise StripeRefusalError(
            "`transform_quantity` cannot be combined with `tiers`.", param="transform_quantity"
        )
    for name in ("tiers", "tiers_mode"):
        if not wanted.get(name):
            raise StripeRefusalError(
                f"`{name}` is required when `billing_scheme` is `tiered`.",
                code="parameter_missing",
                param=name,
            )
    if wanted["tiers_mode"] != "graduated":
        raise not_imitated("tiers_mode=volume", "tiers_mode")
    found = tuple(_tier(given, place) for place, given in enumerate(wanted["tiers"]))
    bounds = [tier.up_to for tier in found]
    if bounds[-1] is not None or None in bounds[:-1]:
        raise StripeRefusalError("The last tier, and it alone, must have `up_to=inf`.", param="tiers")
    finite = [bound for bound in bounds if bound is not None]
    if finite != sorted(set(finite)):
        raise StripeRefusalError("Tiers must be in ascending order of `up_to`.", param="tiers")
    return found


def _tier(given: Parameters, place: int) -> Tier:
    unit = _one_amount(given, "unit_amount", f"tiers[{place}]")
    flat = _one_amount(given, "flat_amount", f"tiers[{place}]")
    if unit is None and flat is None:
        raise StripeRefusalError(
            f"Tier {place + 1} must have a `unit_amount` or a `flat_amount`; a free tier says 0.",
            param=f"tiers[{place}][unit_amount]",
        )
    return Tier(None if given["up_to"] == "inf" else given["up_to"], unit, flat)


def _one_amount(given: Parameters, name: str, within_param: str) -> Decimal | None:
    exact = f"{name}_decimal"
    if name in given and exact in given:
        param = f"{within_param}[{name}]" if within_param else name
        raise invalid_parameter(f"You may only specify one of these parameters: {name}, {exact}.", param)
    if exact in given and given[exact] < 0:
        raise invalid_parameter("Amounts must not be negative.", exact)
    return Decimal(given[name]) if name in given else given.get(exact)
