"""A buyer's number goes out of the bytes that are kept, and what was masked is read as before."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest

from drivers.receipts.buyer_masking import masked_buyers
from drivers.receipts.decode import Decoded, decode
from drivers.receipts.port import DecodeOptions
from tests.drivers.receipts.codes import purs_bytes, purs_url
from tests.drivers.receipts.journals import Item, Journal, printed

NUMBER = "114877945"
SALE = Journal(
    items=(Item(text="HLEB (Е)", price_minor=82912, quantity="1", amount_minor=82912),), buyer=f"10:{NUMBER}"
)
CODE = purs_url(purs_bytes(buyer=f"10:{NUMBER}".encode()))
OPTIONS = DecodeOptions()


def stored_qr(data: str) -> bytes:
    stored = b"1P0" + data.encode()
    return b"\x1d(k" + len(stored).to_bytes(2, "little") + stored + b"\x1d(k\x03\x001Q0"


def as_job(page: str, *, style: bytes = b"") -> bytes:
    text = printed(SALE).encode(page, "replace")
    number = NUMBER.encode(page)
    return b"\x1b@" + text.replace(number, number[:4] + style + number[4:]) + stored_qr(CODE) + b"\n\x1dV\x00"


def read(document: bytes) -> list[tuple[object, ...]]:
    """All that is read of a document but the key of one whose bytes are its name."""
    decoded: Decoded = decode(document, OPTIONS)
    return [(receipt.total_minor, receipt.fiscal, receipt.lines, receipt.issued_at) for receipt in decoded.receipts]


DOCUMENTS = {
    "text": printed(SALE).encode(),
    "Latin text": printed(replace(SALE, latin=True)).encode(),
    "with entities": printed(replace(SALE, escaped=True)).encode(),
    "CR LF": printed(replace(SALE, line_end="\r\n")).encode(),
    "UTF-16": b"\xff\xfe" + printed(SALE).encode("utf-16-le"),
    "UTF-16 without a mark": printed(replace(SALE, latin=True)).encode("utf-16-be"),
    "a job in UTF-8": as_job("utf-8"),
    "a job in CP1251": as_job("cp1251"),
    "a job in CP866": as_job("cp866"),
    "a job with bold digits": as_job("utf-8", style=b"\x1bE\x01"),
    "a passport": printed(replace(SALE, buyer=f"30:P{NUMBER}A")).encode(),
    "no prefix": printed(replace(SALE, buyer=NUMBER)).encode(),
    "a wrapped number": printed(SALE).replace(f"10:{NUMBER}", f"10:{NUMBER[:4]}\n{NUMBER[4:]}").encode(),
    "a wrapped label": printed(SALE).replace("ИД купца:", "ИД\nкупца:").encode(),
    "number in the next line": printed(SALE).replace(f"10:{NUMBER}", f"\n   10:{NUMBER}").encode(),
    "JSON": json.dumps({"journal": printed(SALE), "invoiceRequest": {"buyerId": f"10:{NUMBER}"}}).encode(),
    "JSON as it is": json.dumps({"journal": printed(SALE), "buyerTin": int(NUMBER)}, ensure_ascii=False).encode(),
    "an address in JSON": json.dumps({"journal": printed(SALE), "verificationUrl": CODE}).replace("/", "\\/").encode(),
    "a code": CODE.encode(),
    "an escaped code": (CODE[: CODE.index("vl=") + 3] + quote(CODE[CODE.index("vl=") + 3 :], safe="")).encode(),
    "a code for addresses": CODE.replace("+", "-").encode(),
}  # fmt: skip


def hidden_in(document: bytes) -> bytes:
    """The document, and the bytes of each code in it."""
    text = unquote(document.decode("latin-1").replace("\\/", "/").replace("-", "+"))
    codes = [part.split('"')[0].split("\x1d")[0].split("]")[0] for part in text.split("vl=")[1:]]
    parts = [document, document.replace(b"\0", b""), document.replace(b"\x1bE\x01", b""), document.replace(b"\n", b"")]
    # In sealed bytes anything may follow.
    whole = [found[0] for code in codes if (found := re.match(r"[A-Za-z0-9+/]*", code.strip()))]
    return b"".join([*parts, *(b64decode(code[: len(code) // 4 * 4]) for code in whole)])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_number_is_gone_and_all_else_is_read_as_before(name: str) -> None:
    document = DOCUMENTS[name]
    assert NUMBER.encode() in hidden_in(document)
    masked = masked_buyers(document)
    # then nothing of it is left but its kind, and every byte is in its place
    assert NUMBER.encode() not in hidden_in(masked)
    assert NUMBER[4:].encode() not in masked.replace(b"\0", b"")
    assert len(masked) == len(document)
    assert masked_buyers(masked) == masked
    # and what is read of it is the same
    assert read(masked) == read(document)
    assert len(read(document)) == 1


@pytest.mark.parametrize(
    "document",
    [
        b"KARTICA KUPCA: 9000121234567\nUKUPNO EUR 5,49\n",
        b"Customer ID: 9000121234567\n",
        b"2026-11-22 10:07:12 10:07 KAVA 12:30 1,50\n",
        printed(replace(SALE, buyer="")).encode(),
        purs_url().encode(),
        b'{"receipts":[{"key":"x","fiscal":{"buyer_kind":"10"},"member":{"code":"114877945"}}]}',
        b"SLIP ZA KUPCA\nPAN: 4111110000001111\n",
    ],
)
def test_nothing_else_is_masked(document: bytes) -> None:
    assert masked_buyers(document) == document


def test_a_code_that_is_cut_off_keeps_no_number() -> None:
    for cut in (CODE[:100], CODE[:-3], CODE[:-40] + "!"):
        masked = masked_buyers(cut.encode())
        assert len(masked) == len(cut)
        assert NUMBER.encode() not in hidden_in(masked.rstrip(b"!"))
