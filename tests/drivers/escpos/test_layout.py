"""Where letters stand on the paper: styles, positions, lines over each other, paper fed back, pages."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.escpos.framing import EscposFramer
from drivers.escpos.page_mode import MAX_PAGE_COPIES, MAX_PAGE_PIECES
from drivers.escpos.paper import Paper, PaperLine
from drivers.escpos.printer import EscposPrinter, printed
from drivers.escpos.styles import Span

CUT = b"\x1dVA\x03"


def in_pieces(document: bytes, size: int, *, styled_text: bool) -> Paper:
    framer, printer = EscposFramer(styled_text=styled_text), EscposPrinter()
    for at in range(0, len(document), size):
        printer.feed(framer.feed(document[at : at + size]))
    printer.feed(framer.finish())
    return Paper(sheets=tuple(printer.finish()))


def lines_of(document: bytes) -> Sequence[PaperLine]:
    """The only sheet's lines; the same however the document is cut, and whoever takes styles out of the text."""
    paper = printed(document)
    for size in (1, 2, 7, len(document)):
        for styled_text in (True, False):
            assert in_pieces(document, size, styled_text=styled_text) == paper
    (sheet,) = paper.sheets
    return sheet.lines


def texts(document: bytes) -> list[str]:
    return [line.text for line in lines_of(document)]


def test_lines_keep_their_bytes_where_the_page_changes_between_and_within_them() -> None:
    # given a till that selects CP852 (18) and CP1251 (46) as its letters need, and CP437 (0)
    document = (
        b"\x1bt\x12\xac\n\x1bt.\xc5\r\n a \x1bt\x12\xac\x1bt.\xc5 \n\n\x1bt\x00\x1bt.\xc5\x1bt\x12\n\xac\x1bE\x01\n"
    )
    lines = [(line.text, document[line.start : line.end]) for line in lines_of(document)]
    # then a line's bytes begin with its first letter, and the page that was selected last stays
    assert lines == [
        ("Č", b"\xac\n"),
        ("Е", b"\xc5\r\n"),
        (" a ČЕ", b" a \x1bt\x12\xac\x1bt.\xc5 \n"),
        ("", b""),
        ("Е", b"\xc5\x1bt\x12\n"),
        ("Č", b"\xac\x1bE\x01\n"),
    ]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"a\x1bt\nb\n", "ab"),  # a page whose number is a line feed
        (b"\x1bt\x12" + b"\x1bt.\xc5\x1bt\x12\xac" * 20 + b"\n", "ЕČ" * 20),
        (b"\x1bt\x12" + b"\xac" * 3_000 + b"\n", "Č" * 3_000),
        (b"\x1bR\x0e\x1bt.\xc5[\x1bt\x12\xac[\n", "ЕŠČŠ"),
        (b"\x1bE\x01\x1bt.\xc5\x1bt\x12\xac\x1bE\x00\n", "ЕČ"),
        (b"\x1bt.\xc5\x1b@\x1bt.\xc5\n", "Е"),
        (b"\x1c&\x1bt.\xc4\xe3\n", "你"),
    ],
)
def test_pages_may_change_wherever_a_letter_stands(document: bytes, text: str) -> None:
    assert [line for line in texts(document) if line] == [text]


