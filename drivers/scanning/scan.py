"""What one scan is: its symbology, its text, its GS1 fields, and the code it identifies.

Owns what is kept of a scan (no control character but the GS1 separator, no payment card number), and who has the
last word on a code: this shop's rules, then goods, and a guess only after them. Total: any text or bytes give a
`Scan`. Never looks a code up, and never acts on one.

Sources: ISO/IEC 15424 (symbology identifiers), GS1 General Specifications sections 2, 5 and 7.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal
from urllib.parse import unquote_plus

from drivers.scanning.aim import ECI_IDENTIFIERS, FNC1_LEFT_OUT, GS1_IDENTIFIERS, split_identifier, symbology_of
from drivers.scanning.composite import with_linear
from drivers.scanning.digital_link import LinkProblem, read_link
from drivers.scanning.element_strings import (
    SEPARATOR,
    element_strings,
    has_separator,
    message_in_brackets,
    with_separators,
)
from drivers.scanning.framing import MAX_FRAME_BYTES
from drivers.scanning.goods import goods_in, what_is_wrong
from drivers.scanning.gs1_identifiers import CHECKED_DIGITS
from drivers.scanning.magstripe import SwipeProblem, read_swipe
from loyalty.check_digit import has_valid_check_digit, shortest_gtin
from loyalty.identification import (
    MAX_CODE_CHARS,
    Claim,
    IdentificationRule,
    MemberKind,
    claimed,
    normal_code,
    owns_number,
)
from loyalty.pan import first_pan, masked, nobodys

MAX_TEXT_CHARS = MAX_FRAME_BYTES
# The most that any GS1 carrier of retail holds (composite CC-C); real messages have 20 to 120.
MAX_GS1_CHARS = 2361

ScanProblem = Literal[
    "empty", "too_long", "control_characters_removed", "encoding_guessed", "length_wrong", LinkProblem, SwipeProblem
]
"""What was wrong with a scan; `docs/scans.md` says what to do about each."""


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
    """A member's code in normal form, and how it came in. `claimed` by a rule; else it is a guess."""

    kind: MemberKind
    code: str
    claimed: bool
    entry: Literal["scanned", "swiped", "typed"] = "scanned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One scan. `text` is without the AIM identifier `aim`, which is empty where the scanner sent none.

    `gs1` maps application identifiers to values. Without an `identifier` the scan names nobody and nothing;
    `misread` says that it would have named a member but for its check digit.
    """

    symbology: str
    aim: str = ""
    text: str
    gs1: dict[str, str] | None = None
    identifier: ScannedIdentifier | None = None
    problems: tuple[ScanProblem, ...] = ()
    misread: bool = False

    @property
    def member(self) -> MemberCode | None:
        """The member code it carries; None for goods."""
        found = self.identifier
        if found is None or found.kind == "gtin":
            return None
        entry: Literal["scanned", "swiped", "typed"] = _ENTRIES.get(self.symbology, "scanned")
        return MemberCode(kind=found.kind, code=found.code, claimed=bool(found.rule), entry=entry)

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


def typed_scan(kind: MemberKind, code: str) -> Scan:
    """What stands for a member's code that a person typed, and that was found to be one."""
    return Scan(symbology=_TYPED, text="", identifier=ScannedIdentifier(kind=kind, code=code, rule=_TYPED))


Parse = Callable[[bytes | str], Scan]
"""How a driver makes a scan of what it heard: `parse_scan` with the rules in force."""

