"""One transaction's XML as elements with plain names, and what their texts mean: amounts, numbers, flags, days.

Owns the parsing, with neither document types nor entities, and the limits of it. Names are without their namespace,
since vendors put the standard's elements into any. Never knows what an element is for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, TypeVar
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser
from xml.parsers.expat import ErrorString

from msgspec import Struct

from drivers.receipts.port import MalformedReceiptError
from loyalty.money import AmountError, minor_digits, to_minor

# Each element takes some hundred bytes of memory; a thousand lines have 40 tags each.
MAX_TAGS: Final = 100_000
# What repeats: names of elements, prices, quantities.
REMEMBERED: Final = 4096
# What has more letters repeats in no shop, and would be kept for long.
MAX_REMEMBERED_LETTERS: Final = 64
# Vendors add three or four; what a hostile file adds is not remembered.
MAX_PREFIXES: Final = 100
# Of most currencies, and of an amount in them that is written as most are.
CENT_DIGITS: Final = 2
PLAIN_DIGITS: Final = 14
# Of a quantity or unit price.
MAX_DECIMALS: Final = 9
# A parser keeps each name that it meets, which a hostile file has many of.
PARSER_BYTES: Final = 8 * 1024 * 1024
# Expat's code for a prefix that nothing declares.
_UNBOUND_PREFIX: Final = 27

_PREFIX: Final = re.compile(r"[<\s/]([A-Za-z_][\w.\-]{0,62}):[A-Za-z_]")
_AMOUNT: Final = re.compile(r"[-+]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})").fullmatch
_TRUE: Final = frozenset(("true", "1", "yes", "y"))


Read = TypeVar("Read")


class _Remembered(dict[str, Read]):
    """What was read of short texts. Asked for one that it does not know, it reads it."""

    def __init__(self, read: Callable[[str], Read]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> Read:
        found = self._read(text)
        if len(text) <= MAX_REMEMBERED_LETTERS:
            if len(self) >= REMEMBERED:
                self.clear()
            self[text] = found
        return found


def remembered(read: Callable[[str], Read]) -> Callable[[str], Read]:
    """The same function, which reads a text that repeats once, and keeps `REMEMBERED` of them at most."""
    return _Remembered(read).__getitem__


class TransactionParser:
    """Parses transactions one after another, as if each stood alone.

    Holds the prefixes that are declared around them, as far as they are known, and one parser of the XML for all that
    are well-formed: to make one takes as long as to read ten tags.
    """

    def __init__(self) -> None:
        self._prefixes: frozenset[str] = frozenset()
        self._begin()

    def parsed(self, xml: bytes) -> Element:
        """The element that `xml`, in UTF-8, is, with plain names.

        Raises MalformedReceiptError (`bad_xml`, `too_large`).
        """
        if xml.count(b"<") > MAX_TAGS:
            raise MalformedReceiptError("too_large", f"a transaction of more than {MAX_TAGS} tags; export fewer lines")
        if b"\r" not in xml:
            # Texts are read with single blanks; the parser makes a text of its own of each line between tags.
            xml = xml.replace(b"\n", b" ")
        element = self._next(xml)
        if element is None:
            self._begin()
            element = self._alone(xml)
        # Most files declare one namespace, around all transactions: what is cut out of it has plain names.
        return _plain(element) if self._prefixes or b"xml" in xml else element

    def _begin(self) -> None:
        """Take a new parser, for what is parsed from here on."""
        builder = TreeBuilder()
        root = builder.start("a", {})
        self._parser = _parser(self._prefixes, builder)
        self._around: Element = root[0]
        self._parsed_bytes = 0

    def _next(self, xml: bytes) -> Element | None:
        """The element that `xml` is, by the parser that has read the ones before; None where it is not well-formed."""
        around = self._around
        self._parsed_bytes += len(xml)
        if self._parsed_bytes > PARSER_BYTES:
            return None
        try:
            self._parser.feed(xml)
            # Comes to stand beside the transaction, if that is whole.
            self._parser.feed("<a/>")
        except ParseError:
            return None
        if len(around) != 2:
            return None
        element = around[0]
        around.clear()
        return element

    def _alone(self, xml: bytes) -> Element:
        try:
            return _parsed(xml, self._prefixes)
        except ParseError as error:
            if error.code != _UNBOUND_PREFIX:
                raise _malformed(error) from error
        # Declared on an element around it, from which it was cut; what the namespace is does not matter.
        needed = self._prefixes.union(_PREFIX.findall(xml.decode())) - {"xml", "xmlns"}
        try:
            element = _parsed(xml, needed)
        except ParseError as error:
            raise _malformed(error) from error
        if len(needed) <= MAX_PREFIXES:
            self._prefixes = needed
            self._begin()
        return _plain(element)


def _parser(prefixes: Iterable[str], builder: TreeBuilder) -> XMLParser:
    """A parser within an element that declares these prefixes."""
    parser = XMLParser(target=builder)  # noqa: S314 - a transaction has no document type: no entities to expand
    parser.feed("<a" + "".join(f' xmlns:{prefix}="{prefix}"' for prefix in prefixes) + ">")
    return parser


def _parsed(xml: bytes, prefixes: Iterable[str]) -> Element:
    parser = _parser(prefixes, TreeBuilder())
    parser.feed(xml)
    parser.feed("</a>")
    around: Element = parser.close()
    return around[0]


def _plain(root: Element) -> Element:
    for element in root.iter():
        if element.tag[0] == "{":
            element.tag = plain(element.tag)
        for name, value in element.items():
            if name[0] == "{":
                element.set(plain(name), value)
    return root


def _malformed(error: ParseError) -> MalformedReceiptError:
    return MalformedReceiptError(
        "bad_xml", f"not well-formed XML ({ErrorString(error.code)}); correct it at the sender"
    )


@remembered
def plain(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]


def children(element: Element) -> dict[str, Element]:
    """The first child of each name."""
    # The first comes last, and stays.
    return {child.tag: child for child in reversed(element)}


def each(element: Element, names: Container[str]) -> list[Element]:
    """The children that have one of these names, in order."""
    return [child for child in element if child.tag in names]


def text_of(element: Element | None) -> str:
    """Its text in single spaces; empty where there is none."""
    return "" if element is None or not (text := element.text) else " ".join(text.split())


def text_in(parts: dict[str, Element], *names: str) -> str:
    """The text of the first of these children that has one; most lines have few of all that the standard names."""
    for name in names:
        if name in parts and (text := text_of(parts[name])):
            return text
    return ""


def innermost(element: Element | None, *names: str) -> Element | None:
    """The child of one of these names, into which some put what others write at once; else the element itself."""
    if element is not None and len(element):
        for name in names:
            if (child := element.find(name)) is not None:
                return child
    return element


def attribute(element: Element | None, name: str) -> str:
    """The attribute with this name, trimmed; empty where there is none."""
    return element.get(name, "").strip() if element is not None else ""


def is_flagged(element: Element, parts: Iterable[str], names: frozenset[str]) -> bool:
    """Whether one of these flags is set, as an attribute or, as some write it, as a child: `parts` are those there."""
    if names.isdisjoint(parts) and names.isdisjoint(element.keys()):
        return False
    for name in names:
        value = element.get(name) or element.findtext(name)
        if value and value.strip().lower() in _TRUE:
            return True
    return False


def amount_in(element: Element | None, currency: str) -> int | None:
    """The amount that an element's text is, as `amount_of` reads it; None where it has no text."""
    if element is None or not (text := element.text):
        return None
    whole, _, cents = text.rpartition(".")
    # As most are written: `12.50`.
    if len(cents) == CENT_DIGITS and whole and (digits := whole + cents).isdecimal() and len(digits) <= PLAIN_DIGITS:
        return int(digits) if minor_digits(currency) == CENT_DIGITS else amount_of(text, currency)
    text = " ".join(text.split())
    return amount_of(text, currency) if text else None


