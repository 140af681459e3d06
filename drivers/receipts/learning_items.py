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
from msgspec.structs import replace

from drivers.receipts.shapes import CURRENCY, escaped
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
# A digit behind a star is a tax's label and multiplies nothing: `18,54 *1`.
_STARRED: Final = re.compile(r"\s\*(\d)\s*$")
# `Qty:2`
_NAMED: Final = re.compile(r"(?<=[^\W\d_]):(?=[\d-])")
Kind = Literal[
    "amount", "decimal", "whole", "code", "times", "percent", "letter", "unit", "sign", "ordinal", "label", "fixed",
    "word",
]  # fmt: skip
_TIMES: Final = re.compile(r"(?<=[\d,.])\s*([X×*@])\s*(?=\d)|(?<=\d)\s?([A-Z]{1,4})\s*([X×*@])\s*(?=\d)")
_MONEY: Final = re.compile(rf"(?<![A-Z]){CURRENCY}(?:\s?/\s?[A-Z]{{1,4}})?(?![A-Z])|(?<=\d)/[A-Z]{{1,4}}\b")
_NUMERIC: Final = frozenset((
    "amount", "decimal", "whole", "code", "times", "percent", "unit", "sign", "ordinal", "label", "fixed",
))  # fmt: skip
# A word that stands on so many of the lines of numbers belongs to the layout and not to a name, in percent.
FIXED_PERCENT: Final = 60
# Fewer lines say nothing of what most of them have.
_FEW: Final = 3


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


class Habits(Struct, frozen=True, kw_only=True):
    """What lines of items have in common: words that the layout prints, and labels of taxes before the amount."""

    fixed: frozenset[str] = frozenset()
    label_before: bool = False


_NO_HABITS: Final = Habits()


def tokens_of(printed: str, amount: re.Pattern[str], habits: Habits = _NO_HABITS) -> list[Token]:
    """The parts of a line, without currencies."""
    letters = _MONEY.sub(lambda found: " " * len(found.group()), plain(printed))
    letters = _STARRED.sub(r" (\1)", amount.sub(lambda found: found.group().replace(" ", "'"), letters))
    letters = _TIMES.sub(lambda found: f" {found[1] or found[2] + ' ' + found[3]} ", letters)
    letters = _NAMED.sub(": ", letters)
    tokens = [
        Token(kind="fixed" if part in habits.fixed else _kind(part, amount), text=part) for part in letters.split()
    ]
    if habits.label_before and _has_label_before(tokens):
        tokens[-2] = replace(tokens[-2], kind="label")
    return tokens


def _has_label_before(tokens: Sequence[Token]) -> bool:
    if len(tokens) <= 2 or tokens[-1].kind != "amount":
        return False
    is_digit = len(tokens[-2].text) == 1 and any(token.kind == "times" for token in tokens[:-3])
    return tokens[-2].kind == "letter" or (tokens[-2].kind == "whole" and is_digit)


def _habits(goods: Sequence[Sequence[str]], amount: re.Pattern[str]) -> Habits:
    lines = [tokens for each in goods for line in each if (tokens := tokens_of(line, amount))]
    numbers = [tokens for tokens in lines if sum(token.kind in _NUMERIC for token in tokens) >= _FEW]
    words = Counter(word for tokens in numbers for word in {token.text for token in tokens if token.kind == "word"})
    priced = [tokens for tokens in lines if tokens[-1].kind == "amount"]
    return Habits(
        fixed=frozenset(word for word, count in words.items() if count >= _FEW and _is_usual(count, numbers)),
        label_before=_is_usual(sum(map(_has_label_before, priced)), priced),
    )


def _is_usual(count: int, lines: Sequence[Sequence[Token]]) -> bool:
    return count > 0 and count * 100 >= FIXED_PERCENT * len(lines)


_KINDS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("times", re.compile("[X×*@]")),
    ("decimal", re.compile(r"-?\d{1,3}[.,]\d{1,4}")),
    ("code", re.compile(r"\d{5,14}")),
    ("whole", re.compile(r"-?\d{1,4}")),
    ("percent", re.compile(r"(?:-?\d{1,2}(?:[.,]\d{1,2})?)?%")),
    ("sign", re.compile("[=:|]")),
    ("ordinal", re.compile(r"\d{1,3}[.)]")),
    ("letter", re.compile(r"\(?\*?(?:[^\W\d_]\d?|\d[A-Z])\*?\)?|\(\d\)|\*\d|\d\*")),
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
        (re.sub(r"\W", "", role), token.text)
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
    "label": ("[{label}]",),
}


def _roles(tokens: Sequence[Token]) -> Iterator[tuple[str, ...]]:
    """What the numbers may be: each role once, an amount last among amounts if nothing speaks against it."""
    if len(tokens) > 8:
        return
    for roles in product(*map(_choices, tokens)):
        named = [role for role in roles if role.startswith("{")]
        if len(named) == len(set(named)) and _makes_sense(roles, tokens):
            yield roles


def _choices(token: Token) -> tuple[str, ...]:
    if token.kind == "ordinal":
        return (f"{{count}}{token.text[-1]}",)
    return (escaped(token.text),) if token.kind == "fixed" else _CHOICES.get(token.kind, ())


def _makes_sense(roles: Sequence[str], tokens: Sequence[Token]) -> bool:
    if "x" in roles:
        at = roles.index("x")
        before = next((role for role in reversed(roles[:at]) if role.startswith("{")), "")
        after = next((role for role in roles[at + 1 :] if role.startswith("{")), "")
        if {before, after} != {"{quantity}", "{price}"}:
            return False
    for role, token, before in zip(roles, tokens, ["", *roles], strict=False):
        if token.kind == "sign" and role != token.text:
            return False
        if token.kind != "label" and is_label(token, before == "{amount}") != (role == "[{label}]"):
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
    habits = _habits(goods, amount)
    for lines in goods:
        read = [readings(tokens_of(line, amount, habits)) for line in lines]
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
                    if agrees is True:
                        likely[shape] += _likeliness(values["quantity"])
    found = [Proposal(lines=shape, fits=count, proven=proven[shape]) for shape, count in fits.items()]
    # What multiplies does so in either order: which of the two is the quantity is not told by how often it does.
    either: Counter[str] = Counter()
    for each in found:
        either[_either(each)] = max(either[_either(each)], each.proven)
    found.sort(
        key=lambda each: (
            -either[_either(each)], -likely[each.lines], -each.proven, len(each.lines), -each.fits,
            -len(" ".join(each.lines)),
        )
    )  # fmt: skip
    return found


def _either(proposal: Proposal) -> str:
    return "\n".join(proposal.lines).replace("{quantity}", "#").replace("{price}", "#")


_CENTS: Final = re.compile(r".*[.,]\d\d")


def magnitude(printed: str) -> Decimal:
    """A printed number without its sign, which may stand on either side, or its `%`. Raises AmountError."""
    return Decimal(decimal_text(printed.strip("%-+−")))


def _likeliness(quantity: str) -> int:
    """A quantity is whole more often than a price is, and has cents less often."""
    value = magnitude(quantity)
    return (value == value.to_integral_value()) + (_CENTS.fullmatch(quantity) is None)


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
        count, price, amount = (magnitude(values[name]) for name in ("quantity", "price", "amount"))
        less = magnitude(values["discount"]) if "discount" in values else Decimal(0)
    except AmountError:
        return False
    return bool(less or "discount" not in values) and abs(count * price - less - amount) <= Decimal("0.011")
