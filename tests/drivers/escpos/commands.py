"""Every command of the public ESC/POS command lists, each as a whole with parameters that would cut the paper.

A command stands here under the list that describes it. Where its parameters say its length, each form has a line.
"""

from __future__ import annotations

import struct
from typing import Final

# What no parameter may be read as: a cut, in four bytes.
TRAP: Final = b"\x1dV\x00\x1b"
T1, T2, T3, T4 = TRAP[3:], b"\x1b\x1d", b"\x1dV\x00", TRAP


def counted(head: bytes, payload: bytes = TRAP) -> bytes:
    """A command with pL pH."""
    return head + struct.pack("<H", len(payload)) + payload


# Epson: the list of all models' commands. Obsolete ones, and those of slip, cheque and label printers, included.
EPSON: Final[tuple[tuple[str, bytes], ...]] = (
    ("FF", b"\x0c"),
    ("CAN", b"\x18"),
    *(("DLE EOT", b"\x10\x04" + bytes((n,))) for n in range(1, 7)),
    *(("DLE EOT", b"\x10\x04" + bytes((n,)) + T1) for n in (7, 8, 18)),
    ("DLE ENQ", b"\x10\x05\x02"),
    ("DLE DC4", b"\x10\x14\x01" + T2),
    ("DLE DC4", b"\x10\x14\x02\x01\x08"),
    ("DLE DC4", b"\x10\x14\x03" + T4 + b"\x00"),
    ("DLE DC4", b"\x10\x14\x07" + T1),
    ("DLE DC4", b"\x10\x14\x08\x01\x03\x14\x01\x06\x02\x08"),
    ("ESC FF", b"\x1b\x0c"),
    ("ESC SP", b"\x1b " + T1),
    ("ESC !", b"\x1b!" + T1),
    ("ESC $", b"\x1b$" + T2),
    ("ESC %", b"\x1b%" + T1),
    ("ESC ( A", counted(b"\x1b(A")),
    ("ESC ( Y", counted(b"\x1b(Y", T2)),
    *(("ESC *", b"\x1b*" + bytes((m,)) + b"\x04\x00" + TRAP) for m in (0, 1)),
    *(("ESC *", b"\x1b*" + bytes((m,)) + b"\x04\x00" + TRAP * 3) for m in (32, 33)),
    ("ESC -", b"\x1b-" + T1),
    ("ESC 2", b"\x1b2"),
    ("ESC 3", b"\x1b3" + T1),
    ("ESC <", b"\x1b<"),
    ("ESC =", b"\x1b=" + T1),
    ("ESC ?", b"\x1b?" + T1),
    ("ESC @", b"\x1b@"),
    ("ESC C", b"\x1bC" + T1),
    ("ESC D", b"\x1bD\x08\x10\x1b\x1d\x00"),
    ("ESC D", b"\x1bD\x00"),
    ("ESC D", b"\x1bD" + bytes(range(1, 33)) + b"\x00"),
    ("ESC E", b"\x1bE" + T1),
    ("ESC F", b"\x1bF" + T1),
    ("ESC G", b"\x1bG" + T1),
    ("ESC J", b"\x1bJ" + T1),
    ("ESC K", b"\x1bK" + T1),
    ("ESC L", b"\x1bL"),
    ("ESC M", b"\x1bM" + T1),
    ("ESC R", b"\x1bR" + T1),
    ("ESC S", b"\x1bS"),
    ("ESC T", b"\x1bT" + T1),
    ("ESC U", b"\x1bU" + T1),
    ("ESC V", b"\x1bV" + T1),
    ("ESC W", b"\x1bW" + T4 + T4),
    ("ESC \\", b"\x1b\\" + T2),
    ("ESC a", b"\x1ba" + T1),
    *(("ESC c", b"\x1bc" + kind + T1) for kind in (b"0", b"1", b"3", b"4", b"5")),
    ("ESC d", b"\x1bd" + T1),
    ("ESC e", b"\x1be" + T1),
    ("ESC f", b"\x1bf" + T2),
    ("ESC i", b"\x1bi"),
    ("ESC m", b"\x1bm"),
    ("ESC o", b"\x1bo"),
    ("ESC p", b"\x1bp\x00" + T2),
    ("ESC q", b"\x1bq"),
    ("ESC r", b"\x1br" + T1),
    ("ESC t", b"\x1bt" + T1),
    ("ESC u", b"\x1bu" + T1),
    ("ESC v", b"\x1bv"),
    ("ESC z", b"\x1bz" + T1),
    ("ESC {", b"\x1b{" + T1),
    ("FS !", b"\x1c!" + T1),
    ("FS &", b"\x1c&"),
    *((f"FS ( {kind}", counted(b"\x1c(" + kind.encode())) for kind in "ACELefg"),
    ("FS -", b"\x1c-" + T1),
    ("FS .", b"\x1c."),
    ("FS 2", b"\x1c2\x77\x21" + TRAP * 18),
    ("FS ?", b"\x1c?\x77\x21"),
    ("FS C", b"\x1cC" + T1),
    ("FS L", b"\x1cL"),
    ("FS S", b"\x1cS" + T2),
    ("FS W", b"\x1cW" + T1),
    ("FS a", b"\x1ca0" + T1),
    ("FS a", b"\x1ca1"),
    ("FS a", b"\x1ca2"),
    ("FS b", b"\x1cb"),
    ("FS c", b"\x1cc"),
    ("FS g", b"\x1cg1\x00\x00\x00\x00\x00\x04\x00" + TRAP),
    ("FS g", b"\x1cg2\x00\x00\x00\x00\x00\x04\x00"),
    ("FS p", b"\x1cp" + T2),
    ("GS FF", b"\x1d\x0c"),
    ("GS !", b"\x1d!" + T1),
    ("GS $", b"\x1d$" + T2),
    ("GS &", b"\x1d&" + T2),
    *((f"GS ( {kind}", counted(b"\x1d(" + kind.encode())) for kind in "ABCDEGHKLMNPQVYkz"),
    ("GS ( k", counted(b"\x1d(k", b"1P0" + TRAP * 100)),
    ("GS 8 L", b"\x1d8L" + struct.pack("<I", len(TRAP) * 300) + TRAP * 300),
    ("GS *", b"\x1d*\x02\x01" + TRAP * 4),
    ("GS /", b"\x1d/" + T1),
    ("GS :", b"\x1d:"),
    ("GS B", b"\x1dB" + T1),
    ("GS C", b"\x1dC0" + T2),
    ("GS C", b"\x1dC1" + T4 + T2),
    ("GS C", b"\x1dC2" + T2),
    ("GS C", b"\x1dC;1;65535;1;255;5;"),
    ("GS D", b"\x1dD0C0\x20\x2001BM" + struct.pack("<I", 6 + len(TRAP)) + TRAP),
    ("GS D", b"\x1dD0S0\x20\x2001BM" + struct.pack("<I", 6 + len(TRAP)) + TRAP),
    ("GS E", b"\x1dE" + T1),
    ("GS H", b"\x1dH" + T1),
    ("GS I", b"\x1dI" + T1),
    ("GS L", b"\x1dL" + T2),
    ("GS P", b"\x1dP" + T2),
    ("GS Q", b"\x1dQ0\x00\x04\x00\x01\x00" + TRAP),
    ("GS T", b"\x1dT" + T1),
    *(("GS V", b"\x1dV" + bytes((m,))) for m in (0, 1, 48, 49)),
    *(("GS V", b"\x1dV" + bytes((m,)) + T1) for m in (65, 66, 97, 98, 103, 104)),
    ("GS W", b"\x1dW" + T2),
    ("GS \\", b"\x1d\\" + T2),
    ("GS ^", b"\x1d^" + T3),
    ("GS a", b"\x1da" + T1),
    ("GS b", b"\x1db" + T1),
    ("GS c", b"\x1dc"),
    ("GS f", b"\x1df" + T1),
    ("GS g", b"\x1dg0\x00" + T2),
    ("GS g", b"\x1dg2\x00" + T2),
    ("GS h", b"\x1dh" + T1),
    ("GS j", b"\x1dj" + T1),
    *(("GS k", b"\x1dk" + bytes((m,)) + b"12345670\x00") for m in range(7)),
    *(("GS k", b"\x1dk" + bytes((m, len(TRAP))) + TRAP) for m in range(65, 80)),
    ("GS r", b"\x1dr" + T1),
    *(("GS v", b"\x1dv0" + bytes((m,)) + b"\x02\x00\x02\x00" + TRAP) for m in (0, 1, 2, 3, 48, 49, 50, 51)),
    ("GS w", b"\x1dw" + T1),
    ("GS z", b"\x1dz0" + T2),
)

