"""Text and code of one receipt are one receipt; a code whose text nobody reads is a receipt by itself."""

from __future__ import annotations

import msgspec
import pytest

from drivers.receipts.decode import Decoded, decode
from drivers.receipts.port import DecodeOptions
from loyalty.identity import key_of, same_content
from loyalty.receipt import Receipt
from tests.drivers.receipts.codes import HR_URL, JIR, SI_DIGITS, ZOI, purs_bytes, purs_url
from tests.drivers.receipts.drawn import bands, page, qr, strips
from tests.drivers.receipts.journals import Item, Journal, printed

CUT = b"\x1dV\x00"
PLACE = DecodeOptions(time_zone="Europe/Zagreb")
TILL = (
    "Store 12 Register 3\nReceipt 4711  22.11.2026 09:07\nBread  268.28\nTOTAL EUR  268.28\nCASH  268.28\n"
)  # fmt: skip
JOURNAL = printed(
    Journal(
        time="31.12.2022. 15:51:57",
        items=(Item(text="HLEB/KOM (Е)", price_minor=82912, quantity="1", amount_minor=82912),),
        tail="",
    )
)
POS_ID = "pos:12/3/2026-11-22/4711"


def qr_command(text: str) -> bytes:
    """As printers draw a code themselves."""
    data = text.encode()
    size = (len(data) + 3).to_bytes(2, "little")
    return b"\x1d(k" + size + b"1P0" + data + b"\x1d(k\x03\x001Q0"


def code128_command(text: str) -> bytes:
    return b"\x1dkI" + bytes((len(text) + 2,)) + b"{B" + text.encode()


def journal_bytes(journal: str = JOURNAL) -> bytes:
    return b"\x1b@\x1bt\x2e" + journal.encode("cp1251")


def the_one(decoded: Decoded) -> Receipt:
    assert (decoded.problems, decoded.ignored) == ((), ())
    (receipt,) = decoded.receipts
    msgspec.json.decode(msgspec.json.encode(receipt), type=Receipt)
    return receipt


def codes_of(receipt: Receipt) -> list[str]:
    return [problem.code for problem in receipt.problems]


CODES = {"command": qr_command, "bands": lambda text: bands(qr(text)), "strips": lambda text: strips(qr(text))}


@pytest.mark.parametrize("draw", CODES.values(), ids=CODES)
@pytest.mark.parametrize("above", [False, True])
def test_a_code_completes_the_receipt_it_stands_on(draw, above: bool) -> None:  # type: ignore[no-untyped-def]
    # given a receipt of a till that prints no fiscal number, and its code below or above it
    parts = [TILL.encode(), draw(HR_URL)]
    document = b"\x1b@" + b"".join(reversed(parts) if above else parts) + CUT
    # when the sheet is read
    receipt = the_one(decode(document, PLACE))
    # then it is one receipt, with the lines of its text and the identity of both
    assert [line.description for line in receipt.lines] == ["Bread"]
    assert receipt.total_minor == 26828
    assert receipt.fiscal
    assert (receipt.fiscal.scheme, receipt.fiscal.verification_url) == ("hr-fisk", HR_URL)
    assert receipt.key == key_of(f"hr-jir:{JIR}")
    assert receipt.also == (POS_ID,)
    assert receipt.source == "escpos"
    assert receipt.problems == ()


def test_a_code_says_what_the_till_leaves_out() -> None:
    # given a receipt without currency and with a time in an unknown zone
    text = TILL.replace("TOTAL EUR", "TOTAL")
    receipt = the_one(decode(b"\x1b@" + text.encode() + qr_command(HR_URL)))
    assert receipt.currency == "EUR"
    assert str(receipt.issued_at) == "2026-11-22 09:07:00+01:00"
    assert receipt.problems == ()


def test_a_journal_and_its_code_are_one_receipt() -> None:
    url = purs_url()
    receipt = the_one(decode(journal_bytes() + qr_command(url) + CUT))
    assert receipt.lines
    assert receipt.fiscal
    assert receipt.fiscal.issuer
    assert receipt.fiscal.verification_url == url
    assert receipt.key == key_of("rs-purs:746DUV64-746DUV64-16898")
    assert (receipt.also, receipt.problems) == ((), ())


