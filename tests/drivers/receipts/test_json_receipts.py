"""Journals inside JSON are read with the address beside them, and JSON brings no buyer's number in."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest

from drivers.receipts.decode import decode
from drivers.receipts.json_refusals import MAX_QUOTED_LETTERS, allowed_at
from drivers.receipts.port import DecodeOptions
from loyalty.identity import key_of
from loyalty.receipt import LineKind, TenderKind
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


@pytest.mark.parametrize(
    ("said", "store", "register"),
    [({}, "12", "3"), ({"store": "13"}, "13", "3"), ({"store": "13", "register": "4"}, "13", "4")],
)
def test_a_pos_need_not_say_which_till_it_is_of(said: dict[str, str], store: str, register: str) -> None:
    sale = {"kind": "sale", "number": "7", "business_day": "2026-11-22", "currency": "RSD", "total_minor": 100, **said}
    (receipt,) = decode(json.dumps(sale).encode(), DecodeOptions(store="12", register="3")).receipts
    assert (receipt.store, receipt.register) == (store, register)
    assert receipt.key == key_of(f"pos:{store}/{register}/2026-11-22/7")


def test_what_another_reader_keyed_keeps_its_key() -> None:
    sale = {
        "key": "k-1",
        "kind": "sale",
        "number": "7",
        "business_day": "2026-11-22",
        "currency": "RSD",
        "total_minor": 1,
    }
    (receipt,) = decode(json.dumps(sale).encode(), DecodeOptions(store="12", register="3")).receipts
    assert (receipt.key, receipt.store or None) == ("k-1", None)


def _said(*receipts: dict[str, object]) -> list[str]:
    good = {"kind": "sale", "currency": "EUR", "total_minor": 1}
    return [
        problem.detail or ""
        for problem in decode(json.dumps({"receipts": [good | each for each in receipts]}).encode()).problems
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "bon"}, "'bon' - at `$.kind`; allowed: exchange, return, sale; correct"),
        ({"tenders": [{"kind": "cash", "amount_minor": 1}, {"kind": 3}]}, "at `$.tenders[1].kind`; allowed: card,"),
        ({"tenders": [{"amount_minor": 1}]}, "missing required field `kind` - at `$.tenders[0]`; allowed: card, cash"),
        ({"member": {"code": "7", "entry": "x"}}, "at `$.member.entry`; allowed: receipt, scanned, swiped, typed;"),
        ({"currency": "eur"}, "matching regex '^[A-Z]{3}$' - at `$.currency`; correct it at the sender"),
        ({"total_minor": "x"}, "Expected `int`, got `str` - at `$.total_minor`; correct it at the sender"),
    ],
)
def test_a_refused_receipt_names_its_place_and_what_is_allowed_there(wrong: dict[str, object], said: str) -> None:
    (detail,) = _said({}, wrong, {})
    assert detail.startswith("receipt 2: ")
    assert said in detail


def test_the_values_that_are_allowed_are_those_of_the_contract() -> None:
    assert set(allowed_at("$.lines[17].kind")) == set(get_args(LineKind))
    assert set(allowed_at("$.tenders[0].kind")) == set(get_args(TenderKind))
    assert allowed_at("$.lines[0].tags[3]") == allowed_at("$.no.such[0].place") == ()


def test_a_long_wrong_value_is_quoted_in_part() -> None:
    (detail,) = _said({"status": "f" * 10_000})
    assert len(detail) < 2 * MAX_QUOTED_LETTERS
    assert "at `$.status`; allowed: advance," in detail
