"""What a Serbian journal says was sold: names over any number of lines, and under each its price, quantity and amount.

Owns units, tax labels and the discount that a line hides. Never adds lines up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from drivers.receipts.journal_rows import AMOUNT, MAX_PAPER_LETTERS, Row, joined
from drivers.receipts.port import MalformedReceiptError
from drivers.receipts.wording import (
    WORDS_REMEMBERED,
    amount_minor,
    article_number,
    compact,
    decimal_text,
    line_kind,
)
from loyalty.money import line_product_minor
from loyalty.receipt import Line, LineKind

CURRENCY: Final = "RSD"
# Names of items have up to 2048 letters by the tax authority's rules; on 20 columns that is 103 lines.
MAX_NAME_LINES: Final = 104

# A price of less than a para has four decimals and more: three would be thousands.
_PRICE: Final = rf"{AMOUNT}(?:\d{{2,4}})?"
_AMOUNTS: Final = re.compile(rf"\s*({_PRICE})\s+([-−]?\s?\d[\d.,]{{0,14}})\s+({AMOUNT})\s*")
ONLY_AMOUNTS: Final = re.compile(r"[\s\d.,−-]+")
# A gap of more blanks says no more than one of two.
_GAP: Final = re.compile(r"\s{3,}")
_TAX_LABELS: Final = re.compile(r"\(\s*(\w(?:\s*[,;/ ]\s*\w)*)\s*\)$")
_LABEL: Final = re.compile(r"\w")
_UNIT: Final = re.compile(r"[^\s/\\()]{1,10}").fullmatch
_UNIT_IN_PARENTHESES: Final = re.compile(r"\s*\(\s*([^\s()]{1,10})\s*\)$")
_UNIT_AFTER_SPACE: Final = re.compile(r"(.*\S)(\s+)([^\s()]{1,10})$", re.DOTALL)
_SIZES: Final = frozenset(("XXS", "XS", "S", "M", "L", "XL", "XXL", "XXXL", "2XL", "3XL"))
_PACK: Final = re.compile(r"\d+/\d+")
# Nothing else than units in any name's last word.
_SURE_UNITS: Final = frozenset(
    (
        "KOM", "KO", "KMD", "KOMAD", "KOMADA", "PCS", "PC", "PCE", "KG", "KGR", "GR", "DAG", "DKG", "LI", "LIT", "LTR",
        "L", "G", "M", "T", "H", "DL", "CL", "ML", "M1", "M2", "M3", "CM", "MM", "KM", "MET", "PAK", "PKT", "KUT", "FL",
        "USL", "POR", "ROL", "KPL", "KMP", "KWH", "KVH", "GAR", "EA",
    )
)  # fmt: skip
# Nouns that goods are called by as well: a wall clock is a `SAT`.
_UNITS: Final = _SURE_UNITS | frozenset(
    (
        "AR", "BALON", "BOCA", "BOX", "BURE", "CASA", "DAN", "DANA", "DOZA", "DZAK", "FLASA", "GAJBA",
        "GARNITURA", "GLAVICA", "GOD", "GODINA", "GRAM", "HA", "HR", "KANTA", "KART", "KARTON", "KES", "KESA",
        "KESICA", "KOMP", "KOMPL", "KOMPLET", "KRISKA", "KUGLA", "KUTIJA", "LIM", "LIMENKA", "LIST", "LITAR",
        "LITRA", "MES", "MESEC", "METAR", "MIN", "MINUT", "MWH", "NOC", "NOCENJE", "OSOB", "OSOBA", "PAKET",
        "PAKO", "PAKOVANJE", "PALETA", "PAR", "PARCE", "PORCIJA", "PUT", "ROLNA", "SAT", "SATI", "SET", "SNOP",
        "SOLJA", "SOLJICA", "TABLA", "TEGLA", "TOM", "TONA", "TUBA", "TURA", "USLUGA", "VEZA", "VRECA",
    )
)  # fmt: skip


class _Amounts(Struct, frozen=True, kw_only=True, gc=False):
    """The line under a name. A discount is what quantity × price is more than the amount."""

    quantity: str
    unit_price: str
    amount_minor: int
    discount_minor: int
    is_fraction: bool


class Article(Struct, frozen=True, kw_only=True, gc=False):
    """What the text of an item says of the article."""

    name: str
    unit: str | UnsetType
    labels: tuple[str, ...]
    kind: LineKind
    gtin: str | UnsetType


def lines_of(rows: Sequence[Row], width: int, *, is_return: bool) -> tuple[Line, ...]:
    """The lines between the columns' heading and the total. Raises MalformedReceiptError and AmountError."""
    lines: list[Line] = []
    name: list[Row] = []
    for row in rows:
        amounts = _amounts(row.text)
        if amounts is None and name and ONLY_AMOUNTS.fullmatch(row.text):
            # Amounts beyond the paper's edge went on; but for the first of an item, whose name is above.
            amounts = _amounts(name[-1].text + row.text) if len(name) > 1 else None
            name = name[:-1] if amounts is not None else name
        if amounts is not None:
            lines.append(_line(len(lines) + 1, joined(name, width), amounts))
            name = []
        elif row.mark != "rule" and row.text.strip():
            name.append(row)
            if len(name) > MAX_NAME_LINES:
                break
    if name:
        raise MalformedReceiptError("torn", "an item has no amounts; the journal is damaged, print it again")
    return _given_back(lines) if is_return else tuple(lines)


