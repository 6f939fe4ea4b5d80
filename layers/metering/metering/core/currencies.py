"""Which currencies a catalogue may be in: those that are counted in hundredths.

Prices, invoices and the amounts that travel to and from Stripe all have two decimals here. Stripe takes and
gives amounts in a currency's smallest unit, so that 2,900 yen would be charged as 290,000 and 29 dinars as
2.9. Source: ISO 4217, and Stripe's lists of zero-decimal, special and three-decimal currencies.
"""

from collections.abc import Mapping

_DECIMALS: Mapping[str, int] = {
    currency: decimals
    for decimals, currencies in (
        (0, "bif clp djf gnf isk jpy kmf krw mga pyg rwf ugx uyi vnd vuv xaf xof xpf"),
        (3, "bhd iqd jod kwd lyd omr tnd"),
        (4, "clf uyw"),
    )
    for currency in currencies.split()
}
"""The currencies with another number of decimals than two."""


def in_hundredths(currency: str) -> str:
    """Return a currency's code, in small letters, if it is counted in hundredths.

    Raises
    ------
    ValueError
        When it has another number of decimals.
    """
    if (decimals := _DECIMALS.get(currency)) is not None:
        raise ValueError(
            f"'{currency}' is charged with {decimals} decimals; amounts have two here, so every price and "
            "invoice would be wrong by a power of ten: use a currency of hundredths"
        )
    return currency
