"""Codes among what is printed: how printers name them, and what their payload says.

Owns the text that stands for a code on our paper. Never draws one.
"""

from __future__ import annotations

from typing import Final

# GS ( k, by its first parameter.
SYMBOLS: Final = {
    48: "PDF417",
    49: "QR",
    50: "MAXICODE",
    51: "DATABAR",
    52: "COMPOSITE",
    53: "AZTEC",
    54: "DATAMATRIX",
}
# GS k, by its kind: from 0 in the form that ends in NUL, from 65 in the form with a length.
BARCODES: Final = (
    "UPC-A", "UPC-E", "EAN13", "EAN8", "CODE39", "ITF", "CODABAR",
    "CODE93", "CODE128", "GS1-128", "DATABAR", "DATABAR-TRUNCATED", "DATABAR-LIMITED", "DATABAR-EXPANDED", "CODE128",
)  # fmt: skip


def shown(data: bytes) -> str:
    """A payload on one line: as UTF-8 where it is that, with controls written out."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if ord(letter) < 256 else f"\\u{ord(letter):04x}"


def code128_letters(data: bytes) -> bytes:
    """The letters of a CODE128 command: `{A`, `{B`, `{C` choose a set, in set C a byte is two digits."""
    letters = bytearray()
    digits = False
    index = 0
    while index < len(data):
        byte = data[index]
        if byte == 0x7B and index + 1 < len(data):
            code = data[index + 1]
            index += 2
            if code in b"ABC":
                digits = code == 0x43
            elif code == 0x7B:
                letters.append(code)
            continue
        letters += b"%02d" % byte if digits and byte < 100 else bytes((byte,))
        index += 1
    return bytes(letters)
