"""Which codes are a shop's member codes: the operator's rules, and the one written form of a code.

Owns the rules' shape, their checks and their matching. Pure and of the standard library alone, since the
relay, which must stay small, decides by the same rules. Never reads a symbol (`drivers.scanning` does), and
never looks a member up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

MemberKind = Literal["card", "phone", "email", "wallet", "nfc"]
RuleKind = Literal["card", "phone", "email", "wallet", "nfc", "goods"]
CheckDigit = Literal["none", "gs1", "luhn"]

MAX_RULES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentificationRule:
    """One rule: which codes it claims, what they are, and how the member code is made of them.

    A code must meet every condition that is given. `symbologies` are names as `parse-scan` prints them; none
    means any. `ai` matches the value of this GS1 application identifier instead of the whole text. Each of
    `prefixes` and `ranges` is a choice: one of them has to fit. A range is two texts of digits of one length,
    both included, compared with as many leading digits. `lengths` count characters. `pattern` is literal text
    with one `{code}`, and may end in `*`. A code that fits but for its `check_digit` was misread.

    The member code is what `{code}` stands for, or the matched text, less `drop_leading` and `drop_trailing`
    characters, with `add_leading` before it. Kind `goods` says that a code is none. `to_pos` lets a shared scanner
    hand the code to the POS as well.
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
    """A rule's word on a code: the member code in normal form, or that it was misread."""

    rule: IdentificationRule
    code: str
    misread: bool = False


def claimed(
    rules: Sequence[IdentificationRule], *, symbology: str, text: str, gs1: Mapping[str, str] | None
) -> Claim | None:
    """What the first rule that fits says of a code; None where no rule claims it."""
    for rule in rules:
        if rule.symbologies and symbology not in rule.symbologies:
            continue
        subject = text if not rule.ai else (gs1 or {}).get(rule.ai)
        if subject and rule.prefixes and subject.startswith(rule.prefixes):
            return Claim(rule=rule, code=normal_code(subject))
    return None


def normal_code(code: str) -> str:
    """The form in which member codes are compared: no spaces or hyphens, upper case."""
    return "".join(code.split()).replace("-", "").upper()
