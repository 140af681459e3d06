"""Fiscal codes say what they say to the last minor unit, and a damaged one says nothing."""

from __future__ import annotations

import base64
import io
import json
import re
from datetime import datetime
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
import pytest

from drivers.receipts.decode import decode
from drivers.receipts.fiscal_qr import FiscalCode, fiscal_code, joined_parts, receipt_of
from drivers.receipts.port import DecodeOptions, MalformedReceiptError
from loyalty.identity import key_of, natural_ids
from tests.drivers.receipts.codes import HR_URL, JIR, SI_DIGITS, ZKI, ZOI, purs_bytes, purs_url

JOURNALS = Path(__file__).parents[4] / "shared/corpora/purs"


def said(text: str) -> FiscalCode:
    code = fiscal_code(text)
    assert code is not None
    return code


def refused(text: str) -> str:
    with pytest.raises(MalformedReceiptError) as raised:
        receipt_of(said(text))
    return raised.value.code


def test_a_serbian_code_is_its_receipt() -> None:
    url = purs_url()
    receipt = receipt_of(said(url))
    assert json.loads(msgspec.json.encode(receipt)) == {
        "key": "",
        "also": [],
        "kind": "sale",
        "status": "final",
        "number": "746DUV64-746DUV64-16898",
        "business_day": "2022-12-31",
        "issued_at": "2022-12-31T15:51:57+01:00",
        "currency": "RSD",
        "total_minor": 82912,
        "rounding_minor": 0,
        "lines": [],
        "discounts": [],
        "taxes": [],
        "tenders": [],
        "change_minor": 0,
        "fiscal": {
            "scheme": "rs-purs",
            "number": "746DUV64-746DUV64-16898",
            "counter": "16887/16898ПП",
            "verification_url": url,
        },
        "problems": [],
    }
    assert natural_ids(receipt) == ("rs-purs:746DUV64-746DUV64-16898",)


@pytest.mark.parametrize(
    ("invoice", "transaction", "status", "kind", "letters"),
    [
        (0, 0, "final", "sale", "ПП"),
        (1, 0, "proforma", "sale", "РП"),
        (2, 0, "copy", "sale", "КП"),
        (3, 0, "training", "sale", "ОП"),
        (4, 0, "advance", "sale", "АП"),
        (0, 1, "final", "return", "ПР"),
        (2, 1, "copy", "return", "КР"),
    ],
)
def test_types_say_status_and_sign(invoice: int, transaction: int, status: str, kind: str, letters: str) -> None:
    receipt = receipt_of(said(purs_url(purs_bytes(invoice=invoice, transaction=transaction))))
    assert (receipt.status, receipt.kind) == (status, kind)
    assert receipt.total_minor == (-82912 if kind == "return" else 82912)
    assert receipt.fiscal
    assert receipt.fiscal.counter == f"16887/16898{letters}"


def test_base64_in_every_dress_is_the_same_code() -> None:
    # given a code whose base64 holds both letters that addresses treat in their own way, and padding
    payload = next(
        payload
        for counter in range(1, 999)
        if {"+", "/", "="} <= set(purs_url(payload := purs_bytes(total_counter=counter))[30:])
    )
    url = purs_url(payload)
    prefix, vl = url.split("vl=")
    plain = said(url)
    dresses = [
        quote(vl, safe=""),
        vl.rstrip("="),
        vl.replace("+", " "),
        vl.replace("+", "-").replace("/", "_"),
        f"{vl}&x=1",
        f"{vl}#end",
    ]
    for dress in dresses:
        assert msgspec.structs.replace(said(f"{prefix}vl={dress}").fiscal, verification_url="") == (
            msgspec.structs.replace(plain.fiscal, verification_url="")
        )
    assert said(f"  {url}\r\n").total_minor == plain.total_minor
    assert said(url.replace("https://suf", "HTTP://SUF")).total_minor == plain.total_minor


