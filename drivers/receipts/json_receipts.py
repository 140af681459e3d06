"""Receipts in the JSON of the contract, as another `decode` or a POS wrote them.

Owns that form only: `{"receipts": […]}`, a list, or one receipt. One bad receipt stops no other.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from loyalty.identity import identified, natural_ids
from loyalty.receipt import Receipt


class JsonReceiptError(ValueError):
    """The document is no JSON of receipts. The message says what is wrong."""


class _Receipts(Struct, frozen=True, kw_only=True):
    receipts: list[Raw]


class _Journal(Struct, frozen=True, kw_only=True):
    journal: str


class GivenReceipt(Receipt, frozen=True, kw_only=True):
    """A receipt as its sender gives it, who need not know its key."""

    key: str = ""


class GivenReceipts(Struct, frozen=True, kw_only=True):
    """Several of them in one document."""

    receipts: tuple[GivenReceipt, ...]


def journal_of(document: bytes) -> str | None:
    """The journal inside the tax administration's JSON of an invoice, or None for other JSON."""
    try:
        return msgspec.json.decode(document, type=_Journal).journal
    except (msgspec.DecodeError, RecursionError):
        return None


def read_json(document: bytes) -> Iterator[tuple[Receipt | str, int, int]]:
    """Each receipt, or why it is none, with its byte range. Raises JsonReceiptError."""
    at = 0
    for raw in _raw_receipts(document):
        text = bytes(raw)
        start = document.find(text, at)
        at = max(start, 0) + len(text)
        yield _receipt(text), max(start, 0), at


def _raw_receipts(document: bytes) -> list[Raw]:
    try:
        opening = document.lstrip()[:1]
        if opening == b"[":
            return msgspec.json.decode(document, type=list[Raw])
        members = msgspec.json.decode(document, type=dict[str, Raw])
        if "receipts" in members:
            return msgspec.json.decode(document, type=_Receipts).receipts
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise JsonReceiptError(f"not JSON of receipts: {error}") from error
    if "currency" not in members or "total_minor" not in members:
        raise JsonReceiptError('not JSON of receipts: it has neither "receipts" nor the keys of one')
    return [Raw(document.strip())]


def _receipt(text: bytes) -> Receipt | str:
    try:
        given = msgspec.json.decode(text, type=GivenReceipt)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return f"{error}; correct it at the sender"
    receipt = Receipt(**{name: getattr(given, name) for name in Receipt.__struct_fields__})
    # A key that its sender made of the job's bytes cannot be made again here, so it stays.
    return receipt if receipt.key and not natural_ids(receipt) else identified(receipt, text)
