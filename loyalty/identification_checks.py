"""What is wrong with identification rules, and how to put it right.

Owns the checks that the shape of a rule does not make: what can never match, what is not told from products, what
is never reached. Pure and of the standard library alone. Never drops or corrects a rule.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from loyalty.identification import (
    CODE_PLACE,
    MAX_CODE_CHARS,
    MAX_RULES,
    MAX_WRITTEN_CHARS,
    SYMBOLOGIES,
    IdentificationRule,
    can_be_code,
    is_digits,
    is_member_code,
    normal_code,
)

MAX_NAME_CHARS = 64
# Prefixes and ranges of one rule together; each scan is held against all of them.
MAX_CHOICES = 100
# Longer than any address of a member's page.
MAX_PATTERN_CHARS = 512

# In these a product's number may be the whole text.
_GOODS_SYMBOLOGIES = frozenset({"ean13", "ean8", "upca", "ean-upc", "itf", "databar", "gs1-128"})
_GOODS_LENGTHS = frozenset({8, 12, 13, 14})
# Beginnings of EAN-13s that GS1 leaves to shops (GS1 General Specifications, section 1.4).
_SHOPS_OWN = re.compile(r"2|0[24]")
# What every web address begins with.
_SCHEMES = ("http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleProblem:
    """What is wrong with the rule at `index` (from 0; None: with all of them) and how to put it right.

    One that is not `serious` is likely a mistake, yet can be used.
    """

    index: int | None
    name: str
    field: str
    problem: str
    remedy: str
    serious: bool = True

    def __str__(self) -> str:
        rule = "identification rules" if self.index is None else f"identification rule {self.index + 1} {self.name!r}"
        key = f", {self.field}" if self.field else ""
        return f"{rule}{key}: {self.problem}; {self.remedy}"


class RulesError(ValueError):
    """Rules cannot be read or used. Says all that is wrong, and the remedies; `problems` holds them one by one."""

    def __init__(self, problems: Sequence[RuleProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class _Finding(NamedTuple):
    field: str
    problem: str
    remedy: str
    serious: bool = True


def rule_problems(rules: Sequence[IdentificationRule]) -> tuple[RuleProblem, ...]:
    """Everything that cannot be right in `rules`, in their order."""
    if len(rules) > MAX_RULES:
        problem = f"there are {len(rules)}, and {MAX_RULES} are allowed"
        remedy = "put the prefixes and ranges of one kind of card into one rule"
        return (RuleProblem(index=None, name="", field="", problem=problem, remedy=remedy),)
    names = Counter(rule.name for rule in rules)
    return tuple(
        RuleProblem(
            index=index,
            name=rule.name,
            field=found.field,
            problem=found.problem,
            remedy=found.remedy,
            serious=found.serious,
        )
        for index, rule in enumerate(rules)
        for found in (*_findings(rule), *_same_name(rule, names), *_never_reached(rule, rules[:index]))
    )


def _findings(rule: IdentificationRule) -> Iterator[_Finding]:
    for check in (_name, _symbologies, _ai, _choices, _lengths, _check_digit, _pattern, _member_code, _breadth):
        yield from check(rule)


def _name(rule: IdentificationRule) -> Iterator[_Finding]:
    if not rule.name.strip() or len(rule.name) > MAX_NAME_CHARS or not rule.name.isprintable():
        yield _Finding("name", f"is not 1 to {MAX_NAME_CHARS} printable characters", 'write one such as "club card"')


def _same_name(rule: IdentificationRule, names: Counter[str]) -> Iterator[_Finding]:
    if names[rule.name] > 1:
        yield _Finding("name", "another rule has this name", "give each rule a name of its own")


def _symbologies(rule: IdentificationRule) -> Iterator[_Finding]:
    for symbology in rule.symbologies:
        if symbology not in SYMBOLOGIES:
            yield _Finding("symbologies", f"{symbology!r} is no symbology", f"known are {', '.join(SYMBOLOGIES)}")


def _ai(rule: IdentificationRule) -> Iterator[_Finding]:
    if rule.ai and not (is_digits(rule.ai) and 2 <= len(rule.ai) <= 4):
        yield _Finding("ai", f"{rule.ai!r} is no application identifier", 'write its 2 to 4 digits, such as "8018"')


def _choices(rule: IdentificationRule) -> Iterator[_Finding]:
    if len(rule.prefixes) + len(rule.ranges) > MAX_CHOICES:
        yield _Finding("prefixes", f"with ranges, more than {MAX_CHOICES}", "put the rest into another rule")
    longest = max(rule.lengths, default=MAX_WRITTEN_CHARS)
    for prefix in rule.prefixes:
        if not can_be_code(prefix) or not normal_code(prefix):
            yield _Finding("prefixes", f"{prefix!r} begins no code", "write the characters that codes begin with")
        elif len(normal_code(prefix)) > longest:
            yield _Finding("prefixes", f"{prefix!r} is longer than `lengths` allow", "correct one of the two")
    for first, last in rule.ranges:
        if (wrong := _wrong_with_range(first, last, longest)) is not None:
            yield _Finding("ranges", f"{first!r} to {last!r} {wrong[0]}", wrong[1])


def _wrong_with_range(first: str, last: str, longest: int) -> tuple[str, str] | None:
    """Problem and remedy."""
    if not is_digits(first) or not is_digits(last):
        return "is not of digits alone", 'write it as ["9000", "9099"]; codes with letters need `prefixes`'
    if len(first) != len(last):
        return "has ends of unequal length", "give both ends as many digits"
    if first > last:
        return "ends before it begins", "write the smaller end first"
    if len(first) > longest:
        return "has more digits than `lengths` allow", "correct one of the two"
    return None


def _lengths(rule: IdentificationRule) -> Iterator[_Finding]:
    for length in rule.lengths:
        if not 1 <= length <= MAX_WRITTEN_CHARS:
            yield _Finding("lengths", f"no code has {length} characters", f"write 1 to {MAX_WRITTEN_CHARS}")


def _check_digit(rule: IdentificationRule) -> Iterator[_Finding]:
    if rule.check_digit == "none":
        return
    for prefix in rule.prefixes:
        if not is_digits(normal_code(prefix)):
            remedy = "leave check_digit out for codes with letters"
            yield _Finding("check_digit", f"codes that begin with {prefix!r} are not of digits alone", remedy)


def _pattern(rule: IdentificationRule) -> Iterator[_Finding]:
    pattern, example = rule.pattern, 'write it as "https://club.example/m/{code}"'
    if not pattern:
        return
    literal = pattern.removesuffix("*").replace(CODE_PLACE, "", 1)
    if len(pattern) > MAX_PATTERN_CHARS:
        yield _Finding("pattern", f"is longer than {MAX_PATTERN_CHARS} characters", "end it early with *")
    if CODE_PLACE not in pattern and rule.kind != "goods":
        yield _Finding("pattern", "does not say where the member code stands", example)
    if set(literal) & set("{}*"):
        yield _Finding("pattern", "holds other braces than one {code}, or a * before its end", example)
    if not literal:
        yield _Finding("pattern", "holds no text but {code} and *", example)
    if literal.lower() in _SCHEMES:
        yield _Finding("pattern", "fits every web address", example)


def _member_code(rule: IdentificationRule) -> Iterator[_Finding]:
    if rule.kind == "goods":
        for field in ("drop_leading", "drop_trailing", "add_leading", "to_pos"):
            if getattr(rule, field):
                yield _Finding(field, "goods have no member code and always go to the POS", "leave it out", False)
        return
    for field in ("drop_leading", "drop_trailing"):
        if not 0 <= getattr(rule, field) < MAX_WRITTEN_CHARS:
            yield _Finding(field, "is no number of characters to drop", f"write 0 to {MAX_WRITTEN_CHARS - 1}")
    dropped = rule.drop_leading + rule.drop_trailing
    if dropped and rule.lengths and dropped >= min(rule.lengths):
        problem = f"nothing is left of a code of {min(rule.lengths)} characters"
        yield _Finding("drop_leading" if rule.drop_leading else "drop_trailing", problem, "drop fewer")
    if rule.add_leading and not is_member_code(normal_code(rule.add_leading) + "0", rule.kind):
        yield _Finding("add_leading", f"{rule.add_leading!r} begins no member code", "write letters and digits")
    else:
        yield from _no_member_code(rule)


def _no_member_code(rule: IdentificationRule) -> Iterator[_Finding]:
    """Of what codes that the rule is about no member code can be made."""
    added = normal_code(rule.add_leading)
    for prefix in filter(can_be_code, rule.prefixes):
        beginning = added + normal_code(prefix)[rule.drop_leading :]
        if not is_member_code(beginning + "0", rule.kind):
            problem = f"no member code of kind {rule.kind} begins with {beginning!r}"
            yield _Finding("prefixes", problem, "correct one of the two, or drop_leading")
    for length in rule.lengths:
        if length - rule.drop_leading - rule.drop_trailing + len(added) > MAX_CODE_CHARS:
            problem = f"{length} characters make no member code, which has at most {MAX_CODE_CHARS}"
            yield _Finding("lengths", problem, "write less, or drop some")


def _breadth(rule: IdentificationRule) -> Iterator[_Finding]:
    """A rule about codes that are not the shop's."""
    if not (rule.symbologies or rule.ai or rule.pattern or rule.prefixes or rule.ranges or rule.lengths):
        yield _Finding("", "would claim every code", "say which codes it is about: prefixes, ranges, symbologies, …")
    elif rule.kind == "goods" or rule.ai or rule.pattern or not _fits_products(rule):
        return
    elif not rule.prefixes and not rule.ranges:
        remedy = "give prefixes or ranges, or symbologies or lengths that products do not have"
        yield _Finding("", "does not tell members' codes from products", remedy)
    else:
        remedy = "give symbologies or lengths that products do not have"
        beginnings = (("prefixes", normal_code(prefix)) for prefix in rule.prefixes)
        ends = (("ranges", end) for pair in rule.ranges for end in dict.fromkeys(pair))
        for field, beginning in (*beginnings, *ends):
            if is_digits(beginning) and _SHOPS_OWN.match(beginning) is None:
                yield _Finding(field, f"products' numbers may begin with {beginning} too", remedy, False)


