"""Fiscal numbers and codes that stand on a receipt as text, whatever its layout: ZKI and JIR, ZOI, a code written out.

Owns the words that name them and how they are wrapped and grouped. Never reads anything else of a receipt.

Source: the fiscalisation acts of Croatia and Slovenia, for what a receipt must show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from drivers.escpos.paper import PrintedCode
from drivers.receipts.fiscal_qr import MAX_CODE_LETTERS, fiscal_code
from drivers.receipts.port import Lines, MalformedReceiptError
from drivers.receipts.wording import plain
from loyalty.identity import hr_jir
from loyalty.receipt import Fiscal, Receipt

# A written code is wrapped at the paper's width; the longest payload on 32 columns.
MAX_CODE_LINES: Final = 240
MAX_LINE_LETTERS: Final = 8_000
SLOVENIAN_DIGITS: Final = 60

# Slovenia prints an EOR beside the ZOI, which names the receipt to the authority only.
# Any of these is in every text that names a number of these schemes.
_HINTS: Final = ("ZKI", "JIR", "ZOI", "KOD", "IDENTIFIKATOR", "OZNAKA")
_ZKI: Final = r"(?P<zki>ZKI\b|ZAST(?:ITNI|\.)?\s+KOD(?:\s+IZD(?:AVATELJA|\.)?)?)"
_JIR: Final = r"(?P<jir>JIR\b|JEDINSTVENI\s+IDENTIFIKATOR(?:\s+RACUNA)?)"
_ZOI: Final = r"(?P<zoi>ZOI\b|ZASCITNA\s+OZNAKA(?:\s+IZDAJATELJA(?:\s+RACUNA)?)?)"
# 32 hexadecimal digits, in groups or wrapped. A label may have its short form behind it.
_NUMBER: Final = re.compile(
    rf"\b(?:{_ZKI}|{_JIR}|{_ZOI})\s{{0,3}}(?:\((?:ZKI|JIR|ZOI)\))?[\s.:#=-]{{0,80}}"
    r"(?P<digits>(?:[0-9A-F][\s-]{0,60}){31}[0-9A-F])(?![0-9A-Z])"
)
_WRITTEN: Final = re.compile(
    r"https?://(?:suf\.purs|(?:www\.)?porezna)\.gov\.(?:rs|hr)\S*|(?<!\d)\d{60}(?!\d)", re.IGNORECASE
)
# What a code is printed in: `[QR …]`, `<a href="…">`.
_CLOSING: Final = "]>\"'"
_GOES_ON: Final = re.compile(rf"\s*([A-Za-z0-9+/=%_&.,|-]{{1,{MAX_LINE_LETTERS}}})([{_CLOSING}]?)\s*")
_AMOUNT_LAST: Final = re.compile(r".*[?&]izn=[\d.,]*", re.IGNORECASE).fullmatch


class PrintedNumbers(Struct, frozen=True, kw_only=True):
    """The numbers of one receipt: 32 hexadecimal digits each, in lower case. Empty where it prints none."""

    zki: str = ""
    jir: str = ""
    zoi: str = ""

    @property
    def fiscal(self) -> Fiscal | None:
        """As a receipt has it; a JIR alone still says whose scheme it is."""
        if self.zoi:
            return Fiscal(scheme="si-furs", number=self.zoi)
        if self.zki or self.jir:
            return Fiscal(scheme="hr-fisk", number=self.zki or UNSET)
        return None

    @property
    def also(self) -> tuple[str, ...]:
        """The natural ids beside the fiscal number's."""
        return (hr_jir(self.jir),) if self.jir and not self.zoi else ()


def printed_numbers(lines: Lines) -> PrintedNumbers:
    """The first of each kind that `lines` name."""
    text = plain("\n".join(lines.texts))
    if not any(hint in text for hint in _HINTS):
        return PrintedNumbers()
    found: dict[str, str] = {}
    for match in _NUMBER.finditer(text):
        digits = re.sub(r"[\s-]", "", match["digits"]).lower()
        for name in ("zki", "jir", "zoi"):
            if match[name]:
                found.setdefault(name, digits)
    return PrintedNumbers(**found)


def with_numbers(receipt: Receipt, numbers: PrintedNumbers) -> Receipt:
    """`receipt` with the numbers that its text prints, where its reader found none of another scheme."""
    printed = numbers.fiscal
    if printed is None or (receipt.fiscal and receipt.fiscal.scheme != printed.scheme):
        return receipt
    fiscal = receipt.fiscal or printed
    return replace(
        receipt,
        fiscal=replace(fiscal, number=fiscal.number or printed.number),
        also=tuple(dict.fromkeys((*receipt.also, *numbers.also))),
    )


def written_codes(lines: Lines) -> Iterator[PrintedCode]:
    """Fiscal codes whose text is printed beside or instead of their dots, also wrapped over lines."""
    texts = lines.texts
    if max(map(len, texts), default=0) < SLOVENIAN_DIGITS and "gov." not in "\n".join(texts):
        return
    for at in [at for at, text in enumerate(texts) if "gov." in text or len(text) >= SLOVENIAN_DIGITS]:
        text = texts[at][:MAX_LINE_LETTERS].rstrip()
        for match in _WRITTEN.finditer(text):
            code, last = match.group().rstrip(_CLOSING), at
            if match.end() == len(text) and text[-1] not in _CLOSING:
                code, last = _to_its_end(code, lines, at)
            data = code.encode("ascii", "replace")
            yield PrintedCode(symbology="text", data=data, start=lines[at].start, end=lines[last].end)


def _to_its_end(code: str, lines: Lines, at: int) -> tuple[str, int]:
    """The code that begins on line `at` with what its next lines hold of it, and its last line."""
    for next_at in range(at + 1, min(at + MAX_CODE_LINES, len(lines))):
        if len(code) > MAX_CODE_LETTERS:
            break
        more = _GOES_ON.fullmatch(lines[next_at].text)
        # What is whole may still lack the end of its amount.
        if more is None or (_is_whole(code) and not (_AMOUNT_LAST(code) and more[1][0].isdigit())):
            break
        code, at = code + more[1], next_at
        if more[2]:
            break
    return code, at


def _is_whole(code: str) -> bool:
    try:
        return fiscal_code(code) is not None
    except MalformedReceiptError:
        return False
