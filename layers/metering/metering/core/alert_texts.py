"""What alerts say to people: which meter, how much of what, in the customer's words.

Quantities are rounded down, so that no text says "10 of 10" before it is so.
"""

from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

from metering.core.answers import unit_price
from metering.core.catalog import Meter
from metering.core.exact import EXACT, plain


class Context(NamedTuple):
    """What the texts of one period have in common: the plan's label, the period's end, the currency."""

    plan: str
    end: datetime
    currency: str


def usage(meter: Meter, used: Decimal, included: Decimal, percent: int, context: Context) -> str:
    """Say that a share of an allowance is used."""
    averaged = ", averaged over the whole period" if meter.basis.is_averaged else ""
    return (
        f"{meter.label}: {percent} % of what the {context.plan} plan includes is used, "
        f"{_number(meter, used)} of {counted(meter, included)}{averaged}."
    )


def overage(meter: Meter, included: Decimal, price: Decimal, context: Context) -> str:
    """Say that an allowance is used up and what more costs."""
    lasting = " for the whole period" if meter.basis.is_averaged else ""
    return (
        f"{meter.label}: all that the {context.plan} plan includes ({counted(meter, included)}) is used. "
        f"What comes on top costs {_money(unit_price(price), context)} per {meter.unit}{lasting}."
    )


def forecast(meter: Meter, projected: Decimal, included: Decimal, context: Context) -> str:
    """Say that an allowance will not last."""
    return (
        f"{meter.label}: at the present pace it will be {counted(meter, projected)} by "
        f"{moment(context.end)}; the {context.plan} plan includes {counted(meter, included)}."
    )


def budget(total: Decimal, limit: Decimal, percent: int, context: Context) -> str:
    """Say that a share of the customer's budget is spent."""
    return (
        f"The invoice of this period has reached {percent} % of your budget: it stands at "
        f"{_money(f'{total:.2f}', context)} of {_money(f'{limit:.2f}', context)}, before discounts and tax."
    )


def no_budget(total: Decimal, context: Context) -> str:
    """Say that something is owed where the customer's budget is nothing."""
    return (
        f"Your budget is {_money('0.00', context)}; the invoice of this period stands at "
        f"{_money(f'{total:.2f}', context)}, before discounts and tax."
    )


def of_ended(message: str, context: Context) -> str:
    """Say of which period a message is that comes after the period's end."""
    return f"Of the period that ended on {moment(context.end)}: {message}"


def budget_forecast(projected: Decimal, limit: Decimal, context: Context) -> str:
    """Say that the budget will not last."""
    return (
        f"At the present pace the invoice of this period will be {_money(f'{projected:.2f}', context)} by "
        f"{moment(context.end)}, before discounts and tax; your budget is "
        f"{_money(f'{limit:.2f}', context)}."
    )


def silent(instance: str, until: datetime) -> str:
    """Say that an instance has stopped reporting."""
    return (
        f"Instance {instance} is silent: its last report covers the time until {moment(until)}. "
        "Time that is not reported is not billed; please see whether the instance and its agent run."
    )


def back(instance: str, last_hour: datetime) -> str:
    """Say that an instance reports again."""
    return (
        f"Instance {instance} reports again. Its last report before was of the hour that began on "
        f"{moment(last_hour)}; what its agent counted since then arrives late and counts in its own hours."
    )


def counted(meter: Meter, quantity: Decimal) -> str:
    """Write a quantity with its unit: "8.5 GB", "10 devices", "80,000 calls"."""
    unit = _noun(meter)
    plural = "s" if unit.islower() and not unit.endswith("s") and quantity != 1 else ""
    return f"{_number(meter, quantity)} {unit}{plural}"


def moment(instant: datetime) -> str:
    """Write an instant for people, in UTC."""
    return f"{instant.day} {instant:%B %Y}, {instant:%H:%M} UTC"


def _noun(meter: Meter) -> str:
    """The unit, without the number that a unit such as "1,000 calls" carries itself."""
    return meter.unit.removeprefix(f"{meter.unit_size:,} ")


def _number(meter: Meter, quantity: Decimal) -> str:
    size = meter.unit_size if _noun(meter) != meter.unit else 1
    places = Decimal(1) if size > 1 else Decimal("0.01")
    amount = EXACT.multiply(quantity, Decimal(size)).quantize(places, ROUND_DOWN, EXACT)
    whole, _, fraction = plain(amount).partition(".")
    return f"{int(whole):,}" + (f".{fraction}" if fraction else "")


def _money(amount: str, context: Context) -> str:
    return f"${amount}" if context.currency == "usd" else f"{amount} {context.currency.upper()}"
