"""Decimal numbers as Stripe's answers hold them: an integer field, and beside it an exact one."""

from decimal import Decimal


def whole(amount: Decimal | None) -> int | None:
    """An amount as Stripe's integer field shows it: None when it has a fraction."""
    return int(amount) if amount is not None and amount == amount.to_integral_value() else None


def text(amount: Decimal | None) -> str | None:
    """An amount as Stripe's decimal field shows it: plain, without trailing zeros."""
    return None if amount is None else f"{amount.normalize():f}"
