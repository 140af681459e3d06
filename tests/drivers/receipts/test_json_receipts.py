"""Journals inside JSON are read with the address beside them, and JSON brings no buyer's number in."""

from __future__ import annotations

import json

import msgspec
import pytest

from drivers.receipts.decode import decode
from tests.drivers.receipts.codes import HR_URL, purs_bytes, purs_url
from tests.drivers.receipts.journals import Item, Journal, printed

JOURNAL = printed(
    Journal(items=(Item(text="HLEB (Е)", price_minor=82912, quantity="1", amount_minor=82912),), buyer="10:114877945")
)
WITH_BUYER = purs_url(purs_bytes(buyer=b"10:114877945"))


def test_an_invoice_of_the_tax_administration_has_its_journal_and_its_address() -> None:
    text = JOURNAL.replace("ИД купца", "ЕСИР време")
    invoice = {"journal": text, "verificationUrl": purs_url(), "totalCounter": 16898}
    (receipt,) = decode(json.dumps(invoice).encode()).receipts
    assert receipt.fiscal
    assert (receipt.number, receipt.problems) == ("746DUV64-746DUV64-16898", ())
    assert receipt.fiscal.verification_url == purs_url()


def test_an_answer_without_its_journal_says_what_to_ask_for() -> None:
    (problem,) = decode(json.dumps({"invoiceNumber": "A-A-1", "verificationUrl": purs_url()}).encode()).problems
    assert problem.code == "bad_json"
    assert "`journal`" in problem.detail


def test_several_invoices_in_one_document() -> None:
    invoices = [{"journal": JOURNAL.replace("16898", str(number))} for number in (16898, 16899)]
    assert [receipt.number for receipt in decode(json.dumps(invoices).encode()).receipts] == [
        "746DUV64-746DUV64-16898",
        "746DUV64-746DUV64-16899",
    ]


def test_a_buyer_of_an_invoice_stays_a_kind() -> None:
    invoice = {"journal": JOURNAL, "verificationUrl": WITH_BUYER, "invoiceRequest": {"buyerId": "10:114877945"}}
    (receipt,) = decode(json.dumps(invoice).encode()).receipts
    assert receipt.fiscal
    assert (receipt.fiscal.buyer_kind, receipt.fiscal.verification_url or None) == ("10", None)


@pytest.mark.parametrize(
    ("given", "kind"), [("10:114877945", "10"), ("10", "10"), ("114877945", None), ("", None), (None, None)]
)
def test_of_a_buyer_in_json_only_the_kind_stays(given: str | None, kind: str | None) -> None:
    fiscal = {"scheme": "rs-purs", "number": "A-B-1", "verification_url": WITH_BUYER}
    fiscal |= {"buyer_kind": given} if given is not None else {}
    document = json.dumps({"kind": "sale", "currency": "RSD", "total_minor": 82912, "fiscal": fiscal}).encode()
    (receipt,) = decode(document).receipts
    assert receipt.fiscal
    assert (receipt.fiscal.buyer_kind or None) == kind
    assert b"114877945" not in msgspec.json.encode(receipt)
    assert not receipt.fiscal.verification_url


def test_an_address_without_a_buyer_stays() -> None:
    for scheme, address in (("rs-purs", purs_url()), ("hr-fisk", HR_URL), ("rs-purs", "https://example.org")):
        fiscal = {"scheme": scheme, "number": "1", "verification_url": address}
        document = json.dumps({"kind": "sale", "currency": "RSD", "total_minor": 1, "fiscal": fiscal}).encode()
        (receipt,) = decode(document).receipts
        assert receipt.fiscal
        assert receipt.fiscal.verification_url == address
