"""What a till sends to a Star printer: our own captures are made of it.

`python -m tests.drivers.star.composer FOLDER` writes them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.drivers.star.commands import u16

BEGIN = b"\x1b@\x1b\x1ea\x00\x1b\x1eF\x00"
FEED_AND_CUT = b"\x1bd\x03"
DRAWER = b"\x1b\x07\x14\x14\x07"
CENTRE, LEFT = b"\x1b\x1da1", b"\x1b\x1da0"


def page(number: int) -> bytes:
    return b"\x1b\x1dt" + bytes((number,))


def large(text: bytes) -> bytes:
    return b"\x1bi\x01\x01\x1bE" + text + b"\x1bF\x1bi\x00\x00"


def qr(payload: bytes) -> bytes:
    return (
        b"\x1b\x1dyS0\x02\x1b\x1dyS1\x01\x1b\x1dyS2\x04\x1b\x1dyD1\x00" + u16(len(payload)) + payload + b"\x1b\x1dyP\n"
    )


def barcode(kind: bytes, data: bytes) -> bytes:
    return b"\x1bb" + kind + b"\x02\x02\x50" + data + b"\x1e"


def row(name: str, amount: str, width: int = 42) -> str:
    return f"{name:<{width - len(amount) - 1}} {amount}\n"


HEAD = "Čestitka d.o.o.\nŠetalište Đurđa Žužića 7, 10000 Zagreb\n"
ITEMS = (
    "Poslovnica 12                    Kasa 3\nRačun 4711/12/3          22.11.2026 09:07\nKasir Željka\n"
    + "-" * 42 + "\n"
    + row("2 x 1,50   Kruh crni 500 g", "3,00")
    + row("Šećer 1 kg", "1,20")
    + row("Čokolada 4006381333931", "5,00")
    + row("  Popust 10%", "-0,50")
    + "-" * 42 + "\n"
)  # fmt: skip
TOTAL = row("UKUPNO EUR", "8,70")
REST = row("PDV 25%             6,96", "1,74") + row("GOTOVINA", "10,00") + row("KUSUR", "1,30")
FISCAL = "https://porezna.gov.hr/rn?zki=0f1e2d3c4b5a69788796a5b4c3d2e1f0&datv=20261122_0907&izn=870"


def line_mode_receipt() -> bytes:
    """A Croatian receipt in CP852 with its fiscal code, a bar code, the drawer and the cut."""
    return (
        BEGIN + page(5) + CENTRE + HEAD.encode("cp852") + LEFT + ITEMS.encode("cp852")
        + large(TOTAL.encode("cp852")) + REST.encode("cp852")
        + CENTRE + qr(FISCAL.encode()) + barcode(b"6", b"%84711") + b"Hvala!\n" + LEFT + DRAWER + FEED_AND_CUT
    )  # fmt: skip


def page_mode_receipt() -> bytes:
    """A receipt whose names and amounts are composed side by side on a page, in Windows' Latin-2."""

    def area(left: int, top: int) -> bytes:
        return b"\x1b\x1dP3" + u16(left) + u16(top) + u16(576 - left) + u16(1200)

    def text(text: str) -> bytes:
        return text.encode("cp1250")

    head = "Prodavnica 7             Kasa 2\nRačun 815        22.11.2026 10:15\n"
    return (
        BEGIN + page(33) + b"\x1b\x1dP0"
        + area(432, 96) + text("129,90\n218,50\n\n348,40\n400,00\n51,60\n")
        + area(0, 96) + text("Žitni hleb\nMaslac domaći\n\nUKUPNO RSD\nGOTOVINA\nKUSUR\n")
        + area(0, 0) + text(head) + b"\x1b\x1dP7" + b"\x1bd2"
    )  # fmt: skip


CAPTURES = {"till-star-cp852": line_mode_receipt, "till-star-page-mode": page_mode_receipt}


if __name__ == "__main__":
    for name, compose in CAPTURES.items():
        (Path(sys.argv[1]) / f"{name}.bin").write_bytes(compose())
