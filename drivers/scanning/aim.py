"""AIM symbology identifiers: the three characters with which a scanner says what kind of symbol it read.

Owns which identifiers there are, and what their modifiers say of the data behind. Never reads the data.

Sources: ISO/IEC 15424, GS1 General Specifications figure 5.1.2-2, and the symbologies' own standards (ISO/IEC
16022, 18004, 24778, 24728, 15417, 24724) for the modifiers.
"""

from __future__ import annotations

# By code character: what the symbology is called, and its modifiers in use. Where a shop meets only one of a
# symbology's variants, and for makers' own values, any digit or capital goes.
_ANY = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FAMILIES: dict[str, tuple[str, str]] = {
    "A": ("code39", _ANY),
    "B": ("telepen", _ANY),
    "C": ("code128", "0124"),
    "D": ("code-one", _ANY),
    "E": ("ean-upc", "01234"),
    "F": ("codabar", _ANY),
    "G": ("code93", _ANY),
    "H": ("code11", _ANY),
    "I": ("itf", _ANY),
    "J": ("dotcode", "012345"),
    "K": ("code16k", _ANY),
    "L": ("pdf417", "012345"),
    "M": ("msi", _ANY),
    "N": ("anker", _ANY),
    "O": ("codablock", _ANY),
    "P": ("plessey", _ANY),
    "Q": ("qr", "0123456"),
    "R": ("straight-2of5", _ANY),
    "S": ("straight-2of5", _ANY),
    "T": ("code49", _ANY),
    "U": ("maxicode", _ANY),
    "X": ("unknown", _ANY),  # a symbology without a code character of its own
    "Y": ("unknown", _ANY),  # system expansion
    "Z": ("unknown", _ANY),  # no barcode
    "c": ("channel-code", _ANY),
    "d": ("datamatrix", "0123456"),
    "e": ("databar", "0123"),
    "h": ("han-xin", _ANY),
    "o": ("ocr", _ANY),
    "p": ("posicode", _ANY),
    "s": ("supercode", _ANY),
    "z": ("aztec", "0123456789ABC"),
}
# Whole identifiers that GS1 gives another name.
_OWN_NAMES = {
    "]C1": "gs1-128",
    "]E0": "ean13",
    "]E3": "ean13",
    "]E4": "ean8",
    "]J1": "gs1-dotcode",
    "]J4": "gs1-dotcode",
    "]Q3": "gs1-qr",
    "]Q4": "gs1-qr",
    "]d2": "gs1-datamatrix",
    "]d5": "gs1-datamatrix",
}

# FNC1 in the first position: what follows are GS1 element strings. In the second position (]C2, ]Q5, ]d3, …) it
# announces an industry's own format, which is just text to a shop.
GS1_IDENTIFIERS = frozenset(
    {"]C1", "]J1", "]J4", "]L3", "]Q3", "]Q4", "]d2", "]d5", "]e0", "]e1", "]e2", "]e3", "]z1", "]z4"}
)
# Where a label's maker left the first FNC1 out, its element strings come under these, as any text does.
FNC1_LEFT_OUT = frozenset({"]C0", "]Q1", "]d1"})
# Under the ECI protocol a reader doubles each backslash, and writes a change of character set as \nnnnnn.
ECI_IDENTIFIERS = frozenset(
    {"]J3", "]J4", "]J5", "]L1", "]Q2", "]Q4", "]Q6", "]d4", "]d5", "]d6", "]e3", "]h1", "]z3", "]z4", "]z5"}
)


def split_identifier(text: str) -> tuple[str, str]:
    """The identifier that leads `text`, empty where there is none, and the rest."""
    if text[:1] == "]":
        _, modifiers = _FAMILIES.get(text[1:2], ("", ""))
        if text[2:3] and text[2:3] in modifiers:
            return text[:3], text[3:]
    return "", text


def symbology_of(aim: str) -> str:
    """The name of the symbology that an identifier, or none, stands for."""
    return _OWN_NAMES.get(aim) or _FAMILIES.get(aim[1:2], ("unknown", ""))[0]
