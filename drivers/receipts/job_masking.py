"""Takes payment card numbers out of a printed job, byte for byte, before it is written anywhere but the spool.

Owns where in a job a number may stand: in its bytes as they are (text, codes), and in the text that the paper shows,
where commands such as bold stand between its digits. What a card number is, `loyalty.pan` knows. Pictures stay: a
number that is drawn cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from drivers.escpos.framing import EscposFramer
from drivers.star.framing import StarFramer
from loyalty.pan import KEPT_LEADING, KEPT_TRAILING, Own, nobodys, pan_spans

_STAR = ord("*")


def masked_job(payload: bytes, own: Own = nobodys) -> bytes:
    """`payload` with all but the first six and last four digits of each card number starred; its length stays.

    It is read as both printer languages: starring a few digits too many does less harm.
    """
    masked = bytearray(payload)
    _star(masked, range(len(payload)), own)
    for framer in (EscposFramer(), StarFramer()):
        frames = [*framer.feed(payload), *framer.finish()]
        shown = [place for frame in frames if frame.kind == "text" for place in range(frame.start, frame.end)]
        if len(shown) < len(payload):
            _star(masked, shown, own)
    return bytes(masked)


def _star(masked: bytearray, places: Sequence[int], own: Own) -> None:
    """Mask what is a card number when the bytes at `places` are read one after the other."""
    text = bytes(masked[place] for place in places).decode("latin-1")
    for start, end in pan_spans(text, own):
        digits = [place for place in places[start:end] if chr(masked[place]).isdigit()]
        for place in _hidden(digits):
            masked[place] = _STAR


def _hidden(digits: Sequence[int]) -> Iterable[int]:
    return digits[KEPT_LEADING : len(digits) - KEPT_TRAILING]
