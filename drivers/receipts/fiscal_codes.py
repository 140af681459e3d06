"""The fiscal codes of one sheet: which receipt each belongs to, and what becomes of one without text.

Owns that text and code of one receipt come out as one receipt. Never reads a code's text (`fiscal_qr` does), never
finds one in a picture (`raster_codes` does), and looks into pictures only where the text does not name its receipt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from drivers.escpos.paper import PaperLine, PrintedCode
from drivers.receipts.fiscal_lines import PrintedNumbers
from drivers.receipts.fiscal_qr import FiscalCode, agrees, completed, fiscal_code, joined_parts, may_be_of, receipt_of
from drivers.receipts.port import MalformedReceiptError
from drivers.receipts.raster_codes import CodesUnreadableError, codes_in
from loyalty.identity import key_of, natural_ids
from loyalty.receipt import AwareDatetime, Fiscal, Problem, Receipt

# What a code has at least: 60 digits, or an address; and with its longest payload at most.
MIN_CODE_BYTES: Final = 30


class KnownOfReceipt(Struct, frozen=True, kw_only=True):
    """What is known of a receipt that could not be read."""

    key: str
    issued_at: AwareDatetime | UnsetType = UNSET
    business_day: date | UnsetType = UNSET
    fiscal: Fiscal


def known_of(code: FiscalCode) -> KnownOfReceipt:
    """Identity and time of the receipt that `code` stands on."""
    return _known(code.fiscal, code.also, issued_at=code.issued_at, business_day=code.business_day)


def known_by(numbers: PrintedNumbers) -> KnownOfReceipt | UnsetType:
    """Identity of the receipt that prints these `numbers`."""
    return _known(numbers.fiscal, numbers.also) if numbers.fiscal is not None else UNSET


def _known(
    fiscal: Fiscal,
    also: tuple[str, ...],
    *,
    issued_at: AwareDatetime | UnsetType = UNSET,
    business_day: date | UnsetType = UNSET,
) -> KnownOfReceipt:
    bare = Receipt(key="", also=also, kind="sale", currency="XXX", total_minor=0, fiscal=fiscal)
    key = key_of(natural_ids(bare)[0])
    return KnownOfReceipt(key=key, issued_at=issued_at, business_day=business_day, fiscal=fiscal)


class _Placed(Struct, frozen=True, kw_only=True):
    code: FiscalCode
    start: int


class SheetCodes:
    """Fiscal codes printed on a sheet. Each is taken once; `trouble` says what could not be read."""

    def __init__(self, codes: Sequence[PrintedCode], lines: Sequence[PaperLine] = ()) -> None:
        """`lines` are those of the sheet, for its pictures."""
        self.trouble = ""
        self._lines = lines
        self._searched = not lines
        self._left = list(self._fiscal(codes)) if codes else []

    def completed(self, receipt: Receipt, start: int, end: int) -> Receipt:
        """`receipt`, read from the text in `start` to `end`, with the code that stands there, if one does."""
        placed = self._fitting(receipt, start, end)
        if placed is None and not (receipt.fiscal and receipt.fiscal.number):
            self.search()
            placed = self._fitting(receipt, start, end)
        if placed is not None:
            self._take(placed)
            return completed(receipt, placed.code)
        if receipt.fiscal and any(start <= each.start < end for each in self._left):
            # Its reader took the address from a code that names another receipt.
            return replace(receipt, fiscal=replace(receipt.fiscal, verification_url=UNSET))
        return receipt

    def instead(self, problem: Problem, start: int, end: int) -> Receipt | None:
        """The receipt of the code in `start` to `end`, where its text could not be read for this `problem`."""
        self.search()
        for placed in self._left:
            if start <= placed.start < end and placed.code.total_minor is not UNSET:
                self._take(placed)
                return _marked(placed.code, problem)
        return None

    def search(self) -> None:
        """Look into the sheet's pictures, if that was not done yet."""
        if self._searched:
            return
        self._searched = True
        try:
            self._left += self._fiscal(codes_in(self._lines))
        except CodesUnreadableError as error:
            self.trouble = str(error)

    def without_text(self, problem: Problem) -> Iterator[Receipt]:
        """Receipts of the codes that are left, each marked with why its text was not read."""
        for placed in list(self._left):
            if placed in self._left and placed.code.total_minor is not UNSET:
                self._take(placed)
                yield _marked(placed.code, problem)

    def known(self) -> KnownOfReceipt | UnsetType:
        """What the one code that is left says of its receipt, where it says no amount."""
        return known_of(self._left[0].code) if len(self._left) == 1 else UNSET

    def _fitting(self, receipt: Receipt, start: int, end: int) -> _Placed | None:
        """The code that says the same, or else the only one that may be this receipt's."""
        if not self._left:
            return None
        here = [each for each in self._left if start <= each.start < end and may_be_of(each.code, receipt)]
        same = [each for each in here if agrees(each.code, receipt)]
        if same:
            return same[0]
        return here[0] if len(here) == 1 else None

    def _take(self, placed: _Placed) -> None:
        """A code may be printed twice, as QR and as bars."""
        fiscal = placed.code.fiscal
        self._left = [
            each
            for each in self._left
            if each is not placed and (each.code.fiscal.scheme, each.code.fiscal.number, each.code.also)
            != (fiscal.scheme, fiscal.number, placed.code.also)
        ]  # fmt: skip

    def _fiscal(self, codes: Sequence[PrintedCode]) -> Iterator[_Placed]:
        texts = [code.data.decode("latin-1").strip() for code in codes]
        for code, text in zip(codes, texts, strict=True):
            if len(text) >= MIN_CODE_BYTES:
                yield from self._read(text, code.start)
        if (joined := joined_parts(texts)) is not None:
            yield from self._read(joined, codes[0].start)

    def _read(self, text: str, start: int) -> Iterator[_Placed]:
        try:
            found = fiscal_code(text)
        except MalformedReceiptError as error:
            self.trouble = str(error)
            return
        if found is not None:
            yield _Placed(code=found, start=start)


def _marked(code: FiscalCode, problem: Problem) -> Receipt:
    receipt = receipt_of(code)
    return replace(receipt, problems=(*receipt.problems, problem))
