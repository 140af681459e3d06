"""ZKI, JIR and ZOI name their receipt however they are printed, and whoever reads the rest of it."""

from __future__ import annotations

import random
import textwrap

import pytest

from drivers.receipts.decode import decode
from drivers.receipts.fiscal_lines import PrintedNumbers, printed_numbers, with_numbers, written_codes
from drivers.receipts.port import DecodeOptions, Lines, TextLine
from loyalty.identity import key_of, natural_ids
from loyalty.receipt import Fiscal, Receipt
from tests.drivers.receipts.codes import HR_URL, JIR, SI_DIGITS, ZKI, ZOI, purs_bytes, purs_url
from tests.drivers.receipts.journals import Item, Journal, printed

TILL = "EXAMPLE SHOP\nReceipt 4711  22.11.2026 09:07\nBread  268.28\nTOTAL EUR  268.28\nCASH  268.28\n"
OPTIONS = DecodeOptions(currency="EUR", time_zone="Europe/Zagreb")
GROUPS = [ZKI[at : at + 8] for at in range(0, 32, 8)]
JOURNAL = Journal(items=(Item(text="HLEB (Е)", price_minor=82912, quantity="1", amount_minor=82912),), tail="")


def lines(text: str) -> Lines:
    return Lines.of(TextLine(text=line, start=at, end=at + 1) for at, line in enumerate(text.split("\n")))


@pytest.mark.parametrize(
    "text",
    [
        f"ZKI: {ZKI}",
        f"ZKI {ZKI.upper()}",
        f"zki:{ZKI}",
        f"ZKI:\n{ZKI}",
        f"ZKI:\n\n      {ZKI}",
        f"ZKI: {ZKI[:20]}\n{ZKI[20:]}",
        f"ZKI: {ZKI[:20]}\n     {ZKI[20:31]}\n     {ZKI[31:]}",
        f"ZKI: {' '.join(GROUPS)}",
        f"ZKI: {'-'.join(GROUPS)}",
        f"Zaštitni kod izdavatelja: {ZKI}",
        f"ZAŠTITNI KOD IZDAVATELJA (ZKI): {ZKI}",
        f"Zaštitni kod\nizdavatelja:\n{ZKI[:30]}\n{ZKI[30:]}",
        f"Zaštitni kod {ZKI}",
        f"ZKI: {ZKI} JIR: {JIR}",
        f"ZKI: {ZKI}\nDatum 22.11.2026",
    ],
)
def test_a_zki_in_every_dress(text: str) -> None:
    assert printed_numbers(lines(text)).zki == ZKI


@pytest.mark.parametrize(
    "text",
    [
        f"JIR: {JIR}",
        f"JIR:{JIR.replace('-', '')}",
        f"Jedinstveni identifikator računa: {JIR[:10]}\n{JIR[10:]}",
        f"Jedinstveni identifikator računa\n{JIR.upper()}",
        f"JIR: {JIR[:23]}\n{JIR[23:]}",
        f"JIR: {JIR[:24]}\n{JIR[24:]}",
        f"JIR: {JIR.replace('-', ' - ')}",
    ],
)
def test_a_jir_in_every_dress(text: str) -> None:
    assert printed_numbers(lines(text)).also == (f"hr-jir:{JIR}",)


@pytest.mark.parametrize(
    "text", [f"ZOI: {ZOI}", f"ZOI: {ZOI[:16]}\n{ZOI[16:]}", f"Zaščitna oznaka izdajatelja računa:\n{ZOI.upper()}"]
)
def test_a_zoi_in_every_dress(text: str) -> None:
    # given a receipt that also prints what names it to the authority only
    numbers = printed_numbers(lines(f"{text}\nEOR: {JIR}"))
    assert numbers == PrintedNumbers(zoi=ZOI)