def _line(position: int, text: str, amounts: _Amounts) -> Line:
    article = article_of(text, amounts.is_fraction)
    return Line(
        position=position,
        kind=article.kind,
        description=article.name or UNSET,
        gtin=article.gtin,
        quantity=amounts.quantity,
        unit=article.unit,
        unit_price=amounts.unit_price,
        discount_minor=amounts.discount_minor,
        amount_minor=amounts.amount_minor,
        tax_labels=article.labels,
    )


@lru_cache(maxsize=WORDS_REMEMBERED)
def _amounts(text: str) -> _Amounts | None:
    """Price, quantity and amount; None for any other line."""
    match = _AMOUNTS.fullmatch(text)
    if match is None:
        return None
    price, printed, amount = match.groups()
    amount_in_minor, unit_price = amount_minor(amount, CURRENCY), decimal_text(price)
    quantity = _quantity(printed, price, unit_price, amount_in_minor)
    if amount_in_minor < 0 and not quantity.startswith("-") and not unit_price.startswith("-"):
        quantity = f"-{quantity}"
    # Most lines are one piece at its price.
    is_plain = printed == "1" and price == amount
    return _Amounts(
        quantity=quantity,
        unit_price=unit_price,
        amount_minor=amount_in_minor,
        discount_minor=0 if is_plain else _hidden_discount(quantity, unit_price, amount_in_minor),
        is_fraction="." in quantity and Decimal(quantity) % 1 != 0,
    )


def _quantity(printed: str, price: str, unit_price: str, amount: int) -> str:
    """A quantity's decimal mark is the price's, unless only the other makes the amount."""
    if printed.isascii() and printed.isdecimal():
        return printed
    bare = printed.rstrip(".,")
    thousands = "." if price.rfind(",") > price.rfind(".") else ","
    usual = decimal_text(bare.replace(thousands, ""))
    if bare.count(thousands) != 1 or len(bare.replace(thousands, "")) != len(bare) - 1:
        return usual
    other = decimal_text(bare.replace(thousands, "."))
    products = [abs(line_product_minor(each, unit_price, CURRENCY)) for each in (usual, other)]
    return other if products[0] != abs(amount) and abs(products[1] - abs(amount)) <= 1 else usual


def _hidden_discount(quantity: str, unit_price: str, amount: int) -> int:
    """quantity × unit price − amount, where that is more than the rounding of printed prices can make."""
    hidden = line_product_minor(quantity, unit_price, CURRENCY) - amount
    is_discount = hidden > 0 if amount >= 0 else hidden < 0
    return hidden if is_discount and abs(hidden) > (1 + abs(Decimal(quantity))) / 2 else 0


def _given_back(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Lines of a refund, most of which are printed with a minus; the contract wants one in any case."""
    if sum([line.amount_minor for line in lines]) > 0:
        return tuple([_turned(line) for line in lines])
    # Where nothing was paid, nothing shows the sign.
    return tuple([line if line.amount_minor or line.quantity == "0" else _turned(line) for line in lines])


def _turned(line: Line) -> Line:
    quantity = line.quantity or ""
    quantity = quantity.removeprefix("-") if quantity.startswith("-") else f"-{quantity}"
    return replace(line, quantity=quantity, discount_minor=-line.discount_minor, amount_minor=-line.amount_minor)


def article_of(text: str, is_fraction: bool) -> Article:
    """What an item's text says; a shop sells the same all day."""
    return _known_article(text, is_fraction) if len(text) <= MAX_PAPER_LETTERS else _read_article(text, is_fraction)


def _read_article(text: str, is_fraction: bool) -> Article:
    labels: tuple[str, ...] = ()
    text = text.strip()
    if "   " in text or not text.isprintable():
        text = _GAP.sub("  ", text)
    match = _TAX_LABELS.match(text, text.rfind("(")) if text.endswith(")") and "(" in text else None
    if match is not None:
        labels = tuple(_LABEL.findall(match[1]))
        text = text[: match.start()]
    name, unit = _without_unit(text.rstrip(), is_fraction=is_fraction)
    name = " ".join(name.split())
    return Article(
        name=name, unit=unit or UNSET, labels=labels, kind=line_kind(name), gtin=article_number(name) or UNSET
    )


_known_article: Final = lru_cache(maxsize=WORDS_REMEMBERED)(_read_article)


def _without_unit(text: str, *, is_fraction: bool) -> tuple[str, str]:
    slash_at = max(text.rfind("/"), text.rfind("\\"))
    name, unit = text[: max(slash_at, 0)].rstrip(), text[slash_at + 1 :].lstrip()
    # `S/M` is a shirt's size.
    is_size = len(unit) == 1 and not is_fraction and compact(name.rpartition(" ")[2]) in _SIZES
    if name and not is_size and _UNIT(unit) is not None and compact(unit) in _UNITS:
        return name, unit.rstrip(".")
    match = _UNIT_IN_PARENTHESES.search(text) if text.endswith(")") else None
    # (M) and (L) are sizes of clothes as often as units; only a fraction of one tells.
    if match is not None and match.start() and compact(match[1]) in _UNITS and (len(match[1]) > 1 or is_fraction):
        return text[: match.start()], match[1].rstrip(".")
    match = _UNIT_AFTER_SPACE.fullmatch(text)
    if match is None:
        return text, ""
    name, gap, unit = match.groups()
    word = compact(unit)
    if len(gap) > 1:
        return (name, unit.rstrip(".")) if word in _UNITS else (text, "")
    # `0.5 L` and `6 KOM` are the contents of a pack, and a single letter is a size.
    is_content = name[-1].isdigit() and not _PACK.fullmatch(name.rpartition(" ")[2])
    if word not in _SURE_UNITS or is_content or (len(unit) == 1 and not is_fraction):
        return text, ""
    return name, unit.rstrip(".")