@pytest.mark.parametrize(
    ("buyer", "kind"),
    [(b"10:114877945", "10"), (b"11:0101990710001\0\0\0\0", "11"), (b"loyal", None), (b"\0" * 20, None)],
)
def test_of_a_buyer_only_the_kind_stays(buyer: bytes, kind: str | None) -> None:
    receipt = receipt_of(said(purs_url(purs_bytes(buyer=buyer))))
    assert receipt.fiscal
    assert (receipt.fiscal.buyer_kind or None) == kind
    number = buyer.strip(b"\0").rpartition(b":")[2]
    if number:
        encoded = msgspec.json.encode(receipt)
        assert number not in encoded
        # nor in base64: the address that holds it is left out
        assert b"vl=" not in encoded
    else:
        assert receipt.fiscal.verification_url


def test_time_is_the_shops_in_summer_and_winter_and_in_the_hour_that_comes_twice() -> None:
    def at(*moment: int) -> str:
        utc = datetime(*moment, tzinfo=ZoneInfo("UTC"))  # type: ignore[misc,arg-type]
        return str(said(purs_url(purs_bytes(milliseconds=int(utc.timestamp()) * 1000))).issued_at)

    assert at(2026, 7, 1, 22, 30) == "2026-07-02 00:30:00+02:00"
    assert at(2026, 10, 25, 0, 30) == "2026-10-25 02:30:00+02:00"
    assert at(2026, 10, 25, 1, 30) == "2026-10-25 02:30:00+01:00"


def test_an_amount_is_rounded_to_the_para() -> None:
    totals = [said(purs_url(purs_bytes(amount=amount))).total_minor for amount in (0, 49, 50, 149, 10**16)]
    assert totals == [0, 0, 1, 1, 10**14]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (purs_url(seal=False), "bad_code"),
        (purs_url()[:-9], "bad_code"),
        (purs_url()[:40] + "A" + purs_url()[41:], "bad_code"),
        ("https://suf.purs.gov.rs/v/?vl=", "bad_code"),
        ("https://suf.purs.gov.rs/v/?vl=%%%", "bad_code"),
        ("https://suf.purs.gov.rs/v/?vl=žžžž", "bad_code"),
        (purs_url(b"\x03"), "bad_code"),
        (purs_url(purs_bytes(version=4)), "bad_code"),
        (purs_url(purs_bytes(invoice=5)), "bad_code"),
        (purs_url(purs_bytes(transaction=2)), "bad_code"),
        (purs_url(purs_bytes(requested_by=b"\0" * 8)), "bad_code"),
        (purs_url(purs_bytes()[:43] + b"\xff"), "bad_code"),
        (purs_url(purs_bytes(amount=10**16 + 100)), "bad_amount"),
        (purs_url(purs_bytes(milliseconds=2**63)), "no_time"),
    ],
)
def test_a_damaged_serbian_code_is_refused(url: str, code: str) -> None:
    assert refused(url) == code