@pytest.mark.parametrize(
    ("document", "text", "spans"),
    [
        (b"plain\n", "plain", ()),
        (b"\x1bE\x01all\x1bE\x00\n", "all", (Span(start=0, end=3, bold=True),)),
        (b"a \x1bE\x01b \x1bE\x00c\n", "a b c", (Span(start=2, end=4, bold=True),)),
        (b"a\x1bG\x01b\x1bG\x00\n", "ab", (Span(start=1, end=2, bold=True),)),
        (b"\x1b-\x01a\x1b-\x00b\n", "ab", (Span(start=0, end=1, underline=True),)),
        (b"\x1b-2a\x1b-0b\n", "ab", (Span(start=0, end=1, underline=True),)),
        (b"\x1dB\x01a\x1dB\x00b\n", "ab", (Span(start=0, end=1, inverse=True),)),
        (b"\x1bM\x01a\x1bM\x00b\n", "ab", (Span(start=0, end=1, font=1),)),
        (b"\x1bM1a\x1bM0b\n", "ab", (Span(start=0, end=1, font=1),)),
        (b"\x1d!\x11a\x1d!\x00b\n", "ab", (Span(start=0, end=1, double_width=True, double_height=True),)),
        (b"\x1d!\x70a\n", "a", (Span(start=0, end=1, double_width=True),)),
        (
            b"\x1b!\xb9a\x1b!\x00b\n",
            "ab",
            (Span(start=0, end=1, bold=True, double_width=True, double_height=True, underline=True, font=1),),
        ),
        (b"\x1b!\x08a\x1bE\x00b\n", "ab", (Span(start=0, end=1, bold=True),)),
        (b"\x1bE\x01a\x1bE\x01b\x1bE\x00\n", "ab", (Span(start=0, end=2, bold=True),)),
        (
            b"\x1bE\x01a\x1b-\x01b\n",
            "ab",
            (Span(start=0, end=1, bold=True), Span(start=1, end=2, bold=True, underline=True)),
        ),
        (b"a\x1bE\x01   \n", "a", ()),
        (b"\x1bE\x01a\x1b@b\n", "b", ()),
        (b"\x1b \x04spaced\n", "spaced", ()),
        (b"\x1b!\x0aa\x1b!\x0d\n", "a", (Span(start=0, end=1, bold=True),)),
    ],
)
def test_styles_are_spans(document: bytes, text: str, spans: tuple[Span, ...]) -> None:
    (line,) = lines_of(document)
    assert (line.text, line.spans) == (text, spans)


def test_a_style_lasts_until_it_is_taken_back() -> None:
    first, second = lines_of(b"\x1bE\x01one\ntwo\x1bE\x00 three\n")
    assert first.spans == second.spans == (Span(start=0, end=3, bold=True),)


def test_justification_is_said_where_a_line_begins() -> None:
    lines = lines_of(b"\x1ba\x01head\n\x1ba2right\n\x1ba\x00left\x1ba\x01 and more\nnext\n")
    assert [(line.text, line.justification) for line in lines] == [
        ("head", "center"), ("right", "right"), ("left and more", "left"), ("next", "left"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "text"),
    [
        # columns beside each other are sent in any order
        (b"Bread\x1b$\xf0\x009.99\n", "Bread               9.99"),
        (b"\x1b$\xf0\x009.99\x1b$\x00\x00Bread\n", "Bread               9.99"),
        (b"\x1b$\xf0\x009.99\x1b$\x78\x002 x\x1b$\x00\x00Bread\n", "Bread     2 x       9.99"),
        (b"                    9.99\x1b$\x00\x00Bread\n", "Bread               9.99"),
        (b"Bread               \x1b$\x78\x00x\n", "Bread     x"),
        # wide letters take two columns, small ones three quarters of one
        (b"\x1d!\x10SUM\x1d!\x00\x1b$\xf0\x009.99\n", "SUM                 9.99"),
        (b"\x1d!\x10TOTAL TOTAL\x1d!\x00\x1b$\xf0\x009.99\n", "TOTAL TOTAL            9.99"),
        (b"\x1bM\x01" + b"small " * 4 + b"\x1b$\xf0\x009.99\n", "small small small small   9.99"),
        (b"\x1bM\x01" + b"0123456789" * 4 + b"\x1b$\x8c\x019.99\n", "0123456789" * 4 + "    9.99"),
        # distances
        (b"a\x1b\\\x30\x00b\n", "a    b"),
        (b"ab\x1b\\\xe8\xffab\n", "ab"),
        (b"price\x1b\\\x06\x00s\n", "price s"),
        (b"price\x1b\\\x02\x00s\n", "prices"),
        # tabs
        (b"a\tb\tc\n", "a       b       c"),
        (b"\x1bD\x05\x14\x00a\tb\tc\td\n", "a    b              c d"),
        (b"\x1bM\x01\x1bD\x14\x00\x1bM\x00a\tb\n", "a              b"),
        # what lies over something else comes last
        (b"long name that is there\x1b$\x0c\x009.99\n", "long name that is there 9.99"),
        (b"a\x1b$\xff\xffb\n", "a" + " " * 255 + "b"),
    ],
)
def test_letters_stand_in_their_columns(document: bytes, text: str) -> None:
    assert texts(document) == [text]


