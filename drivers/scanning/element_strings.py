"""GS1 element strings: the values in a message of application identifiers, one after another.

Owns where one value ends and the next identifier begins, also where a scanner left the separators out, and what
is wrong with a value. Total, and linear in the message. Never says what a code means.

Sources: GS1 General Specifications sections 7.8 (processing of GS1 data) and 7.11 (character sets).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from drivers.scanning.gs1_identifiers import AI_LENGTHS, FORM_OF, PREDEFINED_LENGTHS, Form, ValueProblem, form

SEPARATOR = "\x1d"
"""FNC1 inside a GS1 message, as scanners send it (ASCII GS)."""

# A field without its separator is looked for up to here. What a shop's labels hold is shorter, and a hostile
# message stays cheap.
MAX_SEARCHED_CHARS = 100

Gs1Problem = Literal["gs1_unparsable", "gs1_conflict", "separator_missing", ValueProblem]

# `<GS>`, `{FNC1}`, `^]`, and the picture of the control character, as phones and scanners' tables of characters have.
_WRITTEN_SEPARATOR = re.compile(r"[<{\[](?:GS|FNC1)[>}\]]|\^\]|\u241d", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\(([0-9]{2,4})\)")
# Identifiers whose value proves itself: a check digit or a date tells a true one from digits by chance.
_PROVEN = frozenset(ai for ai, written in FORM_OF.items() if written.startswith(("n18:", "n14:", "n13:", "n6:date")))


@dataclass(slots=True)
class ElementStrings:
    """Values by identifier, in order. `whole` if nothing of the message was left over."""

    values: dict[str, str] = field(default_factory=dict)
    problems: list[Gs1Problem] = field(default_factory=list)
    whole: bool = True

    def add(self, ai: str, value: str, components: tuple[str | None, ...], shape: Form) -> None:
        """Take a value. The first one stays where another has the same identifier."""
        problem = shape.problem(components)
        if problem is not None:
            self.report(problem)
        if self.values.setdefault(ai, value) != value:
            self.report("gs1_conflict")

    def report(self, problem: Gs1Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def skip(self) -> None:
        """Something of the message cannot be read."""
        self.whole = False
        self.report("gs1_unparsable")


def with_separators(text: str) -> str:
    """`text` with each way in which scanners write a separator as the separator itself, none at either end."""
    return _WRITTEN_SEPARATOR.sub(SEPARATOR, text).strip(SEPARATOR)


def has_separator(text: str) -> bool:
    """Whether a separator stands in `text`, however it is written."""
    return SEPARATOR in text or _WRITTEN_SEPARATOR.search(text) is not None


def message_in_brackets(text: str) -> str | None:
    """The message that `(01)…(10)…` is the printed form of; None for any other text.

    A bracket may belong to a value, so only known identifiers open one.
    """
    if text[:1] != "(":
        return None
    opened = [match for match in _IN_BRACKETS.finditer(text) if match[1] in FORM_OF]
    if not opened or opened[0].start() != 0:
        return None
    ends = [match.start() for match in opened[1:]] + [len(text)]
    return SEPARATOR.join(match[1] + text[match.end() : end].strip() for match, end in zip(opened, ends, strict=True))


def element_strings(message: str) -> ElementStrings:
    """The values of a message. What cannot be read is skipped up to the next separator, so that goods stay goods."""
    found = ElementStrings()
    position = 0
    while position < len(message):
        if message[position] == SEPARATOR:
            position += 1
        else:
            position = _read(message, position, found, searching="separator_missing" not in found.problems)
    if not found.values:
        found.skip()
    return found


def _read(message: str, position: int, found: ElementStrings, *, searching: bool) -> int:
    """Take the element string at `position`, and say where it ends. `searching`: also without its separator."""
    prefix = message[position : position + 2]
    start = position + AI_LENGTHS.get(prefix, 2)
    ai = message[position:start]
    if ai not in FORM_OF:
        found.skip()
        return _next_separator(message, position)
    shape = form(FORM_OF[ai])
    predefined = PREDEFINED_LENGTHS.get(prefix)
    end = _next_separator(message, start) if predefined is None else position + predefined
    value = message[start:end]
    match = shape.exact.fullmatch(value)
    if match is None and predefined is None:
        length = next(_lengths_without_separator(value, shape), None) if searching else None
        if length is not None:
            found.report("separator_missing")
            value, end = value[:length], start + length
            match = shape.exact.fullmatch(value)
        elif (match := shape.loose.fullmatch(value)) is not None:
            found.report("gs1_value_wrong")
    if match is None:
        found.skip()
        return _next_separator(message, position)
    found.add(ai, value, match.groups(), shape)
    return end


def _next_separator(message: str, position: int) -> int:
    end = message.find(SEPARATOR, position)
    return len(message) if end < 0 else end


def _lengths_without_separator(field_and_rest: str, shape: Form) -> Iterator[int]:
    """How long a value may be that its separator should have ended, the likeliest first: the rest is then a whole
    message without fault, and better one that begins with an identifier whose value proves itself; the longer
    the better."""
    if len(field_and_rest) > MAX_SEARCHED_CHARS:
        return
    others = []
    for length in range(min(shape.longest, len(field_and_rest) - 1), 0, -1):
        if shape.exact.fullmatch(field_and_rest, 0, length) is None:
            continue
        rest = _read_strictly(field_and_rest[length:])
        if rest is None:
            continue
        if next(iter(rest.values)) in _PROVEN:
            yield length
        else:
            others.append(length)
    yield from others


def _read_strictly(message: str) -> ElementStrings | None:
    """The values of a message that has no fault; None if it has one."""
    found = ElementStrings()
    position = 0
    while position < len(message):
        position = _read(message, position, found, searching=False)
        if found.problems:
            return None
    return found
