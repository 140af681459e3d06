"""What the paper shows, given the bytes a till sends."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.escpos.codepages import CodePageError
from drivers.escpos.framing import EscposFramer
from drivers.escpos.paper import MAX_BLANK_LINES, MAX_SHEET_LINES, Paper
from drivers.escpos.printer import EscposPrinter, printed

CORPUS = Path(__file__).parents[4] / "shared" / "corpora" / "escpos"
CUT = b"\x1dVA\x03"


def shown(*parts: bytes, **options: str) -> str:
    return printed(b"".join(parts), **options).text


def printed_bytewise(document: bytes) -> Paper:
    framer, printer = EscposFramer(), EscposPrinter()
    for index in range(len(document)):
        printer.feed(framer.feed(document[index : index + 1]))
    printer.feed(framer.finish())
    return Paper(sheets=tuple(printer.finish()))


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"one\ntwo\n", "one\ntwo\n"),
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        (b"one\rtwo\r", "one\ntwo\n"),
        (b"one\n\r\ntwo", "one\n\ntwo\n"),
        (b"no line end", "no line end\n"),
        (b"bold \x1bE\x01and\x1bE\x00 not\n", "bold and not\n"),
        (b"a\tb\n", "a       b\n"),
        (b"\x1bD\x05\x0a\x00a\tb\tc\td\n", "a    b    c d\n"),
        (b"name\x1b$\xf0\x009.99\n", "name                9.99\n"),
        (b"long name that is there\x1b$\x0c\x009.99\n", "long name that is there 9.99\n"),
        (b"a\x1b\\\x30\x00b\n", "a    b\n"),
        (b"one\x1bd\x03two\n", "one\n\n\ntwo\n"),
        (b"one\x1bJ\x18two\n", "one\ntwo\n"),
        (b"lost\x1b@kept\n", "kept\n"),
        (b"\x07bell and \x00nul\n", "bell and nul\n"),
        (b"to paper\n\x1b=\x02to the display\n\x1b=\x01paper\n", "to paper\npaper\n"),
        (b"page one\x0cpage two\n", "page one\npage two\n"),
    ],
)
def test_lines(document: bytes, text: str) -> None:
    assert printed(document).text == text
    assert printed_bytewise(document).text == text


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"\x1bt\x12\xac\xa6\n", "ČŽ\n"),
        (b"\x1bt\x2d\xc8\x8e\n", "ČŽ\n"),
        (b"\x81\x1bt\x11\x81\n", "üБ\n"),
        (b"\x1bR\x0e[@]^`{|}~\n", "ŠŽĆČžšđćč\n"),
        (b"\x1c(C\x02\x00\x30\x02\xd0\x82\xc5\xa0\n", "ЂŠ\n"),
        (b"\x1c&\xc4\xe3\xba\xc3\x1c.\n", "你好\n"),
        (b"\x1cC\x01\x1c&\x93\xfa\x96{\x1c.\n", "日本\n"),
        (b"\x1b&\x03AA\x01\xff\xff\xff\x1b%\x01ABA\x1b%\x00A\n", "\ufffdB\ufffdA\n"),
    ],
)
def test_alphabets(document: bytes, text: str) -> None:
    assert printed(document).text == text
    assert printed_bytewise(document).text == text


def test_the_printer_decides_what_a_page_number_is() -> None:
    document = b"\x1bt\x02\xac\xa6\n"
    assert shown(document) == "¼ª\n"
    assert shown(document, profile="TH230") == "ČŽ\n"
    assert shown(document, code_page="CP852") == "ČŽ\n"


def test_unknown_pages_and_printers_are_refused() -> None:
    with pytest.raises(CodePageError):
        EscposPrinter(code_page="no such page")
    with pytest.raises(CodePageError):
        EscposPrinter(profile="no such printer")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b"\x1d(k\x07\x001P0abcd\x1d(k\x03\x001Q0", "[QR abcd]\n"),
        (b"\x1d(k\x05\x001P0\x00\n\x1d(k\x03\x001Q0", "[QR \\x00\\x0a]\n"),
        (b"\x1d(k\x05\x000P0ab\x1d(k\x03\x000Q0", "[PDF417 ab]\n"),
        (b"\x1d(k\x03\x001Q0", ""),
        (b"\x1dk\x02400638133393\x00", "[EAN13 400638133393]\n"),
        (b"\x1dk\x45\x049876", "[CODE39 9876]\n"),
        (b"\x1dk\x49\x0b{BNo.{C\x0c\x22{{", "[CODE128 No.1234{]\n"),
        (b"\x1dv0\x00\x02\x00\x03\x00abcdef", "[image 16x3]\n"),
        (b"\x1dv0\x03\x02\x00\x03\x00abcdef", "[image 32x6]\n"),
        (b"\x1d(L\x10\x000p0\x02\x011\x10\x00\x03\x00abcdef\x1d(L\x02\x0002", "[image 32x3]\n"),
        (b"\x1d*\x02\x01" + bytes(16) + b"\x1d/\x00", "[image 16x8]\n"),
        (b"\x1cp\x01\x00", "[image stored 1]\n"),
        (b"before\x1cp\x01\x00after\n", "before\n[image stored 1]\nafter\n"),
    ],
)
def test_codes_and_pictures_by_name(document: bytes, text: str) -> None:
    assert printed(document).text == text
    assert printed_bytewise(document).text == text


def test_strips_of_a_column_picture_are_one_picture() -> None:
    strip = b"\x1b*\x21\x02\x00" + bytes(6) + b"\n"
    assert shown(b"logo\n", strip * 3, b"text\n", strip) == "logo\n[image 2x72]\ntext\n[image 2x24]\n"


def test_sheets_end_at_cuts_and_say_where_they_are() -> None:
    # given two sheets with a kick each, and a rest
    document = b"\x1b@\x1bp\x00\x19\xfaone\n" + CUT + b"two\n\x10\x14\x01\x00\x01" + CUT + b"rest"
    # when printed
    sheets = printed(document).sheets
    # then
    assert [(sheet.text, sheet.cut, sheet.drawer_kicks) for sheet in sheets] == [
        ("one\n", True, 1), ("two\n", True, 1), ("rest\n", False, 0),
    ]  # fmt: skip
    assert [document[sheet.start : sheet.end] for sheet in sheets] == [
        b"\x1b@\x1bp\x00\x19\xfaone\n" + CUT, b"two\n\x10\x14\x01\x00\x01" + CUT, b"rest",
    ]  # fmt: skip
    line = sheets[1].lines[0]
    assert document[line.start : line.end] == b"two\n"
    assert printed(document).text == "one\n[cut]\ntwo\n[cut]\nrest\n"


def test_the_code_page_outlives_a_cut_and_not_a_reset() -> None:
    assert shown(b"\x1bt\x12\xac\n", CUT, b"\xac\n\x1b@\xac\n") == "Č\n[cut]\nČ\n¼\n"


def test_paper_with_pictures_only_says_so() -> None:
    picture = b"\x1dv0\x00\x02\x00\x03\x00abcdef"
    assert printed(picture).sheets[0].is_raster_only
    assert not printed(picture + b"text\n").sheets[0].is_raster_only


def test_a_torn_job_says_so() -> None:
    (sheet,) = printed(b"text\n\x1dv0\x00\x02\x00\x03\x00abc").sheets
    assert (sheet.text, sheet.torn, sheet.cut) == ("text\n", True, False)


def test_endless_paper_is_bounded() -> None:
    # given more lines than a sheet holds, and line feeds without end
    document = b"a\n" * (MAX_SHEET_LINES + 5) + CUT + b"\n" * 100_000 + b"\x1bd\xff" * 1000 + b"x" * 100_000
    first, second = printed(document).sheets
    assert (len(first.lines), first.lost_lines) == (MAX_SHEET_LINES, 5)
    assert sum(not line.text for line in second.lines) == MAX_BLANK_LINES
    assert max(len(line.text) for line in second.lines) <= 65536 + 4096


PIECES = [
    b"text", b"\n", b"\r", b"\r\n", b"\t", b"\x1bt\x12", b"\x1bt\x01", b"\x1bR\x0e", b"\x1b@", b"\x1bd\x02", CUT,
    b"\x1c&", b"\x1c.", b"\xc4\xe3", b"\x1b$\x40\x00", b"\x1b*\x21\x01\x00abc", b"\x1b=\x00", b"\x1b=\x01",
]  # fmt: skip


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=8),
            st.sampled_from(PIECES),
        ),
        max_size=15,
    ).map(b"".join)
)  # fmt: skip
@example(b"\x1bt\x01\x81\x1br\x00@")  # a colour parts the bytes of a letter
def test_any_split_prints_the_same(document: bytes) -> None:
    assert printed_bytewise(document).text == printed(document).text


def test_random_bytes_never_raise() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    codes = b"@!*&(%$-.?DEJRVWZ\\acdhikmpqtv8kL=\x04\x14"
    for _ in range(3_000):
        document = b"".join(
            bytes((dice.choice((0x1B, 0x1D, 0x1C, 0x10)), dice.choice(codes))) + dice.randbytes(dice.randrange(12))
            for _ in range(dice.randrange(20))
        )
        assert "\x1b" not in printed(document).text


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared captures are not here")
class TestRealCaptures:
    """Streams made by others, from the shared folder."""

    @pytest.mark.parametrize("name", ["character-encodings", "demo", "qr-code", "receipt-with-logo"])
    def test_whole_and_byte_by_byte(self, name: str) -> None:
        document = (CORPUS / f"{name}.bin").read_bytes()
        paper = printed(document)
        assert printed_bytewise(document) == paper
        assert paper.text.strip()

    @pytest.mark.parametrize(
        "line",
        [
            "Quizdeltagerne spiste jordbær med fløde, mens cirkusklovnen Wolther spillede på xylofon.",
            "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg.",
            "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
            "Árvíztűrő tükörfúrógép.",
            "Glāžšķūņa rūķīši dzērumā čiepj Baha koncertflīģeļu vākus.",
            "Pchnąć w tę łódź jeża lub ośm skrzyń fig.",
            "В чащах юга жил бы цитрус? Да, но фальшивый экземпляр!",
            "Pijamalı hasta, yağız şoföre çabucak güvendi.",
            "ｲﾛﾊﾆﾎﾍﾄ ﾁﾘﾇﾙｦ ﾜｶﾖﾀﾚｿ ﾂﾈﾅﾗﾑ",
            "Tiếng Việt, còn gọi tiếng Việt Nam hay Việt ngữ, là ngôn ngữ của người Việt (người Kinh) và là ngôn ngữ "
            "chính thức tại Việt Nam.",
            "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה איך הקליטה",
        ],
    )
    def test_every_language_is_readable(self, line: str) -> None:
        assert line in printed((CORPUS / "character-encodings.bin").read_bytes()).text.splitlines()

    def test_codes_and_pictures(self) -> None:
        assert "[QR Testing 123]\nMost simple example\n" in printed((CORPUS / "qr-code.bin").read_bytes()).text
        logo = printed((CORPUS / "receipt-with-logo.bin").read_bytes())
        assert logo.text.startswith("[image 300x236]\nExampleMart Ltd.\n")
        assert [sheet.drawer_kicks for sheet in logo.sheets] == [0, 1]
