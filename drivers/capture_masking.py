"""Takes payment cards out of what is captured, before it is written anywhere.

Owns the buffer between a device and the capture file. Of a scan or swipe that holds a payment card number only
the first six and last four digits of it stay; all else that is a letter or digit (name, expiry and codes of a
track) is replaced, one for one, so that lengths and times stay. Sans-IO: reads in, masked reads out, later. What
a card number is, `loyalty.pan` knows. Never keeps what it has given out.

It errs on the side of masking: which digits a key types depends on the scanner's layout, which may be set
wrong, so a number counts as one if it is one on any layout. Numbers that are surely the shop's `own` stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from drivers.capture import BytesRead, KeyRead, Read
from drivers.receipts.buyer_masking import masked_buyers
from drivers.wedge.keymaps import (
    KEY_ENTER,
    KEY_KPENTER,
    KEY_LEFTALT,
    KEY_RIGHTALT,
    KEY_SPACE,
    KEY_TAB,
    KEYPAD_DIGITS,
    SHIFT_KEYS,
    TEXT_KEYS,
)
from loyalty.pan import KEPT_LEADING, KEPT_TRAILING, Own, is_pan, luhn_holds, nobodys, pan_spans

# The tracks of a swipe, and the parts of a long code, follow one another within tens of milliseconds.
QUIET_MS = 1000
# Longer than any scan or swipe. What is longer, without a line end in it, is starred as a whole: a number that
# goes on beyond the limit could not be told.
MAX_HELD_BYTES = 16 * 1024
MAX_HELD_KEYS = 16 * 1024

STAR = "*"
# Types x, a letter, on every layout.
KEY_X = 45
# ALT with these keypad digits types a star.
_STAR_BY_ALT = "42"
_DIGIT_KEYS = {2: "1", 3: "2", 4: "3", 5: "4", 6: "5", 7: "6", 8: "7", 9: "8", 10: "9", 11: "0"}
# Keys that type a separator between groups of digits: where digits are typed plain, and on a French keyboard.
_SEPARATORS = {KEY_SPACE: " ", 12: "-", 53: "-", 52: "."}
_FRENCH_SEPARATORS = {KEY_SPACE: " ", 7: "-", 51: "."}
_ALT_KEYS = {KEY_LEFTALT, KEY_RIGHTALT}
_LINE_KEYS = {KEY_ENTER, KEY_KPENTER, KEY_TAB}

# GS is part of a code, every other control character stands between codes.
_LINE_ENDS = r"[\x00-\x1c\x1e\x1f\x7f]+"
_AIM = re.compile(r"\][A-Za-z][0-9A-Za-z]")
# A maker's code ID such as A0, or an AIM identifier typed on a layout that has no ] there, ends in a digit that is
# not the number's.
_CODE_ID_LENGTHS = (2, 3)
# ISO/IEC 7813: number, separator (and name), expiry date, service code; of issuers that `pan` does not know, too.
_FINANCIAL = re.compile(r"(?<!\d)([345]\d{11,18})(?=[^\d\n]{1,28}\d\d(?:0[1-9]|1[0-2])[125679]\d[0-7])")
# ISO 4909: the third track has a format code of two digits before the number.
_THIRD_TRACK = re.compile(r"(?<!\d)\d\d(\d{12,19})(?!\d)")
_TRACK = re.compile(r"[%;+]|.*\?.?$", re.DOTALL)


class ByteMasker:
    """Masks what a device sends as bytes. `prefix` and `suffix` are the scanner's own, around each code."""

    def __init__(
        self, *, prefix: bytes = b"", suffix: bytes = b"", quiet_ms: int = QUIET_MS, own: Own = nobodys
    ) -> None:
        self._prefix = prefix.decode("latin-1")
        ends = _LINE_ENDS + (f"|{re.escape(suffix.decode('latin-1'))}" if suffix else "")
        self._ends = re.compile(f"({ends})")
        self._quiet_ms = quiet_ms
        self._own = own
        self._held: list[BytesRead] = []
        self._bytes = 0

    def heard(self, read: Read) -> list[Read]:
        """Reads that may be written now that `read` was heard. What is no bytes is dropped: it was not masked."""
        given = self.until(read.ms)
        if not isinstance(read, BytesRead):
            return given
        self._held.append(read)
        self._bytes += len(read.data)
        return given + (self._flushed(self._masked_to_line_end) if self._bytes > MAX_HELD_BYTES else [])

    def until(self, ms: int) -> list[Read]:
        """Reads that may be written because it was quiet until `ms`."""
        return self.end() if self._held and ms - self._held[-1].ms >= self._quiet_ms else []

    def end(self) -> list[Read]:
        """All that is left."""
        return self._flushed(self._masked)

    def _flushed(self, masked: Callable[[bytes], bytes]) -> list[Read]:
        """What is held as far as `masked` gives it, cut as it was heard; the rest stays."""
        data = masked(b"".join(read.data for read in self._held))
        reads: list[Read] = []
        held, self._held, self._bytes = self._held, [], 0
        start = 0
        for read in held:
            ready = data[start : start + len(read.data)]
            start += len(read.data)
            if ready:
                reads.append(replace(read, data=ready))
            if len(ready) < len(read.data):
                self._held.append(replace(read, data=read.data[len(ready) :]))
                self._bytes += len(self._held[-1].data)
        return reads

    def _masked_to_line_end(self, data: bytes) -> bytes:
        ends = list(self._ends.finditer(data.decode("latin-1")))
        return self._masked(data[: ends[-1].end()]) if ends else STAR.encode() * len(data)

    def _masked(self, data: bytes) -> bytes:
        data = masked_buyers(data)  # the code of a fiscal receipt holds one
        text, codec = _decoded(data)
        parts = self._ends.split(text)  # lines, with what ends them in between
        cards = [
            _kept(self._without_prefix(part), self._own) if index % 2 == 0 else None for index, part in enumerate(parts)
        ]
        if all(kept is None for kept in cards):
            return data
        for index, kept in enumerate(cards):
            if index % 2 == 0 and (kept is not None or _TRACK.match(parts[index])):
                parts[index] = _starred(parts[index], kept or frozenset(), codec)
        return "".join(parts).encode(codec)

    def _without_prefix(self, line: str) -> str:
        """`line` with the scanner's prefix blanked, whose digits are none of the code's."""
        if self._prefix and line.startswith(self._prefix):
            return "_" * len(self._prefix) + line[len(self._prefix) :]
        return line