@pytest.mark.parametrize(
    ("document", "text", "bold"),
    [
        (b"TOTAL 5.00\rTOTAL 5.00\n", "TOTAL 5.00", (0, 10)),
        (b"TOTAL 5.00\rTOTAL 5.00\r\n", "TOTAL 5.00", (0, 10)),
        (b"TOTAL 5.00\rTOTAL 5.00\rTOTAL 5.00\n", "TOTAL 5.00", (0, 10)),
        (b"TOTAL 5.00\rTOTAL\n", "TOTAL 5.00", (0, 5)),
        (b"TOTAL 5.00\x1b$\x00\x00TOTAL\n", "TOTAL 5.00", (0, 5)),
        (b"TOTAL 5.00\x1b$\x01\x00TOTAL\n", "TOTAL 5.00", (0, 5)),
        (b"TOTAL 5.00\n\x1bK\x1eTOTAL\n", "TOTAL 5.00", (0, 5)),
        (b"TOTAL 5.00\n\x1be\x01TOTAL\n", "TOTAL 5.00", (0, 5)),
        (b"TOTAL 5.00\x1bJ\x10\x1bK\x18TOTAL\n", "TOTAL 5.00", (0, 5)),
    ],
)
def test_what_is_struck_twice_is_one_bold_line(document: bytes, text: str, bold: tuple[int, int]) -> None:
    first, last, *rest = lines_of(document + b"next\n")
    assert (first.text, last.text, rest) == (text, "next", [])
    assert first.spans == (Span(start=bold[0], end=bold[1], bold=True),)


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        # composed in two passes
        (b"Bread\r               9.99\n", ["Bread          9.99"]),
        (b"Bread\n\x1be\x01               9.99\nMilk\n", ["Bread          9.99", "Milk"]),
        # one line below the other, on printers that feed one for each CR
        (b"Bread 1.00\rBread 1.00\r", ["Bread 1.00", "Bread 1.00"]),
        (b"Bread 1.00\rMilk 2.00\n", ["Bread 1.00", "Milk 2.00"]),
        (b"one\rtwo\rthree\rfour\rfive\rfive\n", ["one", "two", "three", "four", "five", "five"]),
        # two equal lines are two lines
        (b"Bread 1.00\nBread 1.00\n", ["Bread 1.00", "Bread 1.00"]),
        (b"Bread 1.00\r\nBread 1.00\r\n", ["Bread 1.00", "Bread 1.00"]),
        (b"Bread 1.00\x1bJ\x18Bread 1.00\x1bJ\x18", ["Bread 1.00", "Bread 1.00"]),
        (b"\x1b3\x00Bread 1.00\nBread 1.00\n", ["Bread 1.00", "Bread 1.00"]),
        # fed back to where nothing or something else was printed
        (b"one\n\x1bd\x03two\n\x1be\x03back\n", ["one", "", "back", "", "two"]),
        (b"one\ntwo\n\x1be\x02xyz\n", ["one", "xyz", "two"]),
        (b"one\n\x1bK\x1e\x1dv0\x00\x01\x00\x01\x00\xff", ["one", "[image 8x1]"]),
    ],
)
def test_lines_lie_where_the_paper_was(document: bytes, lines: list[str]) -> None:
    assert texts(document) == lines


def test_blank_lines_stay_few_however_the_paper_moves() -> None:
    assert texts(b"a" + b"\n" * 50 + b"\x1be\xff" * 5 + b"b\n") == ["b", "a", "", "", "", ""]
    assert texts(b"a\n\n\n\x1be\x02b\nc\n") == ["a", "b", "c"]


def test_lines_printed_upside_down_are_read_with_the_paper_turned() -> None:
    # given a block whose last line is sent first, between others
    document = b"above\n\x1b{\x01TOTAL 5.00\nBread 5.00\nSHOP\n\x1b{\x00below\n"
    lines = lines_of(document)
    # then it is read from its last line on, and each line has the bytes of the block
    assert [line.text for line in lines] == ["above", "SHOP", "Bread 5.00", "TOTAL 5.00", "below"]
    assert {document[line.start : line.end] for line in lines[1:4]} == {b"TOTAL 5.00\nBread 5.00\nSHOP\n"}


def test_upside_down_lasts_across_a_cut_and_ends_with_a_reset() -> None:
    paper = printed(b"\x1b{\x01b\na\n" + CUT + b"d\nc\n\x1b@e\n" + CUT)
    assert paper.text == "a\nb\n[cut]\nc\nd\ne\n[cut]\n"


