"""Receipts in JSON: in that of the contract, as another `decode` or a POS wrote them, or as journals inside other JSON.

Owns these forms: `{"receipts": […]}`, a list, or one receipt; and the tax administration's, whose journal is text for
its own reader. One bad receipt stops no other; nothing of a fiscal buyer but the kind comes in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from drivers.receipts.fiscal_qr import fiscal_code
from drivers.receipts.given import GivenReceipt
from drivers.receipts.json_cut import AmbiguousError, elements, refuse_ambiguity
from drivers.receipts.json_refusals import refusal
from drivers.receipts.port import DecodeOptions, MalformedReceiptError, Part
from loyalty.identity import identified, natural_ids
from loyalty.receipt import Receipt
from loyalty.undecodable import UNDECODABLE

# A thousand lines with all that the contract knows take a third of it.
MAX_RECEIPT_BYTES: Final = 1024 * 1024

_BUYER_KIND: Final = re.compile(r"(\d{2})(?!\d)")


class _Journal(Struct, frozen=True, kw_only=True, rename="camel"):
    """The tax administration's JSON of an invoice, as its portal and its processors give it."""

    journal: str
    verification_url: str | None = None


# Made here: two threads that made msgspec look at a type at once would crash the interpreter (0.22).
_JOURNAL: Final = msgspec.json.Decoder(_Journal)
_JOURNALS: Final = msgspec.json.Decoder(list[_Journal])
_ONE: Final = msgspec.json.Decoder(GivenReceipt)


def journals_of(document: bytes) -> str | None:
    """The journals inside the tax administration's JSON of an invoice, or of several; None for other JSON.

    The address that checks an invoice stands below its journal, as a till prints it.
    """
    try:
        invoices = _JOURNALS.decode(document) if document.lstrip()[:1] == b"[" else [_JOURNAL.decode(document)]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return "\n".join([f"{invoice.journal}\n{invoice.verification_url or ''}\n" for invoice in invoices]) or None


def read_json(document: bytes, options: DecodeOptions) -> Iterator[tuple[Part, int, int]]:
    """Each receipt, or why it is none, with its byte range. Never raises."""
    number = 0
    for number, (start, end, is_listed) in enumerate(elements(document), 1):
        yield _receipt(document[start:end], number if is_listed else None, options), start, end
    if not number:
        yield "blank", 0, len(document)


def _receipt(text: bytes, number: int | None, options: DecodeOptions) -> Part:
    """The receipt in `text`, or why it is none. `number` is its place in a list; None where it stands alone."""
    if len(text) > MAX_RECEIPT_BYTES:
        return MalformedReceiptError("too_large", f"a receipt of more than {MAX_RECEIPT_BYTES // 1024} KiB; correct it")
    try:
        given = _ONE.decode(text)
        refuse_ambiguity(text)
    except (*UNDECODABLE, AmbiguousError) as error:
        if number is None and b'"verificationUrl"' in text:
            detail = "the answer of a fiscal device without its `journal`: have the till ask for the receipt as text"
            return MalformedReceiptError("bad_json", detail)
        if number is None and b'"total_minor"' not in text:
            detail = f'not JSON of receipts: it has neither "receipts" nor the keys of one ({error})'
            return MalformedReceiptError("bad_json", detail)
        return MalformedReceiptError("bad_receipt", refusal(error, number))
    receipt = without_buyer(Receipt(**{name: getattr(given, name) for name in Receipt.__struct_fields__}))
    if not receipt.key:
        receipt = _at_its_till(receipt, options)
    # A key that its sender made of the job's bytes cannot be made again here, so it stays.
    return receipt if receipt.key and not natural_ids(receipt) else identified(receipt, text)


def _at_its_till(receipt: Receipt, options: DecodeOptions) -> Receipt:
    """A POS need not say which till it is of: without that its number would name no one receipt."""
    return replace(
        receipt,
        store=receipt.store or options.store or UNSET,
        register=receipt.register or options.register or UNSET,
    )


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
