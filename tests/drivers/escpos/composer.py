"""Jobs of tills that print in ways of their own: a page, columns out of order, bold by printing twice, untold letters.

`python -m tests.drivers.escpos.composer` writes them beside the other captures; test_captures.py holds them equal.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

CAPTURES = Path(__file__).parents[2] / "captures"
CUT = b"\x1dVB\x00"
AMOUNTS_DOTS = 396  # column 33 of 42


def _at(x: int, y: int) -> bytes:
    """In page mode: `x` dots from the left, `y` from the top."""
    return b"\x1d$" + struct.pack("<H", y) + b"\x1b$" + struct.pack("<H", x)


def page_mode() -> bytes:
    """A till that composes its receipt on a page: amounts first, then names, the head and the code last."""
    rows = (("Mlijeko 1 l", "1.29"), ("Čokolada s lješnjacima", "2.49"), ("Vrećica", "0.10"))
    code = b"https://example.org/r/4711"
    parts = [b"\x1b@\x1bt\x12\x1bL\x1bW", struct.pack("<4H", 0, 0, 512, 700)]
    parts += [_at(AMOUNTS_DOTS, 210 + 30 * row) + amount.encode() for row, (_, amount) in enumerate(rows)]
    parts += [_at(0, 210 + 30 * row) + name.encode("cp852") for row, (name, _) in enumerate(rows)]
    parts += [
        b"\x1d!\x11" + _at(0, 330) + "UKUPNO EUR".encode("cp852") + _at(AMOUNTS_DOTS - 48, 332) + b"3.88\x1d!\x00",
        _at(0, 370) + b"GOTOVINA" + _at(AMOUNTS_DOTS, 370) + b"5.00",
        _at(0, 400) + "POVRAĆAJ".encode("cp852") + _at(AMOUNTS_DOTS, 400) + b"1.12",
        b"\x1d(k\x03\x001C\x06\x1d(k" + struct.pack("<H", len(code) + 3) + b"1P0" + code,
        _at(120, 640) + b"\x1d(k\x03\x001Q0",
        _at(0, 90) + b"Prodavnica 12" + _at(AMOUNTS_DOTS - 60, 90) + b"Kasa 3",
        _at(0, 120) + "Račun 4711".encode("cp852") + _at(264, 120) + b"22.11.2026 09:07",
        _at(0, 50) + b"\x1bE\x01" + "TRGOVINA ŠKOLJKA".encode("cp852") + b"\x1bE\x00",
        b"\x0c" + CUT,
    ]
    return b"".join(parts)


def double_strike() -> bytes:
    """An old till: bold by printing a line twice, amounts by going back on their line or feeding the paper back."""
    lines = [
        b"\x1b@\x1bt\x13EXAMPLE SHOP\rEXAMPLE SHOP\n",
        b"Store 12                     Register 3\r\n",
        b"Receipt 4712\r                      22.11.2026 09:31\r\n",
        b"\x1b$\x98\x013.00\x1b$\x00\x002 x 1.50   Bread 500 g\r\n",
        b"\x1b$\x98\x015.00\x1b$\x00\x00Coffee\r\n",
        b"Cr\x8ame fra\x8cche\r\n\x1bK\x1e                                  1.20\r\n",
        b"TOTAL EUR                         9.20\n\x1be\x01TOTAL EUR                         9.20\r\n",
        b"CARD                              9.20\r\n",
        b"\x1bd\x04\x1bi",
    ]
    return b"".join(lines)


def untold_cp1250() -> bytes:
    """A till that leaves the letters to the printer's switches: windows-1250, and no ESC t."""
    text = (
        "TRGOVINA ŽIŽULA d.o.o.\nObjekt 7                      Blagajna 2\n"
        "Račun 815              22.11.2026 18:20\nOperater Đurđa\n"
        "----------------------------------------\n"
        "Šećer kristal 1 kg                  1.15\nČaj od šipka                        2.35\n"
        "Sušene šljive 200 g                 3.10\n"
        "----------------------------------------\n"
        "UKUPNO EUR                          6.60\nKARTICA                             6.60\n"
        "Hvala što kupujete kod nas!\n"
    )
    return b"\x1b@" + text.encode("cp1250") + CUT


CAPTURED: Final[Mapping[str, Callable[[], bytes]]] = {
    "till-page-mode-cp852": page_mode,
    "till-double-strike-cp858": double_strike,
    "till-untold-cp1250": untold_cp1250,
}

if __name__ == "__main__":
    for name, compose in CAPTURED.items():
        (CAPTURES / f"{name}.bin").write_bytes(compose())