# Epson: the list of customer displays' commands (ESC = 2 sends the stream to one).
DISPLAY: Final[tuple[tuple[str, bytes], ...]] = (
    *((f"US 0x{code:02x}", bytes((0x1F, code))) for code in (1, 2, 3)),
    ("US LF", b"\x1f\n"),
    ("US CR", b"\x1f\r"),
    ("US #", b"\x1f#" + T2),
    ("US $", b"\x1f$" + T2),
    *((f"US {kind}", b"\x1f" + kind.encode() + T1) for kind in ",.;CEXrv"),
    *((f"US {kind}", b"\x1f" + kind.encode()) for kind in ":@BU"),
    ("US T", b"\x1fT" + T2),
    ("US ^", b"\x1f^" + T2),
    *((f"US ( {kind}", counted(b"\x1f(" + kind.encode())) for kind in "AEG"),
)

# Small printers of Chinese make.
SMALL: Final[tuple[tuple[str, bytes], ...]] = (
    ("ESC B", b"\x1bB" + T2),
    ("ESC Z", b"\x1bZ\x00\x02\x06\x04\x00" + TRAP),
    ("GS k", b"\x1dk\x61\x01\x02\x04\x00" + TRAP),
    ("FS C", b"\x1cC\xff"),
)

COMMANDS: Final = (*EPSON, *DISPLAY, *SMALL)