# Element strings that begin a message and prove themselves, for scanners that send no symbology identifier: a GTIN,
# an SSCC, a service relation number.
_PROVEN_START = re.compile(r"(?:01(?=[0-9]{14})|00(?=[0-9]{18})|8018(?=[0-9]{18}))")
# GS1's own kind of member number, the service relation number of a recipient; and where goods are named. An ITIP
# (8006) is a GTIN and the number of a piece.
_MEMBER_AI, _GOODS_AIS = "8018", ("01", "03", "8006")
_GTIN_DIGITS = 14
_MAGSTRIPE, _TYPED = "magstripe", "typed"
_ENTRIES: dict[str, Literal["swiped", "typed"]] = {_MAGSTRIPE: "swiped", _TYPED: "typed"}
_ECI = re.compile(r"\\(?:(\\)|[0-9]{6})")
# Where the second message of a composite symbol begins. Before it stand line ends, the bar of GS1's own notation,
# or nothing.
_SECOND_MESSAGE = re.compile(r"\]e[0-3]")
# The characters of Code 39, which older cards carry, and those of wallet codes.
_CODE = re.compile(r"[A-Z0-9][A-Z0-9._:/+$%]*")
# What looks like a code and is none: contents that phones act on, web addresses without a scheme, and digits in
# groups (dates, telephone numbers).
_NO_CODE = re.compile(
    r"(?:BEGIN|BITCOIN|BIZCARD|DATA|DPP|FACETIME|FILE|FTP|GEO|HTTPS?|JAVASCRIPT|LPA|MAILTO|MARKET|MATMSG|MECARD|MMS"
    r"|MMSTO|OTPAUTH|SIPS?|SKYPE|SMS|SMSTO|SMTP|TEL|URL|URLTO|URN|VIBER|WHATSAPP|WIFI)(?::|%3A).*"
    r"|WWW\..*|[^/:]+\.[A-Z]{2,}(?:[:/].*)?|[0-9]+(?:[./][0-9]+)+"
)
# What readers send around a code or a swipe: blanks, line ends, and STX and ETX.
_AROUND = " \t\r\n\x02\x03"
_REMOVED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What a text is, before any rule is asked.

    `gtin` are the digits of goods, `gsrn` those of a member whom GS1 numbers. `guess` is text that may be a member's
    code. `free` is all that a payment card number may hide in.
    """

    symbology: str
    text: str
    gs1: dict[str, str] | None = None
    gtin: str = ""
    gsrn: str = ""
    guess: str = ""
    free: str = ""
    problems: tuple[ScanProblem, ...] = ()


def parse_scan(raw: bytes | str, rules: Sequence[IdentificationRule] = ()) -> Scan:
    """The scan that `raw` is: one frame, without the scanner's own prefix and suffix.

    What one of `rules` claims is this shop's member code, even where goods (an EAN-13 that starts with 2) look the
    same; and payment cards, where the rule fixes the number's first digits.
    """
    problems: list[ScanProblem] = []
    text = _decoded(raw, problems).strip(_AROUND)
    if "]e" in text and (composite := _composite(text, rules, problems)) is not None:
        return composite
    return _parsed(text, rules, problems)


def _parsed(text: str, rules: Sequence[IdentificationRule], faults: Sequence[ScanProblem]) -> Scan:
    """The scan of one message, found with `faults`."""
    problems = list(faults)
    if text[:1] in {"%", ";", "+"} and (swipe := _swiped(text, rules, problems)) is not None:
        return swipe
    aim, body = split_identifier(_cleaned(text, problems))
    if "too_long" in problems:
        reading = _Reading(symbology=symbology_of(aim), text=body, free=body)
    else:
        reading = _read(aim, body)
    return _judged(aim, reading, rules, problems)


def _composite(text: str, rules: Sequence[IdentificationRule], faults: Sequence[ScanProblem]) -> Scan | None:
    """The scan of a linear message of goods and what stands above it; None if `text` holds no two such messages."""
    second = _SECOND_MESSAGE.search(text, 1)
    if second is None:
        return None
    linear = _parsed(text[: second.start()].strip(_AROUND + "|"), rules, faults)
    component = _parsed(text[second.start() :], rules, faults)
    for message in (linear, component):
        if "payment_card" in message.problems:
            return message
    goods = linear.identifier
    if goods is None or goods.kind != "gtin":
        return None
    joined = with_linear(component, linear)
    return replace(
        joined,
        symbology=linear.symbology,
        aim=linear.aim,
        text=f"{linear.text}|{component.aim}{component.text}",
        gs1={**(linear.gs1 or {}), **(joined.gs1 or {})} or None,
        identifier=joined.identifier or goods,  # also where nothing above the goods can be read
        problems=tuple(dict.fromkeys([*linear.problems, *component.problems])),
    )


def _judged(aim: str, reading: _Reading, rules: Sequence[IdentificationRule], problems: list[ScanProblem]) -> Scan:
    """The scan of what was read: rules first, then goods, GS1's members, and a guess."""
    claim = None
    if rules and "too_long" not in problems:
        claim = claimed(
            rules, symbology=reading.symbology, text=reading.text, gs1=reading.gs1, goods=bool(reading.gtin)
        )
    goods = ScannedIdentifier(kind="gtin", code=shortest_gtin(reading.gtin)) if reading.gtin else None
    pan = first_pan(_and_decoded(reading.free), nobodys if claim is None else claim.is_own) if reading.free else None
    if pan is not None:
        # Of a payment card, and of all that was scanned with it, only the ends of the number stay, and a GTIN: a
        # serial number may look like a card's, and goods are goods.
        hidden = _Reading(symbology=reading.symbology, text=masked(pan))
        return _scan(aim, hidden, goods if reading.gs1 else None, [*problems, "payment_card"])
    if claim is not None and _is_misread(claim, reading):
        scan = _scan(aim, reading, None, [*problems, *reading.problems, "check_digit_wrong"])
        return replace(scan, misread=True)
    if claim is not None and claim.code and claim.rule.kind != "goods":
        member = ScannedIdentifier(kind=claim.rule.kind, code=claim.code, rule=claim.rule.name)
        return _scan(aim, reading, member, problems)
    identifier = goods
    if goods is None and claim is None and (code := reading.gsrn or _guessed(reading.guess)):
        identifier = ScannedIdentifier(kind="card", code=code)
    return _scan(aim, reading, identifier, [*problems, *reading.problems])