def amount_of(text: str, currency: str) -> int:
    """Minor units of a decimal in major units, rounded half away from zero. Raises MalformedReceiptError."""
    number = number_of(text).exact
    unit = Decimal(1).scaleb(-minor_digits(currency))
    try:
        return to_minor(str(number.quantize(unit, ROUND_HALF_UP)), currency)
    except AmountError as error:
        raise MalformedReceiptError("bad_amount", f"{error}; correct it at the sender") from error


class Number(Struct, frozen=True, eq=False, gc=False):
    """A quantity, a price or a rate: as given, and as the contract writes it, with nine decimals at most.

    `unsigned` is the same text without its sign.
    """

    exact: Decimal
    text: str
    unsigned: str
    is_negative: bool


def number_in(element: Element | None) -> Number | None:
    """The number that an element's text is; None where it has no text. Raises MalformedReceiptError."""
    text = element.text if element is not None else None
    return _number_told(text) if text else None


@remembered
def _number_told(text: str) -> Number | None:
    text = " ".join(text.split())
    return number_of(text) if text else None


@remembered
def number_of(text: str) -> Number:
    """A decimal as XML writes it. Raises MalformedReceiptError."""
    if _AMOUNT(text) is None:
        raise MalformedReceiptError("bad_amount", f"{text[:40]!r} is no amount; correct it at the sender")
    return numbered(Decimal(text))


def numbered(exact: Decimal) -> Number:
    """A number that was computed."""
    text = f"{exact:f}"
    if "." in text[: -MAX_DECIMALS - 1]:
        text = f"{exact.quantize(Decimal(1).scaleb(-MAX_DECIMALS), ROUND_HALF_UP):f}"
    return Number(exact, text, text.removeprefix("-"), exact < 0)
