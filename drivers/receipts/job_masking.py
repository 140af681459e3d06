"""Takes payment card numbers out of a printed job, byte for byte, before it is written anywhere but the spool.

Owns where in a job a number may stand: in its bytes as they are (text, codes), and in the text that the paper shows,
where commands such as bold stand between its digits. What a card number is, `loyalty.pan` knows. Pictures stay: a
number that is drawn cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from drivers.escpos.framing import EscposFramer, Frame
from drivers.star.framing import StarFramer
from loyalty.pan import KEPT_LEADING, KEPT_TRAILING, Own, nobodys, pan_spans

_STAR: Final = ord("*")
# In the text of a job, and nothing on the paper but a place further on.
UNSEEN: Final = b"\t\0"
_LINE_END: Final = b"\n"
_NO_DIGITS: Final = bytes(code for code in range(256) if not chr(code).isdecimal())
# The shortest number, as `loyalty.pan` has it.
MIN_DIGITS: Final = 13

_Stretch = tuple[int, int]


def masked_job(payload: bytes, own: Own = nobodys) -> bytes:
    """`payload` with all but the first six and last four digits of each card number starred; its length stays.

    It is read as both printer languages: starring a few digits too many does less harm.
    """
    masked = bytearray(payload)
    _star(masked, range(len(payload)), own)
    for framer in (EscposFramer(), StarFramer()):
        for line in printed_lines(payload, [*framer.feed(payload), *framer.finish()]):
            _star_line(masked, line, own)
    return bytes(masked)


def printed_lines(payload: bytes, frames: Iterable[Frame]) -> Iterator[list[_Stretch]]:
    """Lines of printed text that commands, or what is not seen, part in several stretches of `payload`."""
    line: list[_Stretch] = []
    for frame in frames:
        if frame.kind != "text":
            continue
        at = frame.start
        while (end := payload.find(_LINE_END, at, frame.end)) >= 0:
            yield [*line, (at, end)]
            line, at = [], end + 1
        line.append((at, frame.end))
    yield line


def _star_line(masked: bytearray, line: Sequence[_Stretch], own: Own) -> None:
    text = b"".join(masked[start:end] for start, end in line)
    is_parted = len(line) > 1 or any(code in text for code in UNSEEN)
    if is_parted and len(text.translate(None, _NO_DIGITS)) >= MIN_DIGITS:
        _star(masked, [place for start, end in line for place in range(start, end) if masked[place] not in UNSEEN], own)


def _star(masked: bytearray, places: Sequence[int], own: Own) -> None:
    """Mask what is a card number when the bytes at `places` are read one after the other."""
    text = bytes(masked[place] for place in places).decode("latin-1")
    for start, end in pan_spans(text, own):
        digits = [place for place in places[start:end] if chr(masked[place]).isdigit()]
        for place in _hidden(digits):
            masked[place] = _STAR


def _hidden(digits: Sequence[int]) -> Iterable[int]:
    return digits[KEPT_LEADING : len(digits) - KEPT_TRAILING]