def _is_misread(claim: Claim, reading: _Reading) -> bool:
    """Whether it would be a member's code but for a check digit, the rule's or GS1's own."""
    if reading.gtin:
        return False
    value = (reading.gs1 or {}).get(claim.rule.ai, "")
    issued = claim.rule.kind != "goods" and claim.rule.ai in CHECKED_DIGITS
    return claim.misread or (issued and not _is_issued(claim.rule.ai, value))


def _scan(aim: str, reading: _Reading, identifier: ScannedIdentifier | None, problems: Sequence[ScanProblem]) -> Scan:
    return Scan(
        symbology=reading.symbology,
        aim=aim,
        text=reading.text,
        gs1=reading.gs1,
        identifier=identifier,
        problems=tuple(dict.fromkeys(problems)),
    )


def _guessed(text: str) -> str:
    """`text` as a member code, if it can be one; empty for links, sentences and data."""
    code = normal_code(text)
    if len(code) > MAX_CODE_CHARS or "://" in code or not _CODE.fullmatch(code) or _NO_CODE.fullmatch(code):
        return ""
    return code


# What a text is


def _swiped(text: str, rules: Sequence[IdentificationRule], problems: list[ScanProblem]) -> Scan | None:
    """The scan that a swipe is; None where `text` is none."""
    swipe = read_swipe(text, partial(owns_number, rules))
    if swipe is None:
        return None
    problems += swipe.problems
    if not swipe.numbers:
        return _scan("", _Reading(symbology=_MAGSTRIPE, text=swipe.pan_ends), None, problems)
    number = next(
        (number for number in swipe.numbers if claimed(rules, symbology=_MAGSTRIPE, text=number, gs1=None) is not None),
        swipe.numbers[0],
    )
    return _judged("", _Reading(symbology=_MAGSTRIPE, text=number, guess=number, free=number), rules, problems)


def _read(aim: str, text: str) -> _Reading:
    """What `text` is under the symbology identifier `aim`, which may be empty."""
    goods = goods_in(aim, text)
    if goods is not None:
        # Without a symbology, 14 digits may as well be a card's number: the payment card then wins.
        free = text if len(text) == _GTIN_DIGITS and symbology_of(aim) == "unknown" else ""
        return _Reading(symbology=goods.symbology, text=text, gtin=goods.gtin, free=free)
    symbology = symbology_of(aim)
    if aim in ECI_IDENTIFIERS and "\\" in text:
        text = _ECI.sub(r"\1", text)
    if not text and aim not in GS1_IDENTIFIERS and aim[:2] != "]E":
        return _Reading(symbology=symbology, text="", problems=("empty",))
    if aim in GS1_IDENTIFIERS:
        return _read_announced(symbology, text)
    if "://" in text:
        return _read_address(symbology, text)
    reading = _read_unannounced(aim, text)
    if reading is not None:
        return reading
    problem = what_is_wrong(aim, text)
    if problem is not None:
        return _Reading(symbology=symbology, text=text, free=text, problems=(problem,))
    guess = "" if aim[:2] == "]E" or SEPARATOR in text else text
    return _Reading(symbology=symbology, text=text, guess=guess, free=text)


