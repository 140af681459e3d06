"""One bad receipt stops no other, nothing malformed raises, and every byte range is right."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from drivers.receipts import decode as door
from drivers.receipts.decode import (
    MAX_DOCUMENT_BYTES,
    MAX_PIECES,
    DecodeOptionsError,
    decode,
    formats,
    paper_text,
)
from drivers.receipts.documents import LONG_PAGE_LINES
from drivers.receipts.pieces import Ignored
from drivers.receipts.port import DecodeOptions, Found, MalformedReceiptError, PrintedJob, ReceiptReader
from drivers.receipts.readers import Readers, _say_broken, installed
from loyalty.receipt import Receipt
from tests.drivers.receipts.journals import Item, Journal, printed
from tests.loyalty.receipts import receipts_in

CAPTURES = Path(__file__).parents[2] / "captures"
JOURNAL = printed(
    Journal(items=(Item(text="HLEB/KOM (Е)", price_minor=8999, quantity="2", amount_minor=17998),), tail="")
)
RECEIPT = "Store 12 Register 3\nReceipt 4711  22.11.2026 09:07\nBread  3.00\nTOTAL EUR  3.00\nCASH  3.00\n"
SLIP = "CUSTOMER COPY\nTID 12345678\nAPPROVED\nAMOUNT EUR 3.00\n"
PICTURE = b"\x1dv0\x00\x02\x00\x03\x00abcdef"
CUT = b"\x1dVA\x00"


def numbers(document: bytes, options: DecodeOptions | None = None) -> list[str | None]:
    return [receipt.number or None for receipt in decode(document, options).receipts]


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.json")), ids=lambda path: path.stem)
def test_our_own_captures(path: Path) -> None:
    document = next(other for other in CAPTURES.glob(f"{path.stem}.*") if other != path).read_bytes()
    decoded = decode(document, DecodeOptions(time_zone="Europe/Belgrade"))
    assert json.loads(msgspec.json.encode(decoded)) == json.loads(path.read_text())


def test_a_shift_on_one_roll() -> None:
    # given receipts of two kinds, a slip, a drawer kick, a picture and something unknown, each cut off
    sheets = [
        RECEIPT.encode(),
        SLIP.encode(),
        b"\x1bt\x2e" + JOURNAL.encode("cp1251"),
        PICTURE,
        b"\x1bp\x00\x19\xfa",
        b"whatever this is\n",
        RECEIPT.replace("4711", "4712").encode(),
    ]
    document = b"\x1b@" + CUT.join(sheets) + CUT
    # when it is read
    decoded = decode(document)
    # then each is what it is, with the bytes it came from
    assert [receipt.number for receipt in decoded.receipts] == ["4711", "746DUV64-746DUV64-16898", "4712"]
    assert [receipt.source for receipt in decoded.receipts] == ["escpos"] * 3
    assert [(each.kind, document[each.start : each.end]) for each in decoded.ignored] == [
        ("card_slip", SLIP.encode() + CUT)
    ]
    assert [(each.code, document[each.start : each.end]) for each in decoded.problems] == [
        ("raster_only", PICTURE + CUT),
        ("unknown_layout", b"whatever this is\n" + CUT),
    ]


def test_a_slip_beside_a_receipt_without_a_cut_is_counted() -> None:
    decoded = decode((JOURNAL + SLIP).encode())
    assert [receipt.number for receipt in decoded.receipts] == ["746DUV64-746DUV64-16898"]
    assert [ignored.kind for ignored in decoded.ignored] == ["card_slip"]
    assert decoded.problems == ()


def test_pages_of_text_end_at_form_feeds_and_cut_lines() -> None:
    for page_end in ("\f", "\n[cut]\n"):
        document = page_end.join((RECEIPT, SLIP, RECEIPT.replace("4711", "4712"))).encode()
        assert numbers(document) == ["4711", "4712"]
        assert [each.kind for each in decode(document).ignored] == ["card_slip"]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1251"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_text_in_many_encodings(codec: str, line_end: str) -> None:
    # given a torn journal before a whole one
    whole = JOURNAL.replace("\n", line_end)
    torn = whole[: whole.index("ПФР број")]
    document = (torn + line_end + whole).encode(codec)
    # when read
    decoded = decode(document)
    # then the text is right, and so is the range of what is torn
    (receipt,) = decoded.receipts
    assert receipt.fiscal
    assert receipt.fiscal.issuer
    assert receipt.fiscal.issuer.city == "Ниш-Медијана"
    (problem,) = decoded.problems
    part = document[problem.start : problem.end].decode(
        codec.replace("utf-16", "utf-16-le") if codec == "utf-16" else codec
    )
    assert part.strip("\ufeff").strip() == torn.strip()


def test_text_in_a_latin_page_is_guessed_and_can_be_told() -> None:
    text = RECEIPT.replace("Bread", "Čvarci žuti")
    (guessed,) = decode(text.encode("cp1250")).receipts
    assert guessed.lines[0].description == "Čvarci žuti"
    (told,) = decode(text.encode("cp852"), DecodeOptions(code_page="CP852")).receipts
    assert told.lines[0].description == "Čvarci žuti"


def test_a_torn_last_letter_leaves_utf8_what_it_is() -> None:
    assert numbers(JOURNAL.encode() + "Ђ".encode()[:1]) == ["746DUV64-746DUV64-16898"]


def test_json_goes_in_and_comes_out_the_same() -> None:
    # given what decode wrote, weak identities included
    first = decode((JOURNAL + "\f" + RECEIPT + "\f" + RECEIPT.replace("Store 12 ", "")).encode())
    document = msgspec.json.encode(first)
    # when it is read again
    second = decode(document)
    # then it is the same
    assert second.receipts == first.receipts
    assert len(receipts_in(document)) == 3


def test_json_from_a_pos_needs_no_key_and_one_bad_receipt_stops_no_other() -> None:
    good: dict[str, object] = {
        "kind": "sale",
        "store": "1",
        "register": "2",
        "number": "3",
        "business_day": "2026-11-22",
    }
    good |= {"currency": "EUR", "total_minor": 500}
    document = json.dumps({"receipts": [good, {**good, "total_minor": 1.5}, {**good, "number": "4"}]}).encode()
    decoded = decode(document)
    assert [receipt.number for receipt in decoded.receipts] == ["3", "4"]
    assert all(receipt.key for receipt in decoded.receipts)
    (problem,) = decoded.problems
    assert problem.code == "bad_receipt"
    assert json.loads(document[problem.start : problem.end])["total_minor"] == 1.5


def test_the_tax_authoritys_json_carries_a_journal() -> None:
    document = json.dumps({"invoiceResult": {"totalAmount": 179.98}, "journal": JOURNAL}).encode()
    assert numbers(document) == ["746DUV64-746DUV64-16898"]


@pytest.mark.parametrize(
    "document",
    [
        b"{", b"{}", b"[1]", b'{"receipts":1}', b'{"receipts":[{"total_minor":NaN}]}', b"[" * 100_000,
        b'{"a":' * 100_000, b'{"receipts":[' + b"[" * 50_000 + b"]" * 50_000 + b"]}", b'{"journal":"x"}',
        b'{"receipts":[{"key":"a","key":"b"}]}', b"\xff{", b'{"receipts":["\xff"]}',
    ],
)  # fmt: skip
def test_bad_json_is_a_problem(document: bytes) -> None:
    decoded = decode(document)
    assert decoded.receipts == ()
    assert decoded.problems


def test_wrong_options_say_what_is_right() -> None:
    with pytest.raises(DecodeOptionsError, match="purs-journal"):
        decode(b"", DecodeOptions(format="no such format"))
    for options, right in (
        (DecodeOptions(code_page="no such page"), "CP852"),
        (DecodeOptions(profile="no such printer"), "TM-T88V"),
        (DecodeOptions(time_zone="Europe/Nowhere"), "Europe/Belgrade"),
        (DecodeOptions(currency="euro"), "EUR"),
    ):
        for document in (b"", b"\x1b@text\n", b"{}"):
            with pytest.raises(DecodeOptionsError, match=right):
                decode(document, options)
            with pytest.raises(DecodeOptionsError, match=right):
                list(paper_text(document, options))


def test_a_format_asks_one_reader() -> None:
    assert {"auto", "escpos", "json", "poslog", "purs-journal", "text"} <= set(formats())
    assert numbers(RECEIPT.encode(), DecodeOptions(format="purs-journal")) == []
    assert numbers(JOURNAL.encode(), DecodeOptions(format="text")) == []
    assert numbers(RECEIPT.encode(), DecodeOptions(format="escpos")) == ["4711"]


def test_too_much_is_refused_unread() -> None:
    decoded = decode(bytes(MAX_DOCUMENT_BYTES + 1))
    assert [problem.code for problem in decoded.problems] == ["too_large"]


@pytest.mark.parametrize(
    "shape", [b"\n", b"a\n", b"a\n\n", b"a 1.00\n", b"<br/>", b"\x1bd\xff", b"\x1bJ\xff", b"\xc3\n"]
)
def test_lines_without_end_hold_little(shape: bytes) -> None:
    # given a stream that is nothing but line ends
    document = shape * (48 * 1024 // len(shape))
    tracemalloc.start()
    # when it is read
    decode(document)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # then memory is bounded by the page, not by the document
    assert held < 15 * 1024 * 1024


def test_pieces_without_end_are_counted_out() -> None:
    piece = Ignored(kind="blank", start=0, end=1)
    decoded = door._gathered(repeat(piece, MAX_PIECES + 1), 7)
    assert len(decoded.ignored) == MAX_PIECES
    assert [(problem.code, problem.start, problem.end) for problem in decoded.problems] == [("too_many", 0, 7)]


def test_a_years_journals_in_one_file_are_all_read() -> None:
    # given more lines than a page holds, without a page break
    number = "746DUV64-746DUV64-16898"
    document = "".join(JOURNAL.replace(number, f"746DUV64-746DUV64-{index}") for index in range(600))
    assert document.count("\n") > 2 * LONG_PAGE_LINES
    for text in (document, document.replace(" КРАЈ ФИСКАЛНОГ РАЧУНА ", '<br/><img src="data:image/gif;base64,R0">')):
        decoded = decode(text.encode())
        assert decoded.problems == ()
        assert [receipt.number for receipt in decoded.receipts] == [
            f"746DUV64-746DUV64-{index}" for index in range(600)
        ]


class _RaisingReader:
    """A third party's reader that claims everything and fails."""

    name: ClassVar[str] = "raising"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def find(self, job: PrintedJob) -> Sequence[Found]:
        return [Found(first=0, last=len(job.lines), certainty=100)]

    def read(self, job: PrintedJob, options: DecodeOptions) -> Receipt:
        raise self._error


