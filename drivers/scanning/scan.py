"""What one scan is: its symbology, its text, its GS1 fields, and the code it identifies.

Owns the reading of AIM identifiers and GS1 element strings, and what is kept of a scan: no control
character but the GS1 separator, no payment card number. Total: any text or bytes give a `Scan`. Never
looks a code up, and never acts on one.

Sources: ISO/IEC 15424 (symbology identifiers), GS1 General Specifications sections 3, 5.1.2 and 7.8.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from drivers.scanning.check_digit import has_valid_check_digit, shortest_gtin
from drivers.scanning.framing import MAX_FRAME_BYTES
from drivers.scanning.pan import first_pan, masked
from loyalty.identification import IdentificationRule, MemberKind, claimed, normal_code

MAX_TEXT_CHARS = MAX_FRAME_BYTES
# Longer than any card number, wallet code or GSRN; what is longer is data, not a name.
MAX_CODE_CHARS = 64
# The most that any GS1 carrier of retail holds (composite CC-C); real messages have 20 to 120.
MAX_GS1_CHARS = 2361

SEPARATOR = "\x1d"
"""FNC1 inside a GS1 message, as scanners send it (ASCII GS)."""

ScanProblem = Literal[
    "too_long",  # cut to MAX_TEXT_CHARS; identifies nothing
    "control_characters_removed",  # control, formatting, bidirectional and unassigned characters
    "encoding_guessed",  # not UTF-8; read as ISO 8859-1
    "payment_card",  # cut to the first six and last four digits; identifies nothing
    "check_digit_wrong",
    "length_wrong",  # not a length that the symbology has
    "gs1_unparsable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedIdentifier:
    """The code a scan stands for: a member's, in normal form, or with kind `gtin` a product's.

    `rule` names the identification rule that said so; empty where none did, and a member code is then a guess.
    """

    kind: MemberKind | Literal["gtin"]
    code: str
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberCode:
    """A member's code in normal form. `claimed` by a rule; else it is a guess."""

    kind: MemberKind
    code: str
    claimed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan. `text` is without the AIM identifier `aim`, which is empty where the scanner sent none.

    `gs1` maps application identifiers to values. Without an `identifier` the scan names nobody and nothing.
    """

    symbology: str
    aim: str = ""
    text: str
    gs1: dict[str, str] | None = None
    identifier: ScannedIdentifier | None = None
    problems: tuple[ScanProblem, ...] = ()

    @property
    def member(self) -> MemberCode | None:
        """The member code it carries; None for goods."""
        found = self.identifier
        if found is None or found.kind == "gtin":
            return None
        return MemberCode(kind=found.kind, code=found.code, claimed=bool(found.rule))

    def document(self) -> dict[str, object]:
        """The JSON of the published contract; absent facts are absent keys."""
        identifier: dict[str, object] | None = None
        if self.identifier is not None:
            identifier = {"kind": self.identifier.kind, "code": self.identifier.code}
            if self.identifier.rule:
                identifier["rule"] = self.identifier.rule
        document: dict[str, object] = {"symbology": self.symbology}
        if self.aim:
            document["aim"] = self.aim
        document["text"] = self.text
        if self.gs1 is not None:
            document["gs1"] = self.gs1
        return document | {"identifier": identifier, "problems": list(self.problems)}


Parse = Callable[[bytes | str], Scan]
"""How a driver makes a scan of what it heard: `parse_scan` with the rules in force."""


_AIM = re.compile(r"\][A-Za-z][0-9A-Za-z]")
# By code character, then by the whole identifier where its modifier makes it another symbology.
_FAMILIES = {
    "A": "code39",
    "B": "telepen",
    "C": "code128",
    "D": "code-one",
    "E": "ean-upc",
    "F": "codabar",
    "G": "code93",
    "H": "code11",
    "I": "itf",
    "J": "dotcode",
    "K": "code16k",
    "L": "pdf417",
    "M": "msi",
    "N": "anker",
    "O": "codablock",
    "P": "plessey",
    "Q": "qr",
    "R": "straight-2of5",
    "S": "straight-2of5",
    "T": "code49",
    "U": "maxicode",
    "X": "unknown",
    "Z": "unknown",
    "c": "channel-code",
    "d": "datamatrix",
    "e": "databar",
    "h": "han-xin",
    "o": "ocr",
    "p": "posicode",
    "s": "supercode",
    "z": "aztec",
}
_SYMBOLOGIES = {
    "]C1": "gs1-128",
    "]E0": "ean13",
    "]E3": "ean13",
    "]E4": "ean8",
    "]J1": "gs1-dotcode",
    "]Q3": "gs1-qr",
    "]d2": "gs1-datamatrix",
}
_GS1_AIMS = {"]C1", "]J1", "]Q3", "]d2", "]e0", "]e1", "]e2", "]e3"}
# Of each length that a goods symbology transmits, how many digits are the GTIN; the rest is an add-on.
_GTIN_DIGITS = {
    "]E0": {12: 12, 13: 13},
    "]E3": {14: 12, 15: 13, 17: 12, 18: 13},
    "]E4": {8: 8},
    "]I0": {14: 14},
    "]I1": {14: 14},
    "": {8: 8, 12: 12, 13: 13},  # without an AIM identifier a right check digit is the only sign
}
_SYMBOLOGY_OF_GTIN = {8: "ean8", 12: "upca", 13: "ean13", 14: "itf"}
_WRITTEN_SEPARATOR = re.compile(r"<GS>|\{GS\}|\^\]")
_LEADING_GTIN = re.compile(r"01([0-9]{14})")
# GTIN (01) and service relation number (8018), GS1's own kind of member number.
_GTIN_AI, _MEMBER_AI = "01", "8018"
# Keys that GS1 itself issues (SSCC, GTINs, service relations): long numbers, never a payment card's.
_KEY_AIS = {"00", "01", "02", "8017", "8018"}
# The characters of Code 39, which older cards carry, and those of wallet codes.
_CODE = re.compile(r"[A-Z0-9][A-Z0-9._:/+$%]*")
_REMOVED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def parse_scan(raw: bytes | str, rules: Sequence[IdentificationRule] = ()) -> Scan:
    """The scan that `raw` is: one frame, without the scanner's own prefix and suffix.

    What one of `rules` claims is this shop's member code, even where goods (an EAN-13 that starts with 2) or
    payment cards look the same.
    """
    problems: list[ScanProblem] = []
    aim, text = _split_aim(_cleaned(_decoded(raw, problems), problems))
    gtin = _gtin(aim, text)
    symbology = _SYMBOLOGY_OF_GTIN[len(gtin)] if gtin is not None else _symbology(aim)
    claim = claimed(rules, symbology=symbology, text=text, gs1=None)
    if claim is not None and claim.rule.kind != "goods":
        identifier = ScannedIdentifier(kind=claim.rule.kind, code=claim.code, rule=claim.rule.name)
        return _scan(aim, text, identifier, problems, symbology=symbology)
    if gtin is not None:
        identifier = ScannedIdentifier(kind="gtin", code=shortest_gtin(gtin))
        return _scan(aim, text, identifier, problems, symbology=symbology)
    if (pan := first_pan(text)) is not None:
        return _refused_card(aim, pan, problems)
    if "too_long" in problems:
        return _scan(aim, text, None, problems)
    if aim in _GS1_AIMS or (not aim and _looks_like_gs1(text)):
        return _gs1_scan(aim, text, problems)
    if aim.startswith("]E"):
        problems.append(_what_is_wrong(aim, text))
        return _scan(aim, text, None, problems)
    return _scan(aim, text, _card(text), problems)


def _scan(
    aim: str,
    text: str,
    identifier: ScannedIdentifier | None,
    problems: list[ScanProblem],
    *,
    symbology: str | None = None,
    gs1: dict[str, str] | None = None,
) -> Scan:
    return Scan(
        symbology=symbology or _symbology(aim),
        aim=aim,
        text=text,
        gs1=gs1,
        identifier=identifier,
        problems=tuple(problems),
    )


def _symbology(aim: str) -> str:
    return _SYMBOLOGIES.get(aim) or _FAMILIES.get(aim[1:2], "unknown")


def _decoded(raw: bytes | str, problems: list[ScanProblem]) -> str:
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError:
        problems.append("encoding_guessed")
        return raw.decode("iso-8859-1")


def _cleaned(text: str, problems: list[ScanProblem]) -> str:
    """`text` cut to its limit, without the line ends around it and without what could act on a terminal or page."""
    text = text.strip(" \t\r\n")
    if len(text) > MAX_TEXT_CHARS:
        problems.append("too_long")
        text = text[:MAX_TEXT_CHARS]
    if text.isascii() and text.isprintable():
        return text
    kept = "".join(
        character
        for character in text
        if character == SEPARATOR or unicodedata.category(character) not in _REMOVED_CATEGORIES
    )
    if kept != text:
        problems.append("control_characters_removed")
    return kept


def _split_aim(text: str) -> tuple[str, str]:
    match = _AIM.match(text)
    if match is None or match[0][1] not in _FAMILIES:
        return "", text
    return match[0], text[match.end() :]


def _gtin(aim: str, text: str) -> str | None:
    """The digits of the GTIN, where the symbology carries one and its check digit is right."""
    digits = _GTIN_DIGITS.get(aim, {}).get(len(text))
    if digits is None or not _is_digits(text) or not has_valid_check_digit(text[:digits]):
        return None
    return text[:digits]


def _what_is_wrong(aim: str, text: str) -> ScanProblem:
    """Why an EAN or UPC scan holds no GTIN."""
    if _is_digits(text) and len(text) in _GTIN_DIGITS.get(aim, {}):
        return "check_digit_wrong"
    return "length_wrong"


def _card(text: str) -> ScannedIdentifier | None:
    """A member code, if `text` can be one: links, sentences and data are not."""
    code = normal_code(text)
    if SEPARATOR in text or len(code) > MAX_CODE_CHARS or "://" in code or not _CODE.fullmatch(code):
        return None
    return ScannedIdentifier(kind="card", code=code)


def _refused_card(aim: str, pan: str, problems: list[ScanProblem]) -> Scan:
    """Of a payment card, and of all that was scanned with it, only the ends of the number stay."""
    return _scan(aim, masked(pan), None, [*problems, "payment_card"])


def _looks_like_gs1(text: str) -> bool:
    if SEPARATOR in text or _WRITTEN_SEPARATOR.search(text):
        return True
    leading = _LEADING_GTIN.match(text)
    return leading is not None and has_valid_check_digit(leading[1])


def _gs1_scan(aim: str, text: str, problems: list[ScanProblem]) -> Scan:
    message = _WRITTEN_SEPARATOR.sub(SEPARATOR, text).strip(SEPARATOR)
    elements = _element_strings(message)
    if elements is None:
        if aim:
            return _scan(aim, message, None, [*problems, "gs1_unparsable"])
        return _scan(aim, text, _card(text), problems)
    free = "\n".join(value for ai, value in elements.items() if ai not in _KEY_AIS)
    if (pan := first_pan(free)) is not None:
        return _refused_card(aim, pan, problems)
    identifier = None
    for ai in (_MEMBER_AI, _GTIN_AI):
        if ai not in elements:
            continue
        if not has_valid_check_digit(elements[ai]):
            problems.append("check_digit_wrong")
        elif ai == _GTIN_AI:
            identifier = ScannedIdentifier(kind="gtin", code=shortest_gtin(elements[ai]))
        else:
            identifier = ScannedIdentifier(kind="card", code=elements[ai])
    return _scan(aim, message, identifier, problems, gs1=elements)


def _element_strings(message: str) -> dict[str, str] | None:
    """Values by application identifier (the first, where one is repeated); None if it is no GS1 message."""
    if not message.isascii() or len(message) > MAX_GS1_CHARS:
        return None
    # 120 ms and 14 MB, which a register that never sees a GS1 message need not spend.
    from biip import ParseConfig, ParseError  # noqa: PLC0415
    from biip.gs1_messages import GS1Message  # noqa: PLC0415

    try:
        # Shops print dates such as 000000; a product stays a product.
        parsed = GS1Message.parse(message, config=ParseConfig(gs1_element_strings_verify_date=False))
    except ParseError:
        return None
    elements: dict[str, str] = {}
    for element in parsed.element_strings:
        elements.setdefault(element.ai.ai, element.value)
    return elements or None


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()
