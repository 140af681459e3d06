"""Which codes are a shop's member codes: the operator's rules, and the one written form of a code.

Owns the rules' shape and their matching (`identification_checks` says what is wrong with rules, and
`identification_json` reads and writes them). Pure and of the standard library alone, since the relay, which must
stay small, decides by the same rules. Never reads a symbol (`drivers.scanning` does), and never looks a member
up. Matching takes time in proportion to the text: a pattern is literal text around one `{code}`, never a regular
expression.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from typing import Literal

from loyalty.check_digit import has_valid_check_digit
from loyalty.pan import luhn_holds

MemberKind = Literal["card", "phone", "email", "wallet", "nfc"]
RuleKind = Literal["card", "phone", "email", "wallet", "nfc", "goods"]
CheckDigit = Literal["none", "gs1", "luhn"]

# A chain with more kinds of cards than this has not been met; every scan is held against every rule.
MAX_RULES = 100
# Longer than any card number, wallet code or GSRN; what is longer is data, not a name.
MAX_CODE_CHARS = 64
# As it is encoded, with prefixes to drop and spaces between groups.
MAX_WRITTEN_CHARS = 128
# A number that looks like a payment card's is this shop's own only if a rule fixes so many of its first digits:
# fewer would let whole issuers through.
FIXED_DIGITS = 4

SYMBOLOGIES = (
    *("anker", "aztec", "channel-code", "codabar", "codablock", "code-one", "code11", "code128", "code16k", "code39"),
    *("code49", "code93", "databar", "datamatrix", "dotcode", "ean-upc", "ean13", "ean8", "gs1-128", "gs1-datamatrix"),
    *("gs1-dotcode", "gs1-qr", "han-xin", "itf", "magstripe", "maxicode", "msi", "ocr", "pdf417", "plessey"),
    *("posicode", "qr", "straight-2of5", "supercode", "telepen", "unknown", "upca", "upce"),
)
"""The names that `parse-scan` gives to symbologies."""

CODE_PLACE = "{code}"
"""Where the member code stands in a pattern."""

# A member code as it may be written, and in normal form: the characters of Code 39, e-mail addresses and base64.
_WRITTEN_CODE = re.compile(r"[A-Za-z0-9 ._:/+$%@=~-]+")
_MEMBER_CODE = re.compile(r"[A-Z0-9][A-Z0-9._:/+$%@=~]*")
_PHONE_NUMBER = re.compile(r"\+?[0-9]+")
# `{code}` ends where the next part of an address begins.
_CODE_IN_PATTERN = re.compile(r"[A-Za-z0-9 ._:+$%@=~-]*")
_UPPER = {ord(lower): ord(lower.upper()) for lower in "abcdefghijklmnopqrstuvwxyz"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentificationRule:
    """One rule: which codes it claims, what they are, and how the member code is made of them.

    A code must meet every condition that is given. `symbologies` are names as `parse-scan` prints them; none
    means any. `ai` takes the value of this GS1 application identifier instead of the whole text, and `pattern`
    what `{code}` stands for in it: literal text with one `{code}`, which may end in `*`, whatever comes then.
    The other conditions are about that code, without spaces and hyphens and whatever the case of its letters.
    It begins with one of `prefixes` or lies in one of `ranges`: two texts of digits of one length, both
    included, compared with as many leading digits. `lengths` count characters. A code that fits but for its
    `check_digit` was misread.

    The member code is this code less `drop_leading` and `drop_trailing` characters, with `add_leading` before
    it. Kind `goods` says that a code is none; its pattern needs no `{code}`. `to_pos` lets a shared scanner hand
    the code to the POS as well.
    """

    name: str
    kind: RuleKind = "card"
    symbologies: tuple[str, ...] = ()
    ai: str = ""
    prefixes: tuple[str, ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()
    lengths: tuple[int, ...] = ()
    check_digit: CheckDigit = "none"
    pattern: str = ""
    drop_leading: int = 0
    drop_trailing: int = 0
    add_leading: str = ""
    to_pos: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A rule's word on a code: the member code in normal form, or that it is goods, or that it was misread.

    `code` is empty for goods and for what was misread. `number` are the digits that are this shop's own, though
    they may look like a payment card's; empty unless the rule fixes the first FIXED_DIGITS of them.
    """

    rule: IdentificationRule
    code: str
    misread: bool = False
    number: str = ""

    def is_own(self, number: str) -> bool:
        """Whether `number`, found in the scanned text, is the one that is claimed for sure."""
        return bool(number) and number == self.number


def claimed(
    rules: Sequence[IdentificationRule],
    *,
    symbology: str,
    text: str,
    gs1: Mapping[str, str] | None,
    goods: bool = False,
) -> Claim | None:
    """What the first rule that fits says of a code; else that it was misread, by the first that fits but for the
    check digit; None where no rule claims it.

    `goods`: it is surely a product's. Only a rule that says how its codes begin may claim it then.
    """
    misread: Claim | None = None
    for rule in rules:
        if rule.symbologies and symbology not in rule.symbologies:
            continue
        if goods and not (rule.prefixes or rule.ranges or rule.pattern):
            continue
        written = text if not rule.ai else (gs1 or {}).get(rule.ai, "")
        claim = _claim(rule, written)
        if claim is not None and not claim.misread:
            return claim
        misread = misread or claim
    return misread


def owns_number(rules: Sequence[IdentificationRule], digits: str) -> bool:
    """Whether `digits`, met without the symbol that carries them (on a receipt), are this shop's own for sure.

    Both the number as it is encoded and the member code made of it count.
    """
    return any(
        claim is not None and claim.is_own(digits)
        for rule in rules
        for form in (replace(rule, pattern=""), _of_member_code(rule))
        if form is not None and (claim := _claim(form, digits)) is not None
    )