class _BlindReader(_RaisingReader):
    """A third party's reader that fails before it can tell."""

    name: ClassVar[str] = "blind"

    def find(self, job: PrintedJob) -> Sequence[Found]:
        raise self._error


def _readers(*working: ReceiptReader, broken: Mapping[str, str] | None = None) -> Readers:
    return Readers(working={reader.name: reader for reader in working}, broken=broken or {})


@pytest.mark.parametrize(
    ("error", "code"), [(MalformedReceiptError("torn", "is torn"), "torn"), (ZeroDivisionError(), "reader_failed")]
)
def test_a_failing_reader_is_a_problem_with_the_bytes(error: Exception, code: str) -> None:
    pieces = door._gathered(
        door._pieces(RECEIPT.encode(), DecodeOptions(), _readers(_RaisingReader(error))), len(RECEIPT)
    )
    assert [(problem.code, problem.start, problem.end) for problem in pieces.problems] == [(code, 0, len(RECEIPT))]


@pytest.mark.parametrize(
    ("readers", "said"),
    [
        (_readers(_BlindReader(KeyError("x"))), "'blind' failed (KeyError)"),
        (_readers(broken={"acme": "The driver 'acme' cannot be imported."}), "'acme' cannot be imported"),
    ],
)
def test_what_a_broken_reader_might_have_read_says_so(readers: Readers, said: str) -> None:
    pieces = door._gathered(door._pieces(b"a sheet of somebody\n", DecodeOptions(), readers), 20)

    (problem,) = pieces.problems
    assert (problem.code, problem.start, problem.end) == ("reader_broken", 0, 20)
    assert said in problem.detail