class KeyMasker:
    """Masks what a keyboard device types."""

    def __init__(self, *, quiet_ms: int = QUIET_MS, own: Own = nobodys) -> None:
        self._quiet_ms = quiet_ms
        self._own = own
        self._held: list[Read] = []

    def heard(self, read: Read) -> list[Read]:
        """Reads that may be written now that `read` was heard."""
        given = self.until(read.ms)
        self._held.append(read)
        return given + (self._flushed_to_line_end() if len(self._held) >= MAX_HELD_KEYS else [])

    def until(self, ms: int) -> list[Read]:
        """Reads that may be written because it was quiet until `ms`."""
        return self.end() if self._held and ms - self._held[-1].ms >= self._quiet_ms else []

    def end(self) -> list[Read]:
        """All that is left. A burst that holds a card number keeps nothing but the ends of that number."""
        reads, self._held = self._held, []
        return _masked_keys(reads, self._own)

    def _flushed_to_line_end(self) -> list[Read]:
        ends = [index for index, read in enumerate(self._held) if isinstance(read, KeyRead) and read.code in _LINE_KEYS]
        if not ends:
            reads = self.end()
            _star_keys(reads, list(_typed(reads)), frozenset())
            return reads
        reads, self._held = self._held[: ends[-1] + 1], self._held[ends[-1] + 1 :]
        return _masked_keys(reads, self._own)


def _masked_keys(reads: list[Read], own: Own) -> list[Read]:
    """One burst; `reads` is changed."""
    typed = list(_typed(reads))
    for digits_of in _READINGS:
        kept = _kept_of_burst("".join(map(digits_of, typed)), own)
        if kept is not None:
            _star_keys(reads, typed, kept)
            break
    return reads


# What of a line may stay


def _kept(line: str, own: Own) -> frozenset[int] | None:
    """Indexes of the characters of `line` that may stay of its card numbers; None where it holds none."""
    kept: set[int] = set()
    found = False
    for start, end in _card_spans(line, own):
        found = True
        digits = [index for index in range(start, end) if line[index].isdecimal()]
        kept.update(digits[:KEPT_LEADING], digits[-KEPT_TRAILING:])
    return frozenset(kept) if found else None


def _kept_of_burst(characters: str, own: Own) -> frozenset[int] | None:
    kept: set[int] = set()
    found = False
    for line in re.finditer(r"[^\n]+", characters):
        of_line = _kept(line[0], own)
        if of_line is not None:
            found = True
            kept.update(line.start() + index for index in of_line)
    return frozenset(kept) if found else None