def test_rotated_and_one_way_printing_change_no_text() -> None:
    assert texts(b"\x1bV\x01turned\n\x1bV\x00\x1bU\x01one way\n\x1bU\x00both\n") == ["turned", "one way", "both"]


# Page mode


def area(left: int, top: int, width: int, height: int) -> bytes:
    return b"\x1bW" + struct.pack("<4H", left, top, width, height)


def down(dots: int) -> bytes:
    return b"\x1d$" + struct.pack("<H", dots)


def across(dots: int) -> bytes:
    return b"\x1b$" + struct.pack("<H", dots)


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\x1bd\x02two\x1bJ\x40three", ["one", "two", "three"]),
        # by place, not in the order of sending
        (
            down(90) + b"third" + down(30) + across(0) + b"first" + down(60) + across(0) + b"second",
            ["first", "second", "third"],
        ),
        (b"Bread\n" + down(24) + across(240) + b"9.99\n", ["Bread               9.99"]),
        (b"low\x1d\\\xe2\xff\x1b$\x00\x00high", ["high", "low"]),
        (across(120) + b"5.00" + across(0) + b"Total", ["Total     5.00"]),
        # wide letters on the same base line, and a double strike
        (b"\x1d!\x11SUM\x1d!\x00" + across(240) + b"5.00", ["SUM                 5.00"]),
        (down(50) + b"SUM" + down(50) + across(0) + b"SUM", ["SUM"]),
        # two columns of the page are read line by line
        (
            area(0, 0, 240, 100) + b"Bread\nMilk\n" + area(240, 0, 240, 100) + b"1.00\n2.00\n",
            ["Bread               1.00", "Milk                2.00"],
        ),
        (area(0, 200, 576, 100) + b"below\n" + area(0, 0, 576, 100) + b"above\n", ["above", "below"]),
        # text goes on in the next line where the area ends
        (area(0, 0, 120, 200) + b"0123456789abcdef\nnext\n", ["0123456789", "abcdef", "next"]),
        (area(0, 0, 8, 200) + b"ab\n", ["a", "b"]),
        # directions: read with the paper turned
        (area(0, 0, 576, 300) + b"\x1bT\x02" + b"first\nsecond\n", ["first", "second"]),
        (
            area(0, 0, 300, 576) + b"\x1bT\x01" + down(60) + b"second" + down(30) + across(0) + b"first",
            ["first", "second"],
        ),
        (area(0, 0, 300, 576) + b"\x1bT3" + b"first\n" + b"second\n", ["first", "second"]),
        (b"\x1bT\x00upright\n\x1bT\x01side\nways\n", ["upright", "side", "ways"]),
        # cancelled
        (b"gone\n\x18kept\n", ["kept"]),
        (area(0, 0, 240, 100) + b"kept\n" + area(0, 200, 240, 100) + b"gone\n\x18", ["kept"]),
        # without width or height it is no area
        (b"a\n" + area(100, 100, 0, 10) + b"b\n", ["a", "b"]),
    ],
)
def test_a_page_is_read_by_its_places(page: bytes, lines: list[str]) -> None:
    assert texts(b"before\n\x1bL" + page + b"\x0cafter\n") == ["before", *lines, "after"]


def test_what_is_on_a_page_keeps_its_styles_codes_and_bytes() -> None:
    # given a page with the code sent first and the head last
    code = down(100) + b"\x1d(k\x07\x001P0abcd\x1d(k\x03\x001Q0"
    document = b"\x1bL" + code + down(30) + across(0) + b"\x1bE\x01SHOP\x1bE\x00 1\x0c" + CUT
    (sheet,) = printed(document).sheets
    # then
    assert [line.text for line in sheet.lines] == ["SHOP 1", "[QR abcd]"]
    assert sheet.lines[0].spans == (Span(start=0, end=4, bold=True),)
    assert {(line.start, line.end) for line in sheet.lines} == {(0, document.index(b"\x0c") + 1)}
    (qr,) = sheet.codes
    assert document[qr.start : qr.end] == b"\x1d(k\x03\x001Q0"


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        (b"\x1bLgone\n\x1bSkept\n", ["kept"]),
        (b"\x1bLgone\n\x1b@kept\n", ["kept"]),
        (b"\x1bLtwice\n\x1b\x0c\x1b\x0c\x1bSonce\n", ["twice", "twice", "once"]),
        (b"\x1bLnever printed\n", ["never printed"]),
        (b"line\x1bLpage\x0c", ["line", "page"]),
        (b"\x1dp\x18\x1d$\x10\x00\x1bT\x01plain\n", ["plain"]),
        (b"\x1bL\x1be\x01up\x1bK\x40\n\x0c", ["up"]),
    ],
)
def test_a_page_ends_in_several_ways(document: bytes, lines: list[str]) -> None:
    assert texts(document) == lines