@pytest.mark.skipif(not JOURNALS.exists(), reason="needs the journals of other systems")
def test_the_codes_of_other_systems_receipts_say_what_their_text_says() -> None:
    # given journals that hold their QR code as a picture in base64
    import zxingcpp
    from PIL import Image

    compared = 0
    for path in sorted(JOURNALS.glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        image = re.search(r"R0lGOD[A-Za-z0-9+/=\s]{400,}", text)
        if image is None:
            continue
        picture = Image.open(io.BytesIO(base64.b64decode("".join(image.group().split())))).convert("L")
        (found,) = zxingcpp.read_barcodes(picture)
        # when both are read
        (printed,) = decode(text.encode()).receipts
        (coded,) = decode(found.text.encode(), DecodeOptions(format="purs-qr")).receipts
        # then they are the same receipt
        compared += 1
        for name in ("key", "kind", "status", "number", "business_day", "issued_at", "currency", "total_minor"):
            assert getattr(coded, name) == getattr(printed, name), (path.name, name)
        assert printed.fiscal
        assert coded.fiscal
        assert coded.fiscal.counter == printed.fiscal.counter
    assert compared >= 8


@pytest.mark.parametrize(
    ("izn", "total_minor", "currency"),
    [
        ("26828", 26828, "EUR"),
        ("0000026828", 26828, "EUR"),
        ("268,28", 26828, "EUR"),
        ("00000268,28", 26828, "EUR"),
        ("268.28", 26828, "EUR"),
        ("268,3", 26830, "EUR"),
        ("1.268,28", 126828, "EUR"),
        ("268,28 EUR", 26828, "EUR"),
        ("268,28%20EUR", 26828, "EUR"),
        ("26828+EUR", 26828, "EUR"),
        ("268,28 €", 26828, "EUR"),
        ("268,28 kn", 26828, "HRK"),
        ("0", 0, "EUR"),
    ],
)
def test_a_croatian_amount_in_every_form(izn: str, total_minor: int, currency: str) -> None:
    receipt = receipt_of(said(HR_URL.replace("26828", izn)))
    assert (receipt.kind, receipt.total_minor, receipt.currency) == ("sale", total_minor, currency)


def test_a_croatian_code_names_its_receipt_by_jir_or_zki() -> None:
    by_jir, by_zki = receipt_of(said(HR_URL)), receipt_of(said(HR_URL.replace(f"jir={JIR}", f"zki={ZKI.upper()}")))
    assert natural_ids(by_jir) == (f"hr-jir:{JIR}",)
    assert natural_ids(by_zki) == (f"hr-fisk:{ZKI}",)
    assert natural_ids(receipt_of(said(f"{HR_URL}&zki={ZKI}"))) == (f"hr-fisk:{ZKI}", f"hr-jir:{JIR}")
    assert natural_ids(receipt_of(said(HR_URL.replace(JIR, JIR.replace("-", "").upper())))) == (f"hr-jir:{JIR}",)
    assert str(by_jir.issued_at) == "2026-11-22 09:07:00+01:00"
    assert str(by_jir.business_day) == "2026-11-22"
    assert by_jir.fiscal
    assert (by_jir.fiscal.scheme, by_jir.fiscal.verification_url) == ("hr-fisk", HR_URL)


def test_croatian_money_and_signs() -> None:
    assert receipt_of(said(HR_URL.replace("20261122", "20221231"))).currency == "HRK"
    assert receipt_of(said(HR_URL.replace("20261122", "20230101"))).currency == "EUR"
    given_back = receipt_of(said(HR_URL.replace("26828", "-268,28")))
    assert (given_back.kind, given_back.total_minor) == ("return", -26828)
    timeless = receipt_of(said(HR_URL.replace("&datv=20261122_0907", "")))
    assert not timeless.issued_at
    assert receipt_of(said(HR_URL.replace("0907", "090714"))).issued_at


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (HR_URL.replace(JIR, "9d6f5bb6"), "bad_code"),
        (HR_URL.replace(f"jir={JIR}&", ""), "bad_code"),
        (HR_URL.replace("jir=", f"jir={JIR[:-1]}0&jir="), "bad_code"),
        (HR_URL + "&a=1" * 30, "bad_code"),
        (HR_URL.replace("20261122", "20261322"), "no_time"),
        (HR_URL.replace("20261122_0907", "gestern"), "no_time"),
        (HR_URL.replace("&izn=26828", ""), "bad_amount"),
        (HR_URL.replace("26828", "1.234"), "bad_amount"),
        (HR_URL.replace("26828", "268,28 USD"), "bad_amount"),
        (HR_URL.replace("26828", "9" * 15), "bad_amount"),
        (HR_URL.replace("26828", "NaN"), "bad_amount"),
    ],
)
def test_a_damaged_croatian_code_is_refused(url: str, code: str) -> None:
    assert refused(url) == code


def test_a_slovenian_code_names_a_receipt_without_its_amount() -> None:
    code = said(SI_DIGITS)
    assert code.fiscal.number == ZOI
    assert code.fiscal.issuer
    assert code.fiscal.issuer.tin == "12345678"
    assert str(code.issued_at) == "2015-08-15 10:13:32+02:00"
    assert refused(SI_DIGITS) == "no_total"


