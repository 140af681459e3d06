"""AIM symbology identifiers: the three characters with which a scanner says what kind of symbol it read.

Owns which identifiers there are, and what their modifiers say of the data behind. Never reads the data.

Sources: ISO/IEC 15424; GS1 General Specifications figure 5.1.2-2; and for the modifiers the symbologies' own
standards (ISO/IEC 15417, 15438, 16022, 18004, 20830, 24724, 24728, 24778 and AIM's for DotCode).
"""

from __future__ import annotations

# By code character. Modifiers are not checked further than this: makers have some of their own.
_FAMILIES = {
    "A": "code39",
    "B": "telepen",
    "C": "code128",
    "D": "code-one",
    "E": "ean-upc",
    "F": "codabar",
    "G": "code93",
    "H": "code11",
    "I": "itf",
    "J": "dotcode",
    "K": "code16k",
    "L": "pdf417",
    "M": "msi",
    "N": "anker",
    "O": "codablock",
    "P": "plessey",
    "Q": "qr",
    "R": "straight-2of5",
    "S": "straight-2of5",
    "T": "code49",
    "U": "maxicode",
    "X": "unknown",  # a symbology without a code character of its own
    "Y": "unknown",  # system expansion
    "Z": "unknown",  # no barcode
    "c": "channel-code",
    "d": "datamatrix",
    "e": "databar",
    "h": "han-xin",
    "o": "ocr",
    "p": "posicode",
    "s": "supercode",
    "z": "aztec",
}
_MODIFIERS = "0123456789ABCDEF"
# Whole identifiers that have another name.
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
    if text[:1] == "]" and text[1:2] in _FAMILIES and text[2:3] in _MODIFIERS and len(text) > 2:
        return text[:3], text[3:]
    return "", text


def symbology_of(aim: str) -> str:
    """The name of the symbology that an identifier, or none, stands for."""
    return _OWN_NAMES.get(aim) or _FAMILIES.get(aim[1:2], "unknown")