def test_a_broken_reader_is_logged_once_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    _say_broken.cache_clear()
    built_in = installed().working
    readers = Readers(working={"blind": _BlindReader(OSError()), **built_in}, broken={})

    for _ in range(2):
        pieces = door._gathered(door._pieces(RECEIPT.encode(), DecodeOptions(), readers), len(RECEIPT))
        assert (len(pieces.receipts), pieces.problems) == (1, ())

    assert caplog.messages == ['{"event":"reader_broken","reader":"blind","error":"OSError"}']


def _mutated(document: bytes, dice: random.Random) -> bytes:
    data = bytearray(document)
    for _ in range(dice.randrange(1, 8)):
        at = dice.randrange(len(data) + 1)
        size = dice.randrange(1, 30)
        match dice.randrange(5):
            case 0:
                data[at : at + size] = b""
            case 1:
                data[at:at] = dice.randbytes(size)
            case 2:
                data[at:at] = data[max(0, at - size) : at] * dice.randrange(1, 20)
            case 3:
                data[at : at + 1] = bytes(
                    (dice.choice((0, 0x0A, 0x1B, 0x1D, 0x20, 0x2D, 0x3A, 0x3D, 0x7B, 0x80, 0xFF)),)
                )
            case _:
                data[at : at + 4] = dice.choice(
                    (b"9" * 40, b"0,00", b"-", b"&#x41;&quot;", b"<br/>", b"\xff\xfe", b"%", b"\f")
                )
    return bytes(data)


