"""The pattern language of templates: how a printed line looks, with named fields where its facts stand.

    {quantity} x {price} {name} {amount} [{label}]

Owns its grammar and what each field may hold; no template needs a regular expression. A shape is one such line or
several that follow one another. Every pattern is bounded, so that no line takes longer than its length squared.
Never knows what a receipt is, nor reads a template's file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from drivers.receipts.dates import DateFormat, date_pattern
from drivers.receipts.wording import plain, without_leaders

# 80 mm paper has 64 columns.
MAX_SHAPE_LETTERS: Final = 160
# A name, a code, quantity and price, and a note.
MAX_SHAPE_LINES: Final = 4
# More free texts in one line could be parted in too many ways.
MAX_FREE_FIELDS: Final = 2

CURRENCY: Final = (
    r"(?:(?:EUR|RSD|DIN|BAM|KM|USD|GBP|CHF|HUF|FT|PLN|ZL|CZK|KC|RON|LEI|BGN|MKD|DEN|DKK|SEK|NOK|TRY|UAH)\b\.?|[€$£])"
)
# Article and receipt numbers hold a digit.
ID: Final = r"(?=[A-Z/_-]*\d)[A-Z0-9][A-Z0-9/_-]{0,31}(?![A-Z0-9/_-]|[.,]\d)"

# A tax's label is a letter or two, in brackets or beside a star.
LABEL: Final = r"[^\W_]{1,2}|\*"

Field = Literal[
    "name", "amount", "price", "quantity", "unit", "label", "sku", "count", "discount", "rate", "net", "tax", "gross",
    "number", "store", "register", "operator", "member", "original", "date", "time", "currency", "text",
]  # fmt: skip
_FREE: Final = r"\S(?:.{0,198}?\S)?"
_FREE_FIELDS: Final = frozenset(("name", "operator", "text"))
_DECIMALS: Final = r"(?:[.,]\d{1,4})"
_CLOCK: Final = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s?(?:[AP]\.?M\b\.?|Z|UHR|H\b|[+-]\d{2}:?\d{2}))?"
_TEXTS: Final[Mapping[str, str]] = {
    "name": _FREE,
    "text": _FREE,
    "operator": _FREE,
    "unit": r"[^\W\d_]{1,4}\.?",
    "label": LABEL,
    "sku": r"(?=[A-Z./-]*\d)[A-Z0-9][A-Z0-9./-]{2,19}",
    "count": r"\d{1,6}",
    "rate": r"\d{1,2}(?:[.,]\d{1,3})?(?=\s?%|\s|$)",
    "number": ID,
    "store": ID,
    "register": ID,
    "original": ID,
    "member": r"[A-Z0-9][A-Z0-9 -]{3,30}",
    "time": _CLOCK,
    "currency": CURRENCY,
}
_AMOUNTS: Final = frozenset(("amount", "discount", "net", "tax", "gross"))

DecimalMark = Literal[".", ",", "either"]
_MARKS: Final[Mapping[DecimalMark, str]] = {".": r"\.", ",": ",", "either": "[.,]"}
_THOUSANDS: Final[Mapping[DecimalMark, str]] = {".": ",'’\u00a0", ",": ".'’\u00a0", "either": ".,'’\u00a0"}


class ShapeError(ValueError):
    """A shape cannot be understood. The message says what to write instead."""


class Notation(Struct, frozen=True, kw_only=True):
    """How numbers and dates are printed. `spaced` says that a space parts thousands."""

    decimal_mark: DecimalMark = "either"
    spaced: bool = False
    dates: tuple[DateFormat, ...] = ()


def amount_pattern(notation: Notation) -> str:
    """An amount with two decimals; 15 digits at most, so that a hostile number stays a number of the contract."""
    mark = _MARKS[notation.decimal_mark]
    thousands = f"[{_THOUSANDS[notation.decimal_mark]}{' ' if notation.spaced else ''}]"
    return rf"(?<![\d.,])[-−+]?(?:\d{{1,3}}(?:{thousands}\d{{3}}){{1,4}}|\d{{1,12}}){mark}\d{{2}}(?![\d%]|[.,]\d)[-−]?"


class LineShape(Struct, frozen=True, kw_only=True):
    """How one line looks. `fields` names the groups of `pattern`, which is for plain letters.

    `columns` says that fields are told by position: then the line is matched with its leading spaces.
    """

    pattern: re.Pattern[str]
    fields: tuple[str, ...]
    columns: Mapping[str, re.Pattern[str]] | None = None

    def match(self, printed: str, letters: str) -> dict[str, str] | None:
        """The fields as printed, where the whole line looks so. `letters` is `plain(printed)`."""
        if self.columns is not None:
            width = max(len(letters), MAX_SHAPE_LETTERS)
            letters, printed = letters.ljust(width), printed.ljust(width)
        found = self.pattern.fullmatch(letters)
        if found is None:
            return None
        values: dict[str, str] = {}
        for index, name in enumerate(self.fields, 1):
            start, end = found.span(index)
            value = printed[start:end].strip() if start >= 0 else ""
            if self.columns is not None and name in self.columns:
                inner = self.columns[name].fullmatch(plain(value))
                if inner is None:
                    return None
                value = value[slice(*inner.span(1))]
            if value:
                values[name] = value
        return values


class Shape(Struct, frozen=True, kw_only=True):
    """One or several lines that follow one another."""

    written: tuple[str, ...]
    lines: tuple[LineShape, ...]
    fields: frozenset[str]


def compiled_shape(written: Sequence[str], allowed: Iterable[str], notation: Notation) -> Shape:
    """Raises ShapeError."""
    if not 1 <= len(written) <= MAX_SHAPE_LINES:
        raise ShapeError(f"a shape has 1 to {MAX_SHAPE_LINES} lines, not {len(written)}")
    known = frozenset(allowed)
    lines = tuple(_line(without_leaders(line), known, notation) for line in written)
    return Shape(written=tuple(written), lines=lines, fields=frozenset(name for line in lines for name in line.fields))


def escaped(text: str) -> str:
    """Printed text as a shape writes it."""
    return re.sub(r"([{}\[\]])", r"\1\1", text)


_TOKEN: Final = re.compile(
    r"(?P<brace>\{\{|\}\}|\[\[|\]\])|\{(?P<field>[a-z_]*)(?::(?P<width>\d{1,3}))?\}|(?P<open>\[)|(?P<close>\])|(?P<space>\s+)"
    r"|(?P<times>(?<![^\s\]}])[x×*@](?![^\s\[{]))|(?P<wrong>[{}])|(?P<literal>[^{}\[\]\s]+)"
)


_Kind = Literal["field", "open", "close", "space", "times", "literal"]
_KINDS: Final[tuple[_Kind, ...]] = ("open", "close", "space", "times", "literal")


class _Token(Struct, frozen=True, kw_only=True):
    kind: _Kind
    text: str = ""
    width: int = 0


def _tokens(line: str, allowed: frozenset[str]) -> Iterator[_Token]:
    for found in _TOKEN.finditer(line.strip()):
        if found["field"] is not None:
            name = found["field"]
            if name not in allowed:
                close = difflib.get_close_matches(name, allowed, n=1)
                hint = f"did you mean {{{close[0]}}}?" if close else f"known here: {', '.join(sorted(allowed))}"
                raise ShapeError(f"{line!r} has no field {{{name}}} here; {hint}")
            yield _Token(kind="field", text=name, width=int(found["width"] or 0))
        elif found["brace"] is not None:
            yield _Token(kind="literal", text=found["brace"][0])
        elif found["wrong"] is not None:
            raise ShapeError(f"{line!r} has a brace that is not a field's; write it twice if the paper prints one")
        else:
            kind: _Kind = next(kind for kind in _KINDS if found[kind] is not None)
            yield _Token(kind=kind, text=found.group())


def _line(line: str, allowed: frozenset[str], notation: Notation) -> LineShape:
    if len(line) > MAX_SHAPE_LETTERS:
        raise ShapeError(f"a line of a shape has at most {MAX_SHAPE_LETTERS} letters, not {len(line)}")
    tokens = _optional_spaces(line, list(_tokens(line, allowed)))
    names = [token.text for token in tokens if token.kind == "field"]
    repeated = next((name for name in names if names.count(name) > 1 and name != "text"), None)
    if repeated is not None:
        raise ShapeError(f"{line!r} has {{{repeated}}} twice; name the second one {{text}} if it is not needed")
    if sum(name in _FREE_FIELDS for name in names) > MAX_FREE_FIELDS:
        raise ShapeError(f"{line!r} has more than {MAX_FREE_FIELDS} free texts; put the printed words between them")
    if not names and not any(token.kind == "literal" for token in tokens):
        raise ShapeError("a line of a shape is empty; leave it out")
    by_position = any(token.width for token in tokens)
    parts = [
        part
        for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False)
        for part in _part(before, token, after, tokens, notation)
    ]
    columns = (
        {
            token.text: re.compile(
                _field(token.text, None, tokens, notation) if token.text not in _FREE_FIELDS else "(.*)"
            )
            for token in tokens
            if token.width
        }
        if by_position
        else None
    )
    edge = "" if by_position else r"\s*+"
    return LineShape(pattern=re.compile(f"{edge}{''.join(parts)}\\s*+"), fields=tuple(names), columns=columns)


def _optional_spaces(line: str, tokens: list[_Token]) -> list[_Token]:
    """A space before an optional part belongs to it, and behind it where it begins the line. Raises ShapeError."""
    depth = 0
    for token in tokens:
        depth += (token.kind == "open") - (token.kind == "close")
        if depth not in (0, 1):
            raise ShapeError(f"{line!r} has optional parts within one another, or a bracket without its other; ")
    if depth:
        raise ShapeError(f"{line!r} has a bracket that is not closed; write [[ if the paper prints one")
    moved = list(tokens)
    for at in range(1, len(moved)):
        if moved[at].kind == "open" and moved[at - 1].kind == "space":
            moved[at - 1], moved[at] = moved[at], moved[at - 1]
    if moved and moved[0].kind == "open":
        close = next(at for at, token in enumerate(moved) if token.kind == "close")
        if close + 1 < len(moved) and moved[close + 1].kind == "space":
            moved[close], moved[close + 1] = moved[close + 1], moved[close]
    return moved


def _part(
    before: _Token | None, token: _Token, after: _Token | None, tokens: Sequence[_Token], notation: Notation
) -> Iterator[str]:
    if token.kind == "open":
        yield "(?:"
    elif token.kind == "close":
        yield ")?"
    elif token.kind == "times":
        yield r"\s?[X×*@]\s{0,8}"
    elif token.kind == "literal":
        yield re.escape(plain(token.text))
    elif token.kind == "field":
        yield f"(.{{{token.width}}})" if token.width else _field(token.text, _next(token, tokens), tokens, notation)
    elif "times" not in (before.kind if before else "", after.kind if after else ""):
        # Beside a sign a space may be missing; beside words and fields it may be wider.
        yield r"\s*+" if _is_sign(before, -1) or _is_sign(after, 0) else r"\s++"


def _is_sign(token: _Token | None, at: int) -> bool:
    return token is not None and token.kind == "literal" and not token.text[at].isalnum()


def _next(token: _Token, tokens: Sequence[_Token]) -> _Token | None:
    """What stands behind a field, but for spaces and brackets."""
    at = next(at for at, each in enumerate(tokens) if each is token)
    return next((each for each in tokens[at + 1 :] if each.kind not in ("space", "open", "close")), None)


def _field(name: str, following: _Token | None, tokens: Sequence[_Token], notation: Notation) -> str:
    """A group for the field's value, and around it what may be printed beside the value."""
    if name in _AMOUNTS:
        return rf"(?:{CURRENCY}\s{{0,3}})?({amount_pattern(notation)})(?:\s{{0,3}}{CURRENCY})?"
    if name == "price":
        has_sign = any(token.kind == "times" for token in tokens)
        number = r"\d[\d.,'’]{0,14}" if has_sign else rf"\d[\d.'’,]{{0,14}}{_DECIMALS}"
        if notation.spaced:
            number = rf"\d{{1,3}}(?: \d{{3}}){{1,4}}{_DECIMALS}|{number}"
        return rf"(?:{CURRENCY}\s?)?({number})(?:\s?{CURRENCY})?(?:\s?/\s?[A-Z]{{1,4}})?"
    if name == "quantity":
        by_sign = following is not None and (following.kind == "times" or following.text in ("price", "amount"))
        # Some tills print it in a column of its own.
        unit = r"(?:\s{0,8}[^\W\d_]{1,4}\.?)?" if by_sign else ""
        return rf"(-?\d{{1,6}}(?:[.,]\d{{1,3}})?[-−]?{unit})"
    if name == "label":
        return rf"\(?\*?({LABEL})\*?\)?"
    if name == "rate":
        return rf"({_TEXTS['rate']})\s?%?"
    if name == "date":
        return f"({date_pattern(notation.dates)})"
    return f"({_TEXTS[name]})"