def _fits_products(rule: IdentificationRule) -> bool:
    return (not rule.symbologies or not _GOODS_SYMBOLOGIES.isdisjoint(rule.symbologies)) and (
        not rule.lengths or not _GOODS_LENGTHS.isdisjoint(rule.lengths)
    )


def _never_reached(rule: IdentificationRule, earlier: Sequence[IdentificationRule]) -> Iterator[_Finding]:
    other = next((other for other in earlier if _covers(other, rule)), None)
    if other is not None:
        yield _Finding("", f"{other.name!r} claims the same codes before it", "put it first, or delete it", False)


def _covers(broad: IdentificationRule, narrow: IdentificationRule) -> bool:
    """Whether every code that fits `narrow` fits `broad`, as far as this can be told at once."""
    return (
        (broad.ai, broad.pattern) == (narrow.ai, narrow.pattern)
        and broad.check_digit in ("none", narrow.check_digit)
        and (not broad.symbologies or (bool(narrow.symbologies) and set(narrow.symbologies) <= set(broad.symbologies)))
        and (not broad.lengths or (bool(narrow.lengths) and set(narrow.lengths) <= set(broad.lengths)))
        and _begins_within(narrow, broad)
    )


def _begins_within(narrow: IdentificationRule, broad: IdentificationRule) -> bool:
    if not broad.prefixes and not broad.ranges:
        return True
    prefixes = _normal(broad.prefixes)
    beginnings = (*((prefix, prefix) for prefix in _normal(narrow.prefixes)), *narrow.ranges)
    return bool(beginnings) and all(
        _has_prefix(first, last, prefixes)
        or any(
            low <= first[: len(low)] and last[: len(low)] <= high
            for low, high in broad.ranges
            if len(low) <= len(first)
        )
        for first, last in beginnings
    )


def _has_prefix(first: str, last: str, prefixes: tuple[str, ...]) -> bool:
    """Whether all codes from `first` to `last` begin with the same one of `prefixes`."""
    if not first.startswith(prefixes):
        return False
    return any(first.startswith(prefix) and last.startswith(prefix) for prefix in prefixes)


@lru_cache(maxsize=2 * MAX_RULES)
def _normal(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(normal_code, prefixes))