def test_an_address_that_holds_a_buyers_number_does_not_stay() -> None:
    url = purs_url(purs_bytes(buyer=b"11:0101990710001"))
    receipt = the_one(decode(journal_bytes() + qr_command(url) + CUT))
    assert receipt.fiscal
    assert receipt.fiscal.buyer_kind == "11"
    assert b"vl=" not in msgspec.json.encode(receipt)


def test_text_and_code_that_contradict_each_other_say_so() -> None:
    receipt = the_one(decode(b"\x1b@" + TILL.encode() + qr_command(HR_URL.replace("26828", "26829"))))
    assert codes_of(receipt) == ["total_mismatch"]
    assert receipt.total_minor == 26828
    assert receipt.key == key_of(f"hr-jir:{JIR}")


def test_a_return_whose_code_has_no_sign_agrees() -> None:
    text = TILL.replace("Bread  268.28", "RETURN of 4700\nBread  -268.28").replace("  268.28\n", "  -268.28\n")
    receipt = the_one(decode(b"\x1b@" + text.encode() + qr_command(HR_URL), PLACE))
    assert (receipt.kind, receipt.total_minor) == ("return", -26828)
    assert receipt.problems == ()


def test_the_code_of_another_receipt_stays_by_itself() -> None:
    # given a journal, and below it a code that names another receipt
    other = purs_url(purs_bytes(total_counter=16899))
    first, second = decode(journal_bytes() + qr_command(other) + CUT).receipts
    assert first.fiscal
    assert not first.fiscal.verification_url
    assert (second.number, codes_of(second)) == ("746DUV64-746DUV64-16899", ["unknown_layout"])


def test_each_of_two_receipts_on_one_sheet_gets_its_own_code() -> None:
    # given two receipts without a cut between them, each with its code
    second = TILL.replace("4711", "4712").replace("268.28", "1.00")
    second_url = HR_URL.replace(JIR, JIR[:-1] + "5").replace("26828", "100")
    document = b"\x1b@" + TILL.encode() + qr_command(HR_URL) + b"\n\n" + second.encode() + bands(qr(second_url)) + CUT
    receipts = decode(document, PLACE).receipts
    assert [(receipt.number, receipt.key) for receipt in receipts] == [
        ("4711", key_of(f"hr-jir:{JIR}")),
        ("4712", key_of(f"hr-jir:{JIR[:-1]}5")),
    ]
    assert [receipt.problems for receipt in receipts] == [(), ()]


def test_a_slovenian_code_names_the_receipt_it_stands_on() -> None:
    receipt = the_one(decode(b"\x1b@" + TILL.encode() + qr_command(SI_DIGITS) + CUT, PLACE))
    assert receipt.fiscal
    assert (receipt.fiscal.scheme, receipt.fiscal.number) == ("si-furs", ZOI)
    assert (receipt.key, receipt.also) == (key_of(f"si-furs:{ZOI}"), (POS_ID,))


def test_a_slovenian_code_in_several_bar_codes() -> None:
    bars = b"".join(code128_command(f"4{at + 1}{SI_DIGITS[at * 20 : at * 20 + 20]}") for at in range(3))
    receipt = the_one(decode(b"\x1b@" + TILL.encode() + bars + CUT, PLACE))
    assert receipt.key == key_of(f"si-furs:{ZOI}")


@pytest.mark.parametrize("send", [bands, strips], ids=["bands", "strips"])
def test_a_job_of_pictures_gives_the_receipt_of_its_code(send) -> None:  # type: ignore[no-untyped-def]
    # given a receipt that a driver drew
    document = b"\x1b@" + send(page(["ПРОДАВНИЦА", "УКУПНО  829,12"], qr(purs_url()))) + CUT
    # when it is read
    receipt = the_one(decode(document, DecodeOptions(store="12", register="3")))
    # then the code says all but its lines, and the receipt says why it has none
    assert (receipt.number, receipt.total_minor, receipt.lines) == ("746DUV64-746DUV64-16898", 82912, ())
    assert (receipt.key, receipt.also) == (
        key_of("rs-purs:746DUV64-746DUV64-16898"),
        ("pos:12/3/2022-12-31/746DUV64-746DUV64-16898",),
    )
    assert codes_of(receipt) == ["raster_only"]
    assert receipt.source == "escpos"


