"""Amounts: integers in minor units of an ISO 4217 currency, and nothing else."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

# ISO 4217 gives most currencies two minor digits; these are the ones in use that differ.
_NO_MINOR_UNIT = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF",
)  # fmt: skip
_THREE_MINOR_DIGITS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_MINOR_DIGITS = {**dict.fromkeys(_NO_MINOR_UNIT, 0), **dict.fromkeys(_THREE_MINOR_DIGITS, 3)}

# Larger than any till's total in any currency, small enough that products stay far from 2**63.
MAX_MINOR = 10**14
_HALF = Decimal("0.5")


class AmountError(ValueError):
    """A text is no amount of money. The message quotes it."""


def minor_digits(currency: str) -> int:
    """Digits after the decimal point in `currency` (ISO 4217)."""
    return _MINOR_DIGITS.get(currency, 2)


def to_minor(amount: str, currency: str) -> int:
    """Minor units in `amount`, a plain decimal text in major units such as `"-1.50"`.

    Raises AmountError when the text is not a decimal, has more digits than the currency or exceeds
    MAX_MINOR.
    """
    try:
        scaled = Decimal(amount).scaleb(minor_digits(currency))
    except InvalidOperation as error:
        raise AmountError(f"{amount!r} is not an amount") from error
    if not scaled.is_finite() or abs(scaled) > MAX_MINOR:
        raise AmountError(f"{amount!r} is beyond what a receipt can hold")
    minor = int(scaled)
    if minor != scaled:
        raise AmountError(f"{amount!r} has more digits than {currency} has minor units")
    return minor


def to_major(minor: int, currency: str) -> str:
    """`minor` as a plain decimal text in major units, the inverse of `to_minor`."""
    digits = minor_digits(currency)
    return f"{Decimal(minor).scaleb(-digits):.{digits}f}"


def line_product_minor(quantity: str | Decimal, unit_price: str | Decimal, currency: str) -> int:
    """quantity × unit price in minor units, half away from zero as tills round."""
    exact = (Decimal(quantity) * Decimal(unit_price)).scaleb(minor_digits(currency))
    half_up = int(abs(exact) + _HALF)
    return half_up if exact >= 0 else -half_up