def test_a_page_without_end_is_bounded() -> None:
    # given more pieces than a page holds, and the same page printed without end
    page = b"".join(down(30 * (n % 2000)) + across(0) + b"x" for n in range(MAX_PAGE_PIECES + 10))
    (sheet,) = printed(b"\x1bL" + page + b"\x0c").sheets
    assert sheet.lost_lines == 10
    assert len(texts(b"\x1bLx" + b"\x1b\x0c" * 1000)) == MAX_PAGE_COPIES


def test_a_page_printed_at_every_word_is_bounded_and_complete() -> None:
    # given a page that ESC FF prints again with each new line
    lines = [f"line {number}" for number in range(600)]
    growing = b"".join(down(30 * number) + across(0) + line.encode() + b"\x1b\x0c" for number, line in enumerate(lines))
    # when its paper is printed
    paper = texts(b"\x1bL" + growing + b"\x0c")
    # then what is printed again is bounded, and FF has printed all of it
    assert len(paper) <= (MAX_PAGE_COPIES + 1) * len(lines)
    assert paper[-len(lines) :] == lines


def test_a_page_printed_twice_and_cleared_each_time_never_wears_out() -> None:
    page = across(0) + b"Hleb\n" + b"Mleko\n" + b"\x1b\x0c" * 2 + b"\x18" + b"\x1d$\x18\x00"
    assert texts(b"\x1bL" + page * 300) == ["Hleb", "Mleko"] * 600


pieces = st.one_of(
    st.sampled_from(
        [
            b"text",
            b"text  ",
            b"  9.99",
            b"\n",
            b"\r",
            b"\r\n",
            b"\t",
            b"\x1bE\x01",
            b"\x1bE\x00",
            b"\x1b!\x0a",
            b"\x1d!\x11",
            b"\x1b$\x60\x00",
            b"\x1b$\x00\x00",
            b"\x1b\\\xf4\xff",
            b"\x1bK\x1e",
            b"\x1be\x01",
            b"\x1bJ\x0c",
            b"\x1bd\x02",
            b"\x1bL",
            b"\x1bS",
            b"\x0c",
            b"\x1b\x0c",
            b"\x18",
            down(40),
            area(0, 0, 96, 400),
            b"\x1bT\x01",
            b"\x1b{\x01",
            b"\x1b{\x00",
            b"\x1b@",
            b"\x1ba\x01",
            b"\x1b3\x00",
            b"\x1b2",
            b"\x1bt\x12",
            b"\xac\xe7",
            b"\x1dk\x04ABC\x00",
            b"\x1b*\x21\x01\x00abc",
            CUT,
            b"\x1b&\x03AA\x01\xff\xff\xff",
            b"\x1b%\x01",
            b"A",
            b"\x1bR\x0e",
            b"[",
            b"\x1b=\x00",
            b"\x1b=\x01",
        ]
    ),
    st.binary(max_size=4),
)


def test_a_styling_command_whose_parameter_is_the_byte_of_a_line_feed_ends_no_line() -> None:
    assert printed(b"one\x1b!\x0a two\n").text == "one two\n"
    assert printed(b"one\x1b!\x0a").text == printed(b"one").text


@given(st.lists(pieces, max_size=25).map(b"".join), st.integers(min_value=1, max_value=9))
def test_any_split_and_any_framing_print_the_same(document: bytes, size: int) -> None:
    paper = printed(document)
    for styled_text in (True, False):
        assert in_pieces(document, size, styled_text=styled_text) == paper


@given(st.lists(pieces, max_size=25).map(b"".join))
def test_every_span_is_of_its_line_and_every_line_of_the_document(document: bytes) -> None:
    for sheet in printed(document).sheets:
        assert 0 <= sheet.start <= sheet.end <= len(document)
        for line in sheet.lines:
            assert 0 <= line.start <= line.end <= len(document)
            at = 0
            for span in line.spans:
                assert at <= span.start < span.end <= len(line.text)
                at = span.end
