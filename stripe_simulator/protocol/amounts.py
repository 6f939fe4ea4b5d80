"""Numbers as Stripe's answers hold them, and amounts of money as people read them."""

from decimal import Decimal

_WITHOUT_DECIMALS = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_WITH_THREE = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
_SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def whole(amount: Decimal | None) -> int | None:
    """An amount as Stripe's integer field shows it: None when it has a fraction."""
    return int(amount) if amount is not None and amount == amount.to_integral_value() else None


def text(amount: Decimal | None) -> str | None:
    """An amount as Stripe's decimal field shows it: plain, without trailing zeros."""
    return None if amount is None else f"{amount.normalize():f}"


def decimals(currency: str) -> int:
    """How many decimals a currency has: its smallest unit is ten to that power of it.

    Stripe, "Supported currencies": yen have none, dinars three, most two.
    """
    if currency in _WITHOUT_DECIMALS:
        return 0
    return 3 if currency in _WITH_THREE else 2


def money(amount: Decimal | int, currency: str) -> str:
    """An amount in the smallest unit, for people: with the currency's decimals, or more."""
    places = decimals(currency)
    exact = Decimal(amount).scaleb(-places)
    whole_part, _, fraction = f"{abs(exact).normalize():f}".partition(".")
    shown = f"{whole_part}.{fraction:0<{places}}" if places or fraction else whole_part
    sign = _SIGNS.get(currency)
    shown = f"{sign}{shown}" if sign else f"{currency.upper()} {shown}"
    return f"-{shown}" if exact < 0 else shown