def test_a_job_of_pictures_without_a_code_stays_a_problem() -> None:
    document = b"\x1b@" + bands(page(["A DRAWN RECEIPT", "TOTAL 1.00"])) + CUT
    (problem,) = decode(document).problems
    assert (problem.code, document[problem.start : problem.end], problem.known) == (
        "raster_only",
        document,
        msgspec.UNSET,
    )


def test_a_drawn_slovenian_receipt_stays_a_problem_that_names_it() -> None:
    (problem,) = decode(b"\x1b@" + bands(page(["RAČUN"], qr(SI_DIGITS))) + CUT).problems
    assert problem.code == "raster_only"
    assert problem.known
    assert (problem.known.key, problem.known.fiscal.number) == (key_of(f"si-furs:{ZOI}"), ZOI)


def test_text_that_no_reader_knows_gives_the_receipt_of_its_code() -> None:
    receipt = the_one(decode(b"\x1b@whatever this is\n" + qr_command(HR_URL) + CUT))
    assert (receipt.total_minor, codes_of(receipt)) == (26828, ["unknown_layout"])


def test_a_torn_journal_gives_the_receipt_of_its_code() -> None:
    torn = "\n".join(line for line in JOURNAL.split("\n") if "Укупан износ:" not in line)
    receipt = the_one(decode(journal_bytes(torn) + qr_command(purs_url()) + CUT))
    assert receipt.total_minor == 82912
    assert codes_of(receipt) == ["torn"]


def test_a_code_printed_twice_is_one_receipt() -> None:
    assert the_one(decode(b"\x1b@x\n" + qr_command(HR_URL) + qr_command(HR_URL) + CUT)).total_minor == 26828


def test_a_damaged_code_says_so_where_nothing_else_names_the_receipt() -> None:
    (problem,) = decode(b"\x1b@" + bands(qr(purs_url()[:-4] + "AAAA")) + CUT).problems
    assert problem.code == "raster_only"
    assert "check sum" in problem.detail
    # and does no harm to a receipt that is read from its text
    assert the_one(decode(journal_bytes() + qr_command(purs_url()[:-4] + "AAAA") + CUT)).problems == ()


def test_codes_that_are_not_fiscal_change_nothing() -> None:
    plain = decode(b"\x1b@" + TILL.encode() + CUT, PLACE).receipts
    coded = decode(b"\x1b@" + TILL.encode() + qr_command("https://example.org/join") + CUT, PLACE).receipts
    assert coded == plain


def test_the_same_receipt_drawn_and_scanned_has_one_key() -> None:
    url = purs_url()
    drawn = the_one(decode(bands(qr(url))))
    scanned = the_one(decode(url.encode(), DecodeOptions(format="purs-qr")))
    assert drawn.key == scanned.key


@pytest.mark.parametrize("transaction", [0, 1])
@pytest.mark.parametrize(("invoice", "status"), [*enumerate(("final", "proforma", "copy", "training", "advance"))])
def test_text_and_code_of_each_type_are_one_transaction_in_either_order(
    invoice: int, status: str, transaction: int
) -> None:
    # given the journal of a receipt, and its code by itself, as two sources give them
    text = printed(
        Journal(
            status=status,
            refund=bool(transaction),
            time="31.12.2022. 15:51:57",
            items=(Item(text="HLEB/KOM (Е)", price_minor=82912, quantity="1", amount_minor=82912),),
        )
    )
    url = purs_url(purs_bytes(invoice=invoice, transaction=transaction))
    (read,), (coded,) = decode(text.encode()).receipts, decode(url.encode()).receipts
    # then both name the same and say the same, whichever comes first
    assert (read.key, read.also) == (coded.key, coded.also)
    assert (read.status, read.kind, read.number) == (coded.status, coded.kind, coded.number)
    assert read.fiscal
    assert coded.fiscal
    assert read.fiscal.counter == coded.fiscal.counter
    assert same_content(read, coded)
    assert same_content(coded, read)
