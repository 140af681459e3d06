"""Receipts in JSON: in that of the contract, as another `decode` or a POS wrote them, or as journals inside other JSON.

Owns these forms: `{"receipts": […]}`, a list, or one receipt; and the tax administration's, whose journal is text for
its own reader. One bad receipt stops no other; nothing of a fiscal buyer but the kind comes in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from drivers.receipts.fiscal_qr import fiscal_code
from drivers.receipts.port import MalformedReceiptError
from loyalty.identity import identified, natural_ids
from loyalty.receipt import Receipt

_BUYER_KIND: Final = re.compile(r"(\d{2})(?!\d)")


class JsonReceiptError(ValueError):
    """The document is no JSON of receipts. The message says what is wrong."""


class _Receipts(Struct, frozen=True, kw_only=True):
    receipts: list[Raw]


class _Journal(Struct, frozen=True, kw_only=True, rename="camel"):
    """The tax administration's JSON of an invoice, as its portal and its processors give it."""

    journal: str
    verification_url: str | None = None


class GivenReceipt(Receipt, frozen=True, kw_only=True):
    """A receipt as its sender gives it, who need not know its key."""

    key: str = ""


class GivenReceipts(Struct, frozen=True, kw_only=True):
    """Several of them in one document."""

    receipts: tuple[GivenReceipt, ...]


def journals_of(document: bytes) -> str | None:
    """The journals inside the tax administration's JSON of an invoice, or of several; None for other JSON.

    The address that checks an invoice stands below its journal, as a till prints it.
    """
    try:
        if document.lstrip()[:1] == b"[":
            invoices = msgspec.json.decode(document, type=list[_Journal])
        else:
            invoices = [msgspec.json.decode(document, type=_Journal)]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return "\n".join([f"{invoice.journal}\n{invoice.verification_url or ''}\n" for invoice in invoices]) or None


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
    receipt = without_buyer(Receipt(**{name: getattr(given, name) for name in Receipt.__struct_fields__}))
    # A key that its sender made of the job's bytes cannot be made again here, so it stays.
    return receipt if receipt.key and not natural_ids(receipt) else identified(receipt, text)


def without_buyer(receipt: Receipt) -> Receipt:
    """`receipt` without what its sender says of a fiscal buyer beyond the kind, also in the address."""
    fiscal = receipt.fiscal
    if not fiscal:
        return receipt
    kind = _BUYER_KIND.match(fiscal.buyer_kind or "")
    address = fiscal.verification_url
    try:
        code = fiscal_code(address) if address else None
    except MalformedReceiptError:
        code = None
    if code is not None:
        address = code.fiscal.verification_url
    return replace(
        receipt,
        fiscal=replace(fiscal, buyer_kind=kind[1] if kind is not None else UNSET, verification_url=address),
    )