def _escpos() -> bytes:
    qr = b"\x1d(k\x0b\x001P0https://" + b"\x1d(k\x03\x001Q0"
    return b"\x1b@\x1bt\x2e" + JOURNAL.encode("cp1251") + qr + CUT + RECEIPT.encode() + PICTURE + CUT + SLIP.encode()


SEEDS: dict[str, Callable[[], bytes]] = {
    "journal": (JOURNAL * 2).encode,
    "refund": lambda: printed(
        Journal(
            refund=True, buyer="10:1", items=(Item(text="A/KOM (Е)", price_minor=1, quantity="1,5", amount_minor=2),)
        )
    ).encode(),
    "text": (RECEIPT + "\f" + SLIP + "\f" + RECEIPT.replace("Receipt", "RETURN of 1\nReceipt")).encode,
    "escpos": _escpos,
    "json": lambda: msgspec.json.encode(decode((JOURNAL + "\f" + RECEIPT).encode())),
    "utf16": lambda: JOURNAL.encode("utf-16"),
}


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_documents_never_raise(kind: str) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    original = SEEDS[kind]()
    for _ in range(1_000):
        document = _mutated(original, dice)
        decoded = decode(document)
        # every range lies in the document, and what came out can be read back
        ranges = [(each.start, each.end) for each in decoded.ignored]
        ranges += [(each.start, each.end) for each in decoded.problems]
        assert all(0 <= start <= end <= len(document) for start, end in ranges)
        msgspec.json.decode(msgspec.json.encode(decoded), type=door.Decoded)
