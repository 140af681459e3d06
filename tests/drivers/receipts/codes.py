"""Fiscal codes of receipts that do not exist, whole and with any part made wrong."""

from __future__ import annotations

import base64
import hashlib
import struct
from datetime import datetime
from zoneinfo import ZoneInfo

BELGRADE = ZoneInfo("Europe/Belgrade")


def purs_bytes(
    *,
    version: int = 3,
    requested_by: bytes = b"746DUV64",
    signed_by: bytes = b"746DUV64",
    total_counter: int = 16898,
    type_counter: int = 16887,
    amount: int = 829_1200,
    milliseconds: int | None = None,
    invoice: int = 0,
    transaction: int = 0,
    buyer: bytes = b"",
) -> bytes:
    """The payload up to its seal. The encrypted part and the signature are filler."""
    issued_at = datetime(2022, 12, 31, 15, 51, 57, 906_000, tzinfo=BELGRADE)
    milliseconds = int(issued_at.timestamp() * 1000) if milliseconds is None else milliseconds
    head = struct.pack("<B8s8sIIQ", version, requested_by, signed_by, total_counter, type_counter, amount)
    head += struct.pack(">QBBB", milliseconds, invoice, transaction, len(buyer)) + buyer
    return head + hashlib.shake_256(head).digest(512)


def purs_url(payload: bytes | None = None, *, seal: bool = True) -> str:
    payload = purs_bytes() if payload is None else payload
    whole = payload + (hashlib.md5(payload).digest() if seal else b"")
    return "https://suf.purs.gov.rs/v/?vl=" + base64.b64encode(whole).decode()


JIR = "9d6f5bb6-da48-4fcd-a803-4586a025e0e4"
ZKI = "e4d909c290d0fb1ca068ffaddf22cbd0"
HR_URL = f"https://porezna.gov.hr/rn?jir={JIR}&datv=20261122_0907&izn=26828"

ZOI = "a7e5f55e1dbb48b799268e1a6d8618a3"
# The example of the tax administration's own guide.
SI_DIGITS = "223175087923687075112234402528973166755123456781508151013321"
