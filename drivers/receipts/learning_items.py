"""Which shapes the items of a layout have: proposed from its lines, and kept where their arithmetic holds.

Owns the telling apart of quantity, price and amount by what they multiply to. Never reads a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import product
from typing import Final, Literal

from msgspec import Struct

from drivers.receipts.shapes import CURRENCY
from drivers.receipts.wording import decimal_text, plain
from loyalty.money import AmountError

# An item of more lines is met nowhere.
MOST_LINES: Final = 3
# Readings of one line and of one place that are weighed; more would only be worse guesses.
MOST_READINGS: Final = 8
_UNITS: Final = frozenset((
    "KG", "G", "DKG", "L", "ML", "CL", "M", "CM", "ST", "STK", "STCK", "KOM", "KS", "PC", "PCS", "EA", "PACK", "PAK",
    "PAR", "BOX", "KN", "PKT", "PZ", "M2", "M3", "KOS", "UN", "SZT",
))  # fmt: skip
Kind = Literal["amount", "decimal", "whole", "code", "times", "percent", "letter", "unit", "sign", "word"]
_TIMES: Final = re.compile(r"(?<=[\d,.])\s*([X×*@])\s*(?=\d)|(?<=\d)\s?([A-Z]{1,4})\s*([X×*@])\s*(?=\d)")
_MONEY: Final = re.compile(rf"(?<![A-Z]){CURRENCY}(?:\s?/\s?[A-Z]{{1,4}})?(?![A-Z])|(?<=\d)/[A-Z]{{1,4}}\b")
_NUMERIC: Final = frozenset(("amount", "decimal", "whole", "code", "times", "percent", "unit", "sign"))


class Token(Struct, frozen=True, kw_only=True):
    """A part of a line between spaces."""

    kind: Kind
    text: str


class Reading(Struct, frozen=True, kw_only=True):
    """One way to understand a line: its shape, and the numbers that it says."""

    shape: str
    fields: tuple[tuple[str, str], ...]


class Proposal(Struct, frozen=True, kw_only=True):
    """A shape of an item, on how many places it fits, and on how many of them quantity × price is the amount."""

    lines: tuple[str, ...]
    fits: int
    proven: int


def tokens_of(printed: str, amount: re.Pattern[str]) -> list[Token]:
    """The parts of a line, without currencies."""
    letters = _MONEY.sub(lambda found: " " * len(found.group()), plain(printed))
    letters = _TIMES.sub(lambda found: f" {found[1] or found[2] + ' ' + found[3]} ", letters)
    return [Token(kind=_kind(part, amount), text=part) for part in letters.split()]


_KINDS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("times", re.compile("[X×*@]")),
    ("decimal", re.compile(r"-?\d{1,3}[.,]\d{1,4}")),
    ("code", re.compile(r"\d{5,14}")),
    ("whole", re.compile(r"-?\d{1,4}")),
    ("percent", re.compile(r"(?:-?\d{1,2}(?:[.,]\d{1,2})?)?%")),
    ("sign", re.compile("[=:|]")),
    ("letter", re.compile(r"\(?(?:[^\W\d_]\d?|\d[A-Z])\)?|\(\d\)")),
)


def _kind(part: str, amount: re.Pattern[str]) -> Kind:
    if amount.fullmatch(part):
        return "amount"
    if part.strip("()") in _UNITS:
        return "unit"
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(part)), "word")


def readings(tokens: Sequence[Token]) -> list[Reading]:
    """How a line may be understood as one of an item's, the likelier first."""
    first = 0
    while first < len(tokens) and tokens[first].kind in _NUMERIC:
        first += 1
    if 0 < first == len(tokens) - 1 and is_label(tokens[first], tokens[first - 1].kind == "amount"):
        first += 1
    last = len(tokens)
    while last > first and (
        tokens[last - 1].kind in _NUMERIC
        or (last == len(tokens) and last > 1 and is_label(tokens[last - 1], tokens[last - 2].kind == "amount"))
    ):
        last -= 1
    if first == len(tokens):
        return list(_numbers_only(tokens))
    found = [
        reading
        for head in dict.fromkeys((first, min(first, 1), 0))
        for tail in _tails(tokens, last)
        for reading in _around_name(tokens[:head], tokens[tail:])
    ]
    return found[:MOST_READINGS]


def _tails(tokens: Sequence[Token], last: int) -> Iterator[int]:
    """Where the name may end: numbers at its end may be its own."""
    for at in range(last, len(tokens)):
        if any(token.kind == "amount" for token in tokens[at:]):
            yield at
    if not any(token.kind == "amount" for token in tokens):
        yield len(tokens)


def _around_name(head: Sequence[Token], tail: Sequence[Token]) -> Iterator[Reading]:
    numbers = [*head, *tail]
    for roles in _roles(numbers):
        parts = [*roles[: len(head)], "{name}", *roles[len(head) :]]
        yield _reading(parts, numbers, roles)


def _numbers_only(tokens: Sequence[Token]) -> Iterator[Reading]:
    for roles in _roles(tokens):
        yield _reading(roles, tokens, roles)


