"""Whether a printer stream is a Star printer's. Owns what tells it from ESC/POS; it says so only when certain."""

from __future__ import annotations

import re
from typing import Final

from drivers.escpos.framing import EscposFramer, Frame

# A driver says what printer it speaks to in its first commands; a picture before them may be as long.
SAMPLE_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 512

# No Star stream without one of these; almost no other has one.
_HINT: Final = re.compile(rb"\x1b(?:[\x1d\x1e]|\*r)")
# ESC GS and one of these is a Star command. In ESC/POS it is an ESC without a code, which nobody sends.
_AFTER_ESC_GS: Final = frozenset(b"taARxyPS)(#sgh*/=bcL\x03\x07\x19")
# Commands of ESC/POS that a Star printer does not have.
_ESCPOS_ONLY: Final = frozenset(("ESC !", "ESC *", "ESC V", "ESC {", "ESC c", "DLE EOT", "DLE ENQ", "DLE DC4"))


def is_star_stream(document: bytes) -> bool:
    """Whether the first command that only one of the two languages has is Star's.

    Read as ESC/POS, so that the payload of its pictures and codes is not taken for commands.
    """
    sample = document[:SAMPLE_BYTES]
    if _HINT.search(sample) is None:
        return False
    framer, alone = EscposFramer(), False
    for at in range(0, len(sample) + 1, _CHUNK_BYTES):
        chunk = sample[at : at + _CHUNK_BYTES]
        # What raster mode begins with looks like a picture of ESC/POS whose bytes do not all come.
        for frame in framer.feed(chunk) + (framer.finish() if at + len(chunk) == len(sample) else []):
            verdict = None if frame.kind == "text" else _verdict(frame, after_esc=alone)
            if verdict is not None:
                return verdict
            alone = frame.name == "ESC"
    return False


def _verdict(frame: Frame, *, after_esc: bool) -> bool | None:
    """What one command says; None if it says nothing."""
    if frame.data[:1] == b"\x1d":
        return after_esc and frame.data[1:2] != b"" and frame.data[1] in _AFTER_ESC_GS
    if frame.data[:2] == b"\x1b\x1e" or frame.data[:3] == b"\x1b*r":
        return True
    return False if frame.name in _ESCPOS_ONLY else None
