"""GS1 Digital Link: a web address that carries GS1 application identifiers.

Owns the telling of such an address from any other, and its values. Total, and linear in the address; opens none.
A compressed link is known as one where it is about a GTIN, and not read.

Source: GS1 Digital Link Standard, URI Syntax, releases 1.2 to 1.4, section 4; Compression, release 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, unquote_plus

from drivers.scanning.element_strings import ElementStrings, Gs1Problem
from drivers.scanning.gs1_identifiers import FORM_OF, NOT_IN_QUERY, PRIMARY_KEYS, form
from loyalty.check_digit import GTIN_LENGTHS, has_valid_check_digit

LinkProblem = Literal["digital_link_wrong", "digital_link_compressed", Gs1Problem]

# A scheme in one case, a host without user, a path, and what follows `?` and `#`; of the characters of a URI.
_ADDRESS = re.compile(
    r"(?:https?|HTTPS?)://([A-Za-z0-9.:\[\]-]+)/([!$%&'()*+,\-./0-9:;=@A-Z\[\]_a-z~]*)"
    r"(?:\?([!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]*))?(#.*)?",
    re.DOTALL,
)
_PARAMETER_END = re.compile("[&;]")
# Compressed, bits go six by six into these characters: 8 for the two digits of (01), 47 for its number.
_BASE64_VALUES = {
    character: value
    for value, character in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}
_COMPRESSED = re.compile("[0-9A-Za-z_-]{10,}")
_COMPRESSED_01, _GTIN_BITS, _READ_BITS = 0x01, 47, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitalLink:
    """The values of a link by identifier, none of a compressed one. `rest` is all else that stands in the address."""

    values: dict[str, str]
    problems: tuple[LinkProblem, ...]
    rest: str


def read_link(text: str) -> DigitalLink | None:
    """The Digital Link that `text` is; None for any other text or address.

    Where the path names a thing as it should, faults behind it are problems of the link: it still is a link.
    """
    address = _ADDRESS.fullmatch(text) if text[:4] in {"http", "HTTP"} else None
    if address is None:
        return None
    host, path, query, fragment = address.groups(default="")
    segments = path.split("/")
    first = _primary_key(segments)
    if first is None:
        return _compressed(segments[-1], text)
    link = _Link()
    key, *qualifiers = segments[first::2]
    value, *others = map(unquote, segments[first + 1 :: 2])
    if not link.take(key, value):
        return None  # an address with something else where a link names its thing
    if key == "01" and len(value) == 8 and link.found.problems:
        return None  # a date
    link.take_qualifiers(key, qualifiers, others)
    link.take_query(key, qualifiers, query)
    problems: list[LinkProblem] = ["digital_link_wrong"] if link.is_wrong else []
    return DigitalLink(
        values=link.found.values,
        problems=(*problems, *link.found.problems),
        rest="\n".join([host, *segments[:first], *link.left, fragment]),
    )


class _Link:
    """What was taken of a link so far."""

    def __init__(self) -> None:
        self.found = ElementStrings()
        self.is_wrong = False
        self.left: list[str] = []

    def take(self, ai: str, value: str) -> bool:
        """Take a value, if it has the form of its identifier; a GTIN may lack its leading zeros."""
        if ai == "01" and len(value) in GTIN_LENGTHS:
            value = value.zfill(14)
        shape = form(FORM_OF[ai])
        match = shape.exact.fullmatch(value)
        if match is None or ai in self.found.values:
            self.is_wrong = True
            self.left.append(value)
            return False
        self.found.add(ai, value, match.groups(), shape)
        return True

    def take_qualifiers(self, key: str, names: Sequence[str], values: Sequence[str]) -> None:
        if names and not any(_in_order(names, choice) for choice in PRIMARY_KEYS[key]):
            self.is_wrong = True
        for name, value in zip(names, values, strict=True):
            self.take(name, value)

    def take_query(self, key: str, qualifiers: Sequence[str], query: str) -> None:
        """Take the values behind the question mark."""
        for parameter in _PARAMETER_END.split(query):
            name, equals, value = parameter.partition("=")
            if not (equals and name.isdecimal()):
                self.left.append(unquote_plus(parameter))  # anybody may add some
            elif name not in FORM_OF:
                self.is_wrong = True  # names of digits alone are kept for GS1
                self.left.append(unquote_plus(parameter))
            else:
                belongs_in_path = any(name in choice and _in_order(qualifiers, choice) for choice in PRIMARY_KEYS[key])
                self.is_wrong |= belongs_in_path or name in NOT_IN_QUERY
                self.take(name, unquote_plus(value))


def _primary_key(segments: Sequence[str]) -> int | None:
    """Where the last primary key stands that has only pairs of identifier and value behind it."""
    for index in range(len(segments) - 2, -1, -2):
        if segments[index] in PRIMARY_KEYS:
            return index
        if segments[index] not in FORM_OF:
            return None
    return None


def _in_order(names: Sequence[str], choice: Sequence[str]) -> bool:
    remaining = iter(choice)
    return all(name in remaining for name in names)


def _compressed(segment: str, text: str) -> DigitalLink | None:
    """A compressed link about a GTIN: the GTIN's own check digit tells it from any other address."""
    if _COMPRESSED.fullmatch(segment) is None:
        return None
    bits = 0
    for character in segment[: _READ_BITS // 6]:
        bits = bits << 6 | _BASE64_VALUES[character]
    number = bits >> (_READ_BITS - 8 - _GTIN_BITS) & (1 << _GTIN_BITS) - 1
    if bits >> (_READ_BITS - 8) != _COMPRESSED_01 or not has_valid_check_digit(f"{number:014}"):
        return None
    return DigitalLink(values={}, problems=("digital_link_compressed",), rest=unquote_plus(text))
