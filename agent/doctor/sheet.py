"""The codes of the test sheet: what each says, what it tests, and what a scanner should send for it.

Owns the list that the sheet is drawn from and the scan test asks for. Never draws, and never judges what was
heard. The numbers are made up; those of goods lie in the range that GS1 keeps for demonstrations (952), or in
the one that every shop fills itself (2).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

FNC1 = "\x1d"
"""GS1's separator as scanners send it: ASCII GS."""

Symbol = Literal["code128", "gs1-128", "code39", "ean13", "ean8", "upca", "itf", "qr"]


class SheetCode(Struct, frozen=True, kw_only=True):
    """One code. `text` is what the symbol holds; `aims` are the AIM identifiers that name it rightly.

    `text` of a GS1 code has FNC1 between elements and none at its start, which is the identifier's to tell.
    """

    number: int
    symbol: Symbol
    title: str
    text: str
    tests: str
    aims: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The text as the sheet prints it under the symbol."""
        return _GS1_SHOWN if self.symbol == "gs1-128" else self.text


# Letters that QWERTY, QWERTZ and AZERTY keyboards have in different places, both cases, digits (which need SHIFT
# in France), and the signs that wander most.
LAYOUT_TEXT = "AZerty-QWERTZ/12:30;m+?"

_CODE_128, _EAN_13, _EAN_8, _ITF = ("]C0",), ("]E0",), ("]E4",), ("]I0", "]I1", "]I3")
_CODE_39 = ("]A0", "]A1", "]A2", "]A3", "]A4", "]A5", "]A7")
_QR = ("]Q0", "]Q1", "]Q2")
_GS1_SHOWN = "(01)09520000000011(17)301231(10)LOT-A1(21)SN42"

CODES = (
    SheetCode(
        number=1,
        symbol="code128",
        title="Keyboard layout · Code 128",
        text=LAYOUT_TEXT,
        tests="Letters, case and signs that change when the scanner types for another keyboard.",
        aims=_CODE_128,
    ),
    SheetCode(
        number=2,
        symbol="code128",
        title="Member card · Code 128",
        text="TESTCARD-0002",
        tests="A card of this shop. AIM identifier ]C0.",
        aims=_CODE_128,
    ),
    SheetCode(
        number=3,
        symbol="ean13",
        title="Member card · EAN-13",
        text="2900000000421",
        tests="A card that looks like goods: a rule tells them apart.",
        aims=_EAN_13,
    ),
    SheetCode(
        number=4,
        symbol="qr",
        title="Member code · QR",
        text="TESTCARD-0004",
        tests="A card on a phone. Camera scanners only.",
        aims=_QR,
    ),
    SheetCode(
        number=5,
        symbol="qr",
        title="Link · QR",
        text="https://example.com/?q=Zy_A-1",
        tests="A link is nobody's card.",
        aims=_QR,
    ),
    SheetCode(
        number=6,
        symbol="ean13",
        title="Goods · EAN-13",
        text="9520000000011",
        tests="All 13 digits, check digit kept.",
        aims=_EAN_13,
    ),
    SheetCode(
        number=7,
        symbol="ean8",
        title="Goods · EAN-8",
        text="95200019",
        tests="8 digits, not filled up to 13.",
        aims=_EAN_8,
    ),
    SheetCode(
        number=8,
        symbol="upca",
        title="Goods · UPC-A",
        text="012345678905",
        tests="12 digits, or 13 with a leading 0.",
        # By the standard a UPC-A is sent as an EAN-13 with a leading zero.
        aims=_EAN_13,
    ),
    SheetCode(
        number=9,
        symbol="ean13",
        title="Weighed goods · EAN-13",
        text="2112345012506",
        tests="The shop's own label: 1.250 kg of 12345.",
        aims=_EAN_13,
    ),
    SheetCode(
        number=10,
        symbol="itf",
        title="Carton · ITF-14",
        text="19520000000018",
        tests="14 digits, check digit kept.",
        aims=_ITF,
    ),
    SheetCode(
        number=11,
        symbol="code39",
        title="Old card · Code 39",
        text="CARD39V",  # V is the modulo 43 check character of what stands before it
        tests="No * around it; the final V is kept.",
        aims=_CODE_39,
    ),
    SheetCode(
        number=12,
        symbol="gs1-128",
        title="Elements · GS1-128",
        text=f"01095200000000111730123110LOT-A1{FNC1}21SN42",
        tests="The separator (FNC1) after the lot, and AIM identifier ]C1.",
        aims=("]C1",),
    ),
)