@pytest.mark.parametrize(
    "text",
    [
        f"ZKI: {ZKI[:-1]}",
        f"ZKI: {ZKI}0",
        f"ZKI: {ZKI}ž",
        f"ZKI: {ZKI[:16]} x {ZKI[16:]}",
        f"NAZKI {ZKI}",
        f"KOD {ZKI}",
        f"EOR: {JIR}",
        "ZKI: " + "- " * 4000,
    ],
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert printed_numbers(lines(text)) == PrintedNumbers()


def test_any_wrapping_of_all_of_them_is_read() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(300):
        # given both numbers, parted by any paper
        text = f"Zaštitni kod izdavatelja: {ZKI}"
        text = "\n".join([text[at : at + 34] for at in range(0, len(text), 34)]) if chance.random() < 0.5 else text
        width = chance.randrange(24, 60)
        text += "\n" + "\n".join(textwrap.wrap(f"JIR: {JIR}", width, break_on_hyphens=False))
        assert printed_numbers(lines(text)) == PrintedNumbers(zki=ZKI, jir=JIR.replace("-", "")), text


def test_a_text_receipt_is_named_by_lines_below_it() -> None:
    (receipt,) = decode(f"{TILL}ZKI:\n  {ZKI[:20]}\n  {ZKI[20:]}\nJIR: {JIR}\n".encode(), OPTIONS).receipts
    assert receipt.key == key_of(f"hr-fisk:{ZKI}")
    assert receipt.also == (f"hr-jir:{JIR}",)
    assert receipt.problems == ()


def test_each_of_two_receipts_has_its_own_lines() -> None:
    other = ZKI[::-1]
    document = f"{TILL}ZKI: {ZKI}\n\n{TILL.replace('4711', '4712')}ZKI: {other}\n".encode()
    assert [receipt.key for receipt in decode(document, OPTIONS).receipts] == [
        key_of(f"hr-fisk:{ZKI}"),
        key_of(f"hr-fisk:{other}"),
    ]


def test_lines_and_code_of_one_receipt_are_one_receipt() -> None:
    # given a code with the JIR, and both numbers as text
    (receipt,) = decode(f"{TILL}ZKI: {ZKI}\nJIR: {JIR}\n{HR_URL}\n".encode(), OPTIONS).receipts
    assert (receipt.key, receipt.also) == (key_of(f"hr-fisk:{ZKI}"), (f"hr-jir:{JIR}",))
    assert receipt.fiscal
    assert receipt.fiscal.verification_url == HR_URL


def test_a_receipt_that_nobody_reads_is_named_all_the_same() -> None:
    (problem,) = decode(f"whatever this is\nZKI: {ZKI}\n".encode()).problems
    assert problem.known
    assert problem.known.key == key_of(f"hr-fisk:{ZKI}")


def test_a_receipt_of_another_scheme_is_left_alone() -> None:
    receipt = Receipt(
        key="", kind="sale", currency="RSD", total_minor=1, fiscal=Fiscal(scheme="rs-purs", number="A-B-1")
    )
    assert with_numbers(receipt, PrintedNumbers(zki=ZKI)) == receipt
    bare = Receipt(key="", kind="sale", currency="EUR", total_minor=1)
    assert natural_ids(with_numbers(bare, PrintedNumbers(zoi=ZOI))) == (f"si-furs:{ZOI}",)


@pytest.mark.parametrize("width", [7000, 76, 48, 40])
@pytest.mark.parametrize("dress", ["{}", "[QR {}]"])
def test_a_code_written_out_is_read_also_wrapped(width: int, dress: str) -> None:
    for url in (purs_url(), HR_URL, SI_DIGITS):
        text = dress.format(url)
        wrapped = [text[at : at + width] for at in range(0, len(text), width)] if len(url) > width else [text]
        if url == SI_DIGITS and len(wrapped) > 1:
            continue
        found = [code.data.decode() for code in written_codes(lines("\n".join(["above", *wrapped, "  below it"])))]
        assert found == [url]


@pytest.mark.parametrize("below", ["Hvala", "HVALA!", "12.50 EUR", ""])
def test_a_code_that_is_whole_takes_no_more(below: str) -> None:
    for url in (purs_url(), HR_URL):
        assert [code.data.decode() for code in written_codes(lines(f"{url}\n{below}"))] == [url]


def test_a_journal_with_its_code_as_text_has_its_address() -> None:
    url = purs_url()
    text = f"{printed(JOURNAL)}\n{url}\n"
    (receipt,) = decode(text.encode()).receipts
    assert receipt.fiscal
    assert (receipt.fiscal.verification_url, receipt.problems) == (url, ())


def test_a_buyers_number_in_a_code_as_text_does_not_stay() -> None:
    url = purs_url(purs_bytes(buyer=b"11:0101990710001"))
    for text in (f"{printed(JOURNAL)}\n{url}\n", f"{printed(JOURNAL)}\n[QR {url[:300]}\n{url[300:]}]\n"):
        (receipt,) = decode(text.encode()).receipts
        assert receipt.fiscal
        assert not receipt.fiscal.verification_url
        assert receipt.fiscal.buyer_kind == "11"