def _read_announced(symbology: str, text: str) -> _Reading:
    """A message of GS1 element strings, also where the brackets of the printed form were encoded with it."""
    printed = message_in_brackets(text)
    if printed is None:
        return _read_message(symbology, with_separators(text))
    reading = _read_message(symbology, printed)
    return replace(reading, text=text, problems=(*reading.problems, "gs1_unparsable"))


def _read_message(symbology: str, message: str) -> _Reading:
    """A message of GS1 element strings."""
    if len(message) > MAX_GS1_CHARS:
        return _Reading(symbology=symbology, text=message, free=message, problems=("gs1_unparsable",))
    found = element_strings(message)
    return _Reading(
        symbology=symbology,
        text=message,
        gs1=found.values or None,
        gtin=_gtin_in(found.values),
        gsrn=_gsrn_in(found.values) if found.whole else "",  # half a message may hold half a number
        free=_free_values(found.values) if found.whole else message,
        problems=tuple(found.problems),
    )


def _read_unannounced(aim: str, text: str) -> _Reading | None:
    """A whole message that no symbology identifier announces: in brackets, with separators, or by how it begins."""
    untold = symbology_of(aim) == "unknown"
    printed = message_in_brackets(text)
    message = with_separators(text) if printed is None else printed
    sure = printed is not None or (untold and has_separator(text))
    if not sure and not ((untold or aim in FNC1_LEFT_OUT) and _PROVEN_START.match(message)):
        return None
    reading = _read_message(symbology_of(aim), message)
    if reading.gs1 is None or "gs1_unparsable" in reading.problems:
        return None
    # A lone number that begins like a GTIN's may be anybody's, where the symbology is one of any texts.
    if not sure and ("check_digit_wrong" in reading.problems or (not untold and len(reading.gs1) < 2)):
        return None
    return reading if printed is None else replace(reading, text=text)


def _read_address(symbology: str, text: str) -> _Reading:
    """A web address: a Digital Link, or one that names nobody and nothing."""
    link = read_link(text)
    if link is None:
        return _Reading(symbology=symbology, text=text, free=text)
    return _Reading(
        symbology=symbology,
        text=text,
        gs1=link.values or None,
        gtin=_gtin_in(link.values),
        gsrn=_gsrn_in(link.values),
        free=f"{link.rest}\n{_free_values(link.values)}",
        problems=link.problems,
    )


def _gtin_in(values: Mapping[str, str]) -> str:
    for ai in _GOODS_AIS:
        if ai in values and has_valid_check_digit(gtin := values[ai][:_GTIN_DIGITS]):
            return gtin
    return ""


def _gsrn_in(values: Mapping[str, str]) -> str:
    gsrn = values.get(_MEMBER_AI, "")
    return gsrn if gsrn and has_valid_check_digit(gsrn) else ""


def _is_issued(ai: str, value: str) -> bool:
    """Whether a value begins with a number that one of GS1's members issued, which is never a payment card's."""
    count = CHECKED_DIGITS.get(ai, 0)
    return 0 < count <= len(value) and has_valid_check_digit(value[:count])


def _free_values(values: Mapping[str, str]) -> str:
    return "\n".join(value[CHECKED_DIGITS[ai] :] if _is_issued(ai, value) else value for ai, value in values.items())


def _and_decoded(text: str) -> str:
    """`text`, and where it is written as in an address, what it says."""
    decoded = unquote_plus(text)
    return text if decoded == text else f"{text}\n{decoded}"


# What is kept


def _decoded(raw: bytes | str, problems: list[ScanProblem]) -> str:
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError:
        problems.append("encoding_guessed")
        return raw.decode("iso-8859-1")


def _cleaned(text: str, problems: list[ScanProblem]) -> str:
    """`text` cut to its limit, without what could act on a terminal or a page."""
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