def _card_spans(line: str, own: Own) -> Iterator[tuple[int, int]]:
    line = _AIM.sub("___", line)
    yield from pan_spans(line, own)
    for match in _THIRD_TRACK.finditer(line):
        if is_pan(match[1]) and not own(match[1]):
            yield match.span(1)
    for match in _FINANCIAL.finditer(line):
        if luhn_holds(match[1]) and not own(match[1]):
            yield match.span(1)
    for length in _CODE_ID_LENGTHS:
        if line[length - 1 : length].isdecimal() and not line[: length - 1].isdecimal():
            yield from ((length + start, length + end) for start, end in pan_spans(line[length:], own))


def _starred(line: str, kept: frozenset[int], codec: str) -> str:
    """`line` with every letter and digit replaced but those `kept` and its AIM identifier, byte for byte."""
    aim = _AIM.match(line)
    first = aim.end() if aim is not None else 0
    return "".join(
        STAR * len(character.encode(codec))
        if index >= first and index not in kept and (character.isalnum() or ord(character) >= 0x80)
        else character
        for index, character in enumerate(line)
    )


def _decoded(data: bytes) -> tuple[str, str]:
    """As scans are read: UTF-8 if it is, so that digits of every script count."""
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


# What keys type


@dataclass(slots=True, kw_only=True)
class _Typed:
    """One character: the indexes of its events, and which key with which modifier, or by ALT and a number."""

    events: list[int] = field(default_factory=list)
    code: int = 0
    shifted: bool = False
    altgr: bool = False
    number: str = ""


def _typed(reads: Sequence[Read]) -> Iterator[_Typed]:
    """The characters of key events, whatever they are, in order."""
    down: dict[int, _Typed] = {}
    held: set[int] = set()
    by_number: _Typed | None = None
    for index, read in enumerate(reads):
        if not isinstance(read, KeyRead):
            continue
        if read.code in SHIFT_KEYS | _ALT_KEYS:
            (held.discard if read.value == 0 else held.add)(read.code)
            if read.code in _ALT_KEYS and by_number is not None:
                yield by_number
                by_number = None
        elif read.value == 0:
            if read.code in down:
                down.pop(read.code).events.append(index)
        elif held & _ALT_KEYS and read.code in KEYPAD_DIGITS:
            by_number = by_number or _Typed()
            by_number.number += KEYPAD_DIGITS[read.code]
            by_number.events.append(index)
            down[read.code] = by_number
        else:
            typed = _Typed(events=[index], code=read.code, shifted=bool(held & SHIFT_KEYS), altgr=KEY_RIGHTALT in held)
            down[read.code] = typed
            yield typed
    if by_number is not None:
        yield by_number


def _reading(counts: Callable[[_Typed], bool], separators: Mapping[int, str]) -> Callable[[_Typed], str]:
    """What a character is, as far as it matters here, where keys of the digit row give digits if `counts`."""

    def character(typed: _Typed) -> str:
        if typed.number:
            number = int(typed.number)
            return chr(number) if 0x20 <= number < 0x7F else "_"
        if typed.code in _LINE_KEYS:
            return "\n"
        if typed.code in KEYPAD_DIGITS:
            return KEYPAD_DIGITS[typed.code]
        if typed.code in _DIGIT_KEYS and not typed.altgr and counts(typed):
            return _DIGIT_KEYS[typed.code]
        return separators.get(typed.code, "_")

    return character


# Digits are typed plain (US, DE, SI, RS), with SHIFT (FR), or with CapsLock on, either way.
_READINGS = (
    _reading(lambda typed: not typed.shifted, _SEPARATORS),
    _reading(lambda typed: typed.shifted, _FRENCH_SEPARATORS),
    _reading(lambda _typed: True, _SEPARATORS),
)


def _star_keys(reads: list[Read], typed: Iterable[_Typed], kept: frozenset[int]) -> None:
    """Put another key in the place of each that typed a letter or digit which may not stay; ALTGR types neither."""
    for index, each in enumerate(typed):
        if index in kept or each.altgr:
            continue
        if each.number:
            _star_by_alt(reads, each)
        elif each.code in TEXT_KEYS - {KEY_SPACE} or each.code in KEYPAD_DIGITS:
            for event in each.events:
                read = reads[event]
                if isinstance(read, KeyRead):
                    reads[event] = replace(read, code=KEY_X)


def _star_by_alt(reads: list[Read], typed: _Typed) -> None:
    """Let ALT and its digits, as many as there were, type a star."""
    keys = {digit: code for code, digit in KEYPAD_DIGITS.items()}
    wanted = _STAR_BY_ALT.rjust(len(typed.number), "0")[-len(typed.number) :]
    position = -1
    for event in typed.events:
        read = reads[event]
        if isinstance(read, KeyRead):
            position += read.value != 0
            reads[event] = replace(read, code=keys[wanted[position]])
