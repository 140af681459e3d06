"""What a document comes to: receipts, what was no receipt, and problems, each with its bytes.

Owns these types, and the last look at a receipt before it leaves. Never reads a document.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from drivers.escpos.guess import GuessedPage
from drivers.receipts.classify import IgnoredKind
from drivers.receipts.fiscal_codes import KnownOfReceipt
from drivers.receipts.port import DecodeOptions, MalformedReceiptError
from loyalty.identity import identified
from loyalty.money import MAX_MINOR
from loyalty.nul import holds_nul
from loyalty.receipt import MAX_ALSO, MAX_FOUND_BY_CHARS, Receipt, overlong

_JSON: Final = msgspec.json.Encoder()
_RECEIPTS: Final = msgspec.json.Decoder(Receipt)
_CURRENCY: Final = re.compile(r"[A-Z]{3}").fullmatch
_DECIMAL: Final = r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?"
_DECIMALS: Final = re.compile(rf"{_DECIMAL}(?: {_DECIMAL})*+").fullmatch


class Ignored(Struct, frozen=True, kw_only=True):
    """Something printed that is no receipt, and the bytes it came from."""

    kind: IgnoredKind
    start: int
    end: int


class DecodeProblem(Struct, frozen=True, kw_only=True):
    """Something that could not be read. Its bytes are `document[start:end]`.

    `known` names the receipt that they were, where a fiscal code does.
    """

    code: str
    detail: str
    start: int
    end: int
    known: KnownOfReceipt | UnsetType = UNSET


Piece = Receipt | Ignored | DecodeProblem | GuessedPage


def checked(
    reader: str, read: Callable[[], Receipt], start: int, end: int, *, is_ours: bool = True
) -> Receipt | DecodeProblem:
    """What `read` gives, if it can be read back; else why not. Of ours the type checker says that types are right."""
    try:
        receipt = read()
        # Structs do not check themselves when made: what leaves here can be read back.
        document = _JSON.encode(receipt)
        if not (is_ours and is_within_bounds(receipt)):
            _RECEIPTS.decode(document)
        if (wrong := unkeepable(receipt, document)) is not None:
            raise MalformedReceiptError("out_of_bounds", wrong)
    except MalformedReceiptError as error:
        return DecodeProblem(code=error.code, detail=str(error), start=start, end=end)
    except msgspec.ValidationError as error:
        return DecodeProblem(code="out_of_bounds", detail=f"{error}; the receipt is damaged", start=start, end=end)
    except Exception as error:  # noqa: BLE001 - one bad receipt never stops the others
        detail = f"reader {reader} failed ({type(error).__name__}); report it with these bytes"
        return DecodeProblem(code="reader_failed", detail=detail, start=start, end=end)
    return receipt


def unkeepable(receipt: Receipt, document: bytes) -> str | None:
    """Why the centre would have none of a receipt that can be read, `document` as JSON; None where it would."""
    if (long := overlong(receipt)) is not None:
        return f"`{long}` has more than {MAX_FOUND_BY_CHARS} characters; correct it at the sender"
    if len(receipt.also) > MAX_ALSO:
        return f"`also` has more than {MAX_ALSO} ids; correct it at the sender"
    return "a text holds a NUL; correct it at the sender" if holds_nul(document) else None


def is_within_bounds(receipt: Receipt) -> bool:
    """Whether all values are within the bounds of the contract, if they are of its types. False: look closer.

    In a third of the time that it takes to read a receipt back, most of which goes into decimals.
    """
    amounts = [receipt.total_minor, receipt.rounding_minor, receipt.change_minor]
    texts: list[str | UnsetType] = []
    for line in receipt.lines:
        amounts += (line.amount_minor, line.discount_minor)
        texts += (line.quantity, line.unit_price)
    for tax in receipt.taxes:
        amounts.append(tax.amount_minor)
        texts.append(tax.rate)
    amounts += [discount.amount_minor for discount in receipt.discounts]
    for tender in receipt.tenders:
        amounts += (tender.amount_minor, tender.foreign_minor or 0)
        if tender.currency is not UNSET and not _CURRENCY(tender.currency):
            return False
    decimals = [text for text in texts if text is not UNSET]
    joined = " ".join(decimals)
    moments = (receipt.issued_at, receipt.captured_at, receipt.original and receipt.original.issued_at)
    return (
        min(amounts) >= -MAX_MINOR
        and max(amounts) <= MAX_MINOR
        and (not decimals or (_DECIMALS(joined) is not None and joined.count(" ") == len(decimals) - 1))
        and _CURRENCY(receipt.currency) is not None
        and all(not moment or moment.tzinfo is not None for moment in moments)
    )


def coded(receipt: Receipt, printed: bytes, options: DecodeOptions, *, source: str | None) -> Receipt:
    """A receipt that only its code is known of, complete as the readers' are."""
    store, register = options.store or UNSET, options.register or UNSET
    return identified(replace(receipt, source=source or UNSET, store=store, register=register), printed)