def normal_code(code: str) -> str:
    """The form in which member codes are compared: no spaces or hyphens, upper case."""
    return "".join(code.split()).replace("-", "").upper()


def is_member_code(code: str, kind: RuleKind = "card") -> bool:
    """Whether `code`, in normal form, can name a member: nothing in it acts on a page, a shell or a spreadsheet."""
    characters = _PHONE_NUMBER if kind == "phone" else _MEMBER_CODE
    return len(code) <= MAX_CODE_CHARS and characters.fullmatch(code) is not None


def can_be_code(written: str) -> bool:
    """Whether `written` has only characters that a member code may be written with, and not too many."""
    return len(written) <= MAX_WRITTEN_CHARS and _WRITTEN_CODE.fullmatch(written) is not None


def is_digits(text: str) -> bool:
    """Whether `text` is digits of ASCII alone, at least one."""
    return text.isascii() and text.isdecimal()


# Matching


def _claim(rule: IdentificationRule, text: str) -> Claim | None:
    """What `rule` says of `text`, the right symbology's or application identifier's."""
    written = _in_pattern(_parts(rule.pattern), text) if rule.pattern else text
    if not written or (rule.kind != "goods" and not can_be_code(written)):
        return None
    code = normal_code(written)
    fixed = _fixed_digits(rule, code)
    if fixed is None or (rule.lengths and len(code) not in rule.lengths):
        return None
    if rule.check_digit != "none" and not is_digits(code):
        return None
    number = _bare_number(code) if fixed >= FIXED_DIGITS else ""
    if not _check_digit_holds(rule.check_digit, code):
        return None if rule.kind == "goods" else Claim(rule=rule, code="", misread=True)
    if rule.kind == "goods":
        return Claim(rule=rule, code="", number=number)
    member = normal_code(rule.add_leading + code[rule.drop_leading : max(len(code) - rule.drop_trailing, 0)])
    if not is_member_code(member, rule.kind):
        return None
    return Claim(rule=rule, code=member, number=number)


def _fixed_digits(rule: IdentificationRule, code: str) -> int | None:
    """How many leading digits the longest choice that `code` begins with fixes; None if it begins otherwise."""
    if not rule.prefixes and not rule.ranges:
        return 0
    fixed = [digits for prefix, digits in _beginnings(rule.prefixes) if code.startswith(prefix)]
    for first, last in rule.ranges:
        leading = code[: len(first)]
        if len(leading) == len(first) and is_digits(leading) and first <= leading <= last:
            fixed.append(_agreeing(first, last))
    return max(fixed, default=None)


@lru_cache(maxsize=2 * MAX_RULES)
def _beginnings(prefixes: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """Each prefix in normal form, and how many digits it ends with: those fix a number's first ones."""
    normal = (normal_code(prefix) for prefix in prefixes)
    return tuple((prefix, sum(1 for _ in takewhile(str.isdecimal, reversed(prefix)))) for prefix in normal)


def _agreeing(first: str, last: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))


def _bare_number(code: str) -> str:
    """The digits of a code that is one number, with or without letters around it."""
    number = code.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return number if is_digits(number) else ""


def _check_digit_holds(kind: CheckDigit, digits: str) -> bool:
    if kind == "gs1":
        return has_valid_check_digit(digits)
    return kind != "luhn" or luhn_holds(digits)


def _of_member_code(rule: IdentificationRule) -> IdentificationRule | None:
    """The rule that fits the member codes which `rule` makes; None where they are the codes themselves."""
    dropped, added = rule.drop_leading, normal_code(rule.add_leading)
    if not (dropped or rule.drop_trailing or added):
        return None
    return replace(
        rule,
        pattern="",
        check_digit="none",
        prefixes=tuple(added + normal_code(prefix)[dropped:] for prefix in rule.prefixes),
        ranges=tuple(
            (added + first[dropped:], added + last[dropped:])
            for first, last in rule.ranges
            if first[:dropped] == last[:dropped]
        ),
        lengths=tuple(length - dropped - rule.drop_trailing + len(added) for length in rule.lengths),
        drop_leading=0,
        drop_trailing=0,
        add_leading="",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """A pattern's literal texts in upper case. `open_end` where it ends in `*`."""

    before: str
    has_code: bool
    after: str
    open_end: bool


@lru_cache(maxsize=2 * MAX_RULES)
def _parts(pattern: str) -> _Pattern:
    open_end = pattern.endswith("*")
    before, code, after = pattern.removesuffix("*").partition(CODE_PLACE)
    return _Pattern(before=_upper(before), has_code=bool(code), after=_upper(after), open_end=open_end)


def _in_pattern(pattern: _Pattern, text: str) -> str | None:
    """What `{code}` stands for in `text`, or all of it where the pattern has none; None if it does not fit."""
    if _upper(text[: len(pattern.before)]) != pattern.before:
        return None
    rest = text[len(pattern.before) :]
    if not pattern.has_code:
        return text if pattern.open_end or not rest else None
    run = _CODE_IN_PATTERN.match(rest)
    code = run[0] if run is not None else ""
    if not pattern.after:
        return code if pattern.open_end or code == rest else None
    folded = _upper(rest)
    end = folded.find(pattern.after) if pattern.open_end else len(rest) - len(pattern.after)
    if end < 0 or end > len(code) or not folded.startswith(pattern.after, end):
        return None
    return code[:end]


def _upper(text: str) -> str:
    """Letters of ASCII in upper case, so that nothing changes its place."""
    return text.translate(_UPPER)