@pytest.mark.parametrize(
    ("digits", "code"),
    [
        (SI_DIGITS[:-1] + "2", "bad_code"),
        ("9" * 59 + str(9 * 59 % 10), "bad_code"),
        (SI_DIGITS[:49] + "13" + SI_DIGITS[51:-1] + "7", "no_time"),
    ],
)
def test_a_damaged_slovenian_code_is_refused(digits: str, code: str) -> None:
    assert refused(digits) == code


@pytest.mark.parametrize(("parts", "prefix"), [(2, "4"), (3, "4"), (4, "44"), (5, "4"), (6, "4")])
def test_a_slovenian_code_in_several_bar_codes(parts: int, prefix: str) -> None:
    size = 60 // parts
    bare = [SI_DIGITS[at : at + size] for at in range(0, 60, size)]
    marked = [f"{prefix}{place}{part}" for place, part in enumerate(bare, 1)]
    assert joined_parts(marked) == SI_DIGITS
    assert joined_parts(marked[::-1]) == SI_DIGITS
    assert joined_parts(bare) == SI_DIGITS
    assert joined_parts([*marked[:-1], marked[-1][:-1]]) is None
    assert joined_parts(marked[:1]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4006381333931",
        "https://example.org/?vl=x",
        "https://suf.purs.gov.rs.example.org/v/?vl=x",
        "https://sandbox.suf.purs.gov.rs/v/?vl=x",
        f"see {HR_URL}",
        "1" * 59,
        "1" * 8000,
        "٠" * 60,
    ],
)
def test_anything_else_is_no_fiscal_code(text: str) -> None:
    assert fiscal_code(text) is None


def test_codes_of_a_file_one_a_line() -> None:
    # given what a scanner sent: two receipts, a damaged code, something else, and a code without an amount
    lines = [purs_url(), "", HR_URL, purs_url()[:-5], "4006381333931", SI_DIGITS]
    document = "\r\n".join(lines).encode()
    # when the codes of one country are asked for
    decoded = decode(document, DecodeOptions(format="purs-qr"))
    # then its receipts come out, and each of the others is a problem with its bytes
    assert [(receipt.source, receipt.number) for receipt in decoded.receipts] == [
        ("purs-qr", "746DUV64-746DUV64-16898")
    ]
    assert decoded.receipts[0].key == key_of("rs-purs:746DUV64-746DUV64-16898")
    assert [(problem.code, document[problem.start : problem.end].strip().decode()) for problem in decoded.problems] == [
        ("bad_code", line) for line in lines[2:] if line
    ]
    assert not decoded.ignored


def test_a_slovenian_code_says_what_it_knows() -> None:
    (problem,) = decode(SI_DIGITS.encode(), DecodeOptions(format="si-qr")).problems
    assert json.loads(msgspec.json.encode(problem)) == {
        "code": "no_total",
        "detail": problem.detail,
        "start": 0,
        "end": 60,
        "known": {
            "key": key_of(f"si-furs:{ZOI}"),
            "issued_at": "2015-08-15T10:13:32+02:00",
            "business_day": "2015-08-15",
            "fiscal": {"scheme": "si-furs", "number": ZOI, "issuer": {"tin": "12345678"}},
        },
    }


@pytest.mark.parametrize("ending", ["", "\n", "\r\n\r\n"])
def test_a_file_of_codes_is_known_by_itself(ending: str) -> None:
    decoded = decode(f"{purs_url()}\n{HR_URL} EUR\n{SI_DIGITS}{ending}".encode())
    assert [receipt.source for receipt in decoded.receipts] == ["purs-qr", "hr-qr"]
    assert [problem.code for problem in decoded.problems] == ["no_total"]


def test_an_empty_file_of_codes_is_blank() -> None:
    assert [each.kind for each in decode(b"\n \n", DecodeOptions(format="hr-qr")).ignored] == ["blank"]
