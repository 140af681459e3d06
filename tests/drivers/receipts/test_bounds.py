"""Jobs made to keep a decoder busy take no more than twice the work when they are twice as long.

Work is counted in the interpreter's instructions, so that a busy machine tells the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from drivers.escpos.effort import COMMAND_BYTES, MAX_COMMANDS, MAX_SHEETS, SHEET_BYTES
from drivers.escpos.page_mode import MAX_PAGE_PIECES
from drivers.escpos.paper import FEED_CHUNK_BYTES, MAX_SHEET_LINES, NOT_READ_ON
from drivers.receipts.decode import decode, paper_sheets, paper_text
from drivers.receipts.port import DecodeOptions

OPTIONS = DecodeOptions(time_zone="Europe/Belgrade", currency="RSD")
JOB_BYTES = 1_500
# Twice, and what a job costs however long it is.
MAX_RATIO = 2.3
# A letter by itself on a line of its own, composed on a page, is the dearest byte of those that are read one by one.
MAX_INSTRUCTIONS_A_BYTE = 2_000

BACK = b"\x1bK\x1e"
PAGE = b"\x1bL"
NARROW = PAGE + b"\x1bW\x00\x00\x00\x00\x01\x00\x64\x00"
ELSEWHERE = b"\x1bW\x00\x00\x60\xea\x0a\x00\x0a\x00"
QR = b"\x1d(k\x03\x001Q0"
PICTURE = b"\x1d*\x04\x04" + bytes(range(128))
SLIP = b"AID A0000000031010\nApples 1,00\nTOTAL 1,00\n\n"

JOBS: dict[str, tuple[bytes, bytes]] = {
    "letters": (b"\x1b@", b"a"),
    "lines": (b"\x1b@", b"Hleb 1,00\n"),
    "lone returns": (b"\x1b@", b"a\r"),
    "tabs": (b"\x1bt.", b"\t\xc6"),
    "positions": (b"", b"\x1b$\x0a\x00a"),
    "styles": (b"", b"\x1bE\x01a\x1bE\x00b"),
    "styles without letters": (b"", b"\x1bE\x01"),
    "feeds of many lines": (b"", b"\x1bd\xff"),
    "paper fed back under other letters": (b"", b"a\n" + BACK + b"b\n" + BACK),
    "paper fed back under a long line": (b"a" + b" " * 250 + b"b\n" + BACK, b"a\n" + BACK),
    "paper fed back without end": (b"", b"a\n\x1bK\xff\x1bK\xff"),
    "a page printed at each letter": (PAGE, b"x\n\x1b\x0c"),
    "a page cleared where nothing is": (PAGE + b"x\n" * 500 + ELSEWHERE, b"\x18"),
    "a page as narrow as a dot": (NARROW, b"x"),
    "a page of letters in one place": (PAGE, b"\x1b$\x0a\x00a"),
    "codes": (b"\x1d(k\x07\x001P0abcd", QR),
    "codes on a page": (b"\x1d(k\x07\x001P0abcd" + PAGE, QR),
    "a picture again and again": (PICTURE, b"\x1d/\x00"),
    "strips of one column": (b"", b"\x1b*\x00\x01\x00\xaa"),
    "letters that are drawn anew": (b"\x1b%\x01", b"\x1b&\x00 \x7e" + bytes(95) + b"a"),
    "turns": (b"", b"\x1b{\x01a\n\x1b{\x00"),
    "cuts": (b"", b"\x1bi"),
    "card slips": (b"\x1b@Receipt 1\nA 1,00\n", SLIP),
    "card slips within a receipt": (b"\x1b@Receipt 1\nA 1,00\nTOTAL 1,00\n", b"\nTID 1\nAID 2\n\nB 1,00\n"),
    "receipts": (b"\x1b@", b"Receipt 12\nA 1,00\nTOTAL 1,00\n"),
    "goods without a total": (b"\x1b@Receipt 1\n", b"A 1,00\n"),
    "code pages": (b"", b"".join(b"\x1bt" + bytes((page,)) + b"\x8a\x9ea\x8eb " for page in range(60))),
    "Star lines": (b"\x1b\x1dt\x20", b"a\n"),
    "a Star page printed at each letter": (b"\x1b\x1dt\x20\x1b\x1dP0", b"x\n\x1b\x1dP6"),
    "Star positions": (b"\x1b\x1dt\x20", b"\x1b\x1dA\x10\x00a"),
}


RECEIPT = b"Receipt 1\nA 1,00\nB 1,50\nTOTAL 2,50\n"
COMMANDS_ALONE: dict[str, tuple[bytes, bytes]] = {
    "code pages": (b"\x1b@", b"\x1bt\x12"),
    "tabs": (b"\x1b@", b"\t\xc6"),
    "feeds": (b"\x1b@", b"\x1bd\x00"),
    "Star tabs": (b"\x1b\x1dt\x20", b"\ta"),
    "Star tab stops": (b"\x1b\x1dt\x20", b"\x1bD\x00"),
}


def instructions(work: Callable[[], object]) -> int:
    """Instructions of the interpreter that `work` takes."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def job(head: bytes, unit: bytes, size: int) -> bytes:
    return head + unit * (size // len(unit))


@pytest.mark.parametrize(("head", "unit"), JOBS.values(), ids=JOBS)
def test_twice_the_bytes_are_twice_the_work(head: bytes, unit: bytes) -> None:
    # given a job of one thing again and again, what it needs in memory loaded, and one twice as long
    short, long = job(head, unit, JOB_BYTES), job(head, unit, 2 * JOB_BYTES)
    decode(long, OPTIONS)
    # when both are decoded
    once, twice = (instructions(lambda each=each: decode(each, OPTIONS)) for each in (short, long))  # type: ignore[misc]
    # then the work grows with the bytes
    print(once, twice)
    assert twice <= MAX_RATIO * once
    assert twice <= MAX_INSTRUCTIONS_A_BYTE * len(long)


@pytest.mark.parametrize(("head", "unit"), COMMANDS_ALONE.values(), ids=COMMANDS_ALONE)
def test_no_more_is_followed_than_a_till_asks(head: bytes, unit: bytes) -> None:
    # given paper that a receipt stands on, and behind it on the same sheet commands without end
    paper = head + RECEIPT + unit * (2 * MAX_COMMANDS)
    # when it is decoded, and one twice as long
    once = decode(paper, OPTIONS)
    twice = decode(paper + unit * (2 * MAX_COMMANDS), OPTIONS)
    # then the receipt is read, what stands behind the limit is named with its bytes, and is where it was
    for decoded, size in ((once, len(paper)), (twice, len(paper) + len(unit) * 2 * MAX_COMMANDS)):
        assert [receipt.total_minor for receipt in decoded.receipts] == [250]
        (beyond,) = [problem for problem in decoded.problems if problem.code == "too_dense"]
        assert len(head + RECEIPT) + MAX_COMMANDS <= beyond.start < beyond.end == size
    # and so much of it is followed as its bytes allow, and what was framed together
    followed = (twice.problems[-1].start - FEED_CHUNK_BYTES) / len(unit)
    assert followed <= MAX_COMMANDS + twice.problems[-1].start / COMMAND_BYTES


@pytest.mark.parametrize("cut", [b"\x1bi", b"a\n\x1dV\x00", b"a\x0c", b"1,00\x0c"])
def test_no_more_sheets_are_read_than_a_till_cuts(cut: bytes) -> None:
    decoded = decode(RECEIPT + cut * 30_000, OPTIONS)

    assert [receipt.total_minor for receipt in decoded.receipts] == [250]
    assert decoded.problems[-1].code == "too_many"
    assert decoded.problems[-1].end == len(RECEIPT + cut * 30_000)
    assert len(decoded.problems) < MAX_SHEETS + 30_000 * len(cut) / SHEET_BYTES


@pytest.mark.parametrize("cut", [b"\x1bi", b"a\n\x1dV\x00", b"a\x0c", b"1,00\x0c"])
def test_no_more_sheets_are_shown_than_are_read(cut: bytes) -> None:
    paper = RECEIPT + cut * 30_000

    text = "".join(paper_text(paper, OPTIONS))
    sheets = list(paper_sheets(paper, OPTIONS))

    # the paper's text says that there was more, and so does its last sheet, which the picture is made of
    assert text.startswith(RECEIPT.decode())
    assert text.endswith(f"[{NOT_READ_ON}]\n")
    read_until = decode(paper, OPTIONS).problems[-1].start
    assert text.count("[cut]\n") == len(sheets) - 1 == read_until // SHEET_BYTES + MAX_SHEETS + 1
    assert sheets[-1].asks_too_much


@pytest.mark.parametrize(
    ("paper", "lost"),
    [
        (b"\x1b@" + b"a\n" * (MAX_SHEET_LINES + 3), 3),
        (b"\x1b@" + PAGE + b"a\n" * (MAX_PAGE_PIECES + 3) + b"\x0c", 3),
        (b"\x1b\x1dt\x20\x1b\x1dP0" + b"a\n" * (MAX_SHEET_LINES + 3) + b"\x1b\x1dP6", 3),
    ],
    ids=["sheet", "page", "Star page"],
)
def test_lines_that_are_not_read_are_told(paper: bytes, lost: int) -> None:
    decoded = decode(paper, OPTIONS)

    (told,) = [problem for problem in decoded.problems if problem.code == "too_long"]
    assert told.detail.startswith(f"{lost} lines more")
    assert (told.start, told.end) == (0, len(paper))


@pytest.mark.parametrize(
    "before_each_letter",
    [b"\x1bE\x01", b"\x1b!\x00\x1ba\x00\x1bE\x00", b"\x1b-\x00\x1bM\x00\x1d!\x00\x1bG\x00\x1b \x00"],
    ids=["one style", "three", "five"],
)
def test_a_long_receipt_whose_every_letter_has_its_own_commands_is_read(before_each_letter: bytes) -> None:
    lines = [b"Receipt 1", *(b"Item number %3d of the list %15d,00" % (number, number) for number in range(300))]
    lines += [b"TOTAL %d,00" % sum(range(300))]
    styled = [b"".join(before_each_letter + bytes((letter,)) for letter in line) + b"\n" for line in lines]
    decoded = decode(b"\x1b@" + b"".join(styled) + b"\x1bi", OPTIONS)

    (receipt,) = decoded.receipts
    assert (len(receipt.lines), receipt.total_minor) == (300, sum(range(300)) * 100)
    assert decoded.problems == ()


def test_a_long_receipt_whose_every_word_is_placed_by_itself_is_read() -> None:
    # given a sheet of 2,000 lines with a placed and a styled word in each ten bytes
    items = b"".join(b"\x1b$\x00\x00A\x1b$\x60\x001,00\n" for _ in range(2_000))
    decoded = decode(b"\x1b@Receipt 1\n" + items + b"TOTAL 2000,00\n\x1bi", OPTIONS)

    assert [receipt.total_minor for receipt in decoded.receipts] == [200_000]
    assert decoded.problems == ()


def test_work_that_is_not_linear_is_seen() -> None:
    def pairs(size: int) -> Callable[[], object]:
        return lambda: [first + second for first in range(size) for second in range(size)]

    assert instructions(pairs(200)) > MAX_RATIO * instructions(pairs(100))
