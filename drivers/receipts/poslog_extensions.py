"""Fiscal numbers that a vendor adds to a POSLog. Owns the names they go by; how each is written, `fiscal_qr` knows."""

from __future__ import annotations

import re
from typing import Final
from xml.etree.ElementTree import Element

from msgspec import UNSET
from msgspec.structs import replace

from drivers.receipts.fiscal_qr import completed, fiscal_code
from drivers.receipts.port import MalformedReceiptError
from drivers.receipts.poslog_tree import text_of
from loyalty.identity import hr_jir
from loyalty.receipt import Fiscal, Receipt

# The shortest fiscal number.
MIN_CODE_LETTERS: Final = 17

_STANDARD: Final = frozenset(("LineItem", "Total", "RetailTransaction", "ReceiptImage", "TrailerText", "Customer"))
_HEX: Final = re.compile(r"[0-9a-fA-F]{32}").fullmatch
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
_PFR: Final = re.compile(r"[A-Z0-9]{8}-[A-Z0-9]{8}-\d{1,12}").fullmatch
_PFR_NAMES: Final = ("PFR", "SDC", "INVOICENUMBER", "INVOICENO")


def with_fiscal_codes(receipt: Receipt, transaction: Element, sale: Element) -> Receipt:
    """`receipt` with the fiscal number or the text of the fiscal code that stands beside the standard's elements."""
    for around in (transaction, sale):
        for part in around:
            if part.tag in _STANDARD:
                continue
            for element in part.iter() if len(part) else (part,):
                text = element.text
                if text and len(text) >= MIN_CODE_LETTERS and len(text := text_of(element)) >= MIN_CODE_LETTERS:
                    receipt = _with(receipt, element.tag.upper(), text)
    return receipt


def _with(receipt: Receipt, name: str, text: str) -> Receipt:
    if receipt.fiscal is UNSET and "ZKI" in name and _HEX(text):
        return replace(receipt, fiscal=Fiscal(scheme="hr-fisk", number=text.lower()))
    if receipt.fiscal is UNSET and "ZOI" in name and _HEX(text):
        return replace(receipt, fiscal=Fiscal(scheme="si-furs", number=text.lower()))
    if receipt.fiscal is UNSET and _PFR(text) and any(each in name for each in _PFR_NAMES):
        return replace(receipt, fiscal=Fiscal(scheme="rs-purs", number=text))
    if "JIR" in name and _UUID(text):
        return replace(receipt, also=(*receipt.also, hr_jir(text)))
    try:
        code = fiscal_code(text) if "/" in text or len(text) == 60 else None
        return completed(receipt, code) if code is not None else receipt
    except MalformedReceiptError:
        return receipt