def _reading(parts: Sequence[str], numbers: Sequence[Token], roles: Sequence[str]) -> Reading:
    shape = " ".join(part for part in parts if part)
    fields = tuple(
        (role.strip("{}[]"), token.text)
        for role, token in zip(roles, numbers, strict=True)
        if role.startswith(("{", "["))
    )
    return Reading(shape=shape, fields=(*fields, *((("name", ""),) if "{name}" in parts else ())))


_CHOICES: Final[dict[Kind, tuple[str, ...]]] = {
    "amount": ("{amount}", "{price}", "{quantity}", "{discount}"),
    "decimal": ("{quantity}", "{price}"),
    "whole": ("{quantity}", "{count}", "{sku}", "[{label}]"),
    "code": ("{sku}",),
    "times": ("x",),
    "percent": ("{text}",),
    "unit": ("",),
    "letter": ("[{label}]",),
    "sign": ("=", ":", "|"),
}


def _roles(tokens: Sequence[Token]) -> Iterator[tuple[str, ...]]:
    """What the numbers may be: each role once, an amount last among amounts if nothing speaks against it."""
    if len(tokens) > 8:
        return
    for roles in product(*(_CHOICES.get(token.kind, ()) for token in tokens)):
        named = [role for role in roles if role.startswith("{")]
        if len(named) == len(set(named)) and _makes_sense(roles, tokens):
            yield roles


def _makes_sense(roles: Sequence[str], tokens: Sequence[Token]) -> bool:
    if "x" in roles:
        at = roles.index("x")
        before = next((role for role in reversed(roles[:at]) if role), "")
        after = next((role for role in roles[at + 1 :] if role), "")
        if {before, after} != {"{quantity}", "{price}"}:
            return False
    for role, token, before in zip(roles, tokens, ["", *roles], strict=False):
        if token.kind == "sign" and role != token.text:
            return False
        if is_label(token, before == "{amount}") != (role == "[{label}]"):
            return False
        if not role and before != "{quantity}":
            return False  # a unit stands behind its quantity
        if role == "{sku}" and token.kind == "whole" and len(token.text) < 3:
            return False
    if "{discount}" in roles and not {"{price}", "{quantity}", "{amount}"} <= set(roles):
        return False
    return "{price}" not in roles or "{quantity}" in roles


def is_label(token: Token, behind_amount: bool) -> bool:
    """Whether a letter or a digit behind an amount is a tax's label."""
    return behind_amount and (token.kind == "letter" or (token.kind == "whole" and len(token.text) == 1))


def proposals(goods: Sequence[Sequence[str]], amount: re.Pattern[str]) -> list[Proposal]:
    """Shapes that stretches of lines may have, those that are proven most first."""
    fits: Counter[tuple[str, ...]] = Counter()
    proven: Counter[tuple[str, ...]] = Counter()
    likely: Counter[tuple[str, ...]] = Counter()
    for lines in goods:
        read = [readings(tokens_of(line, amount)) for line in lines]
        for at in range(len(lines)):
            for size in range(1, MOST_LINES + 1):
                for combination in _combined(read[at : at + size], size):
                    shape = tuple(reading.shape for reading in combination)
                    values = dict(field for reading in combination for field in reading.fields)
                    agrees = _agrees(values)
                    if agrees is False or (size > 1 and agrees is None and "quantity" in values):
                        continue
                    fits[shape] += 1
                    proven[shape] += agrees is True
                    # A quantity is whole more often than a price is.
                    likely[shape] += agrees is True and _is_whole(values["quantity"])
    found = [Proposal(lines=shape, fits=count, proven=proven[shape]) for shape, count in fits.items()]
    found.sort(
        key=lambda each: (-each.proven, -likely[each.lines], len(each.lines), -each.fits, -len(" ".join(each.lines)))
    )
    return found


def _is_whole(text: str) -> bool:
    value = Decimal(decimal_text(text.lstrip("-")))
    return value == value.to_integral_value()


def _combined(read: Sequence[Sequence[Reading]], size: int) -> Iterator[tuple[Reading, ...]]:
    if len(read) < size:
        return
    for combination in product(*(each[:MOST_READINGS] for each in read)):
        names = [name for reading in combination for name, _ in reading.fields if name != "text"]
        is_whole = names.count("name") == 1 and names.count("amount") == 1 and len(names) == len(set(names))
        if is_whole and all(reading.fields for reading in combination):
            yield combination


def _agrees(values: dict[str, str]) -> bool | None:
    if "quantity" not in values or "price" not in values:
        return None
    try:
        count, price, amount = (
            abs(Decimal(decimal_text(values[name].strip("-+−")))) for name in ("quantity", "price", "amount")
        )
        less = abs(Decimal(decimal_text(values["discount"].strip("-+−")))) if "discount" in values else Decimal(0)
    except AmountError:
        return False
    return bool(less or "discount" not in values) and abs(count * price - less - amount) <= Decimal("0.011")
