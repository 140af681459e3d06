"""What a Star printer's paper shows, whatever the bytes."""

from __future__ import annotations

import random

import pytest

from drivers.escpos.codepages import CodePageError
from drivers.escpos.paper import MAX_SHEET_LINES, Paper
from drivers.star.framing import StarFramer
from drivers.star.paper import MAX_REPRINTED_LINES, MAX_ROW_BYTES, MAX_WHITE_BYTES, StarPrinter, printed
from tests.drivers.star.commands import COMMANDS, CUTS, KICKS, TRAP, raster_document, u16


def lines(document: bytes, **options: str) -> list[str]:
    return printed(document, **options).text.splitlines()


@pytest.mark.parametrize(
    ("number", "codec", "text"),
    [
        (1, "cp437", "Müller ½"),
        (4, "cp858", "5,00 € é"),
        (5, "cp852", "ČOKOLADA šđžć"),
        (10, "cp866", "Молоко"),
        (11, "cp855", "Рачун ЂЉЊ"),
        (18, "iso8859-7", "Σύνολο"),
        (32, "cp1252", "Crème €"),
        (33, "cp1250", "Žluťoučký kůň"),
        (34, "cp1251", "Хлеб Ђ"),
    ],
)
def test_code_pages_have_stars_numbers(number: int, codec: str, text: str) -> None:
    assert lines(b"\x1b\x1dt" + bytes((number,)) + text.encode(codec) + b"\n") == [text]


def test_katakana_national_letters_and_pages_that_nobody_published() -> None:
    assert lines(b"\x1b\x1dt\x02\xb1\xb2\xb3\n") == ["ｱｲｳ"]
    assert lines(b"\x1bR\x02[\\]\n\x1bRB[\\]\n\x1bR\x0e[\\]\n\x1b@[\\]\n") == ["ÄÖÜ", "¡Ñ¿", "ÉÍÓ", "[\\]"]
    assert lines(b"\x1b\x1dt\x40a\xc1\n") == ["a\ufffd"]


def test_utf8_and_shift_jis_are_switched_on_and_off() -> None:
    utf8 = b"\x1b\x1d)U\x02\x000\x01" + "Чај ☕".encode() + b"\n\x1b\x1d)U\x02\x000\x00\xb3\n"
    assert lines(utf8) == ["Чај ☕", "│"]
    assert lines(b"\x1b$1" + "領収証".encode("cp932") + b"\x1b$0a\n") == ["領収証a"]


def test_a_forced_page_overrules_the_stream() -> None:
    assert lines(b"\x1b\x1dt\x05\xe8\x1b\x1d)U\x02\x000\x01\xe8\n", code_page="CP1250") == ["čč"]
    with pytest.raises(CodePageError):
        printed(b"", code_page="nonsense")
    with pytest.raises(CodePageError):
        printed(b"a", profile="nonsense")


def test_letters_that_the_pos_drew_are_not_known() -> None:
    draw = b"\x1b&\x01\x01A" + bytes(48)
    assert lines(draw + b"AB\x1b%1AB\x1b%0AB\n\x1b%1\x1b&\x01\x00AAB\n") == ["AB\ufffdBAB", "AB"]


def test_styles_leave_the_text_as_it_is() -> None:
    document = b"\x1bi\x01\x01\x1bW1\x1bh1\x1bE\x1b-1\x1b_1\x1b4\x0f\x0eTOTAL\x14\x12\x1b5\x1bF 5,00\n"
    assert lines(document) == ["TOTAL 5,00"]


def test_line_ends_feeds_tabs_and_positions() -> None:
    assert lines(b"a\nb\rc\r\nd\n\re\n\n") == ["a", "b", "c", "d", "e", ""]
    assert lines(b"a\x1ba\x03b\x1bJ\x0fc\x1bI\x20d\n") == ["a", "", "", "b", "c", "d"]
    assert lines(b"a\tb\n\x1bD\x04\x0a\x00a\tb\tc\n") == ["a       b", "a   b     c"]
    assert lines(b"a\x1b\x1dA\x78\x00b\x1b\x1dR\x18\x00c\x1b\x1dR\xf0\xffd\n") == ["a         b  cd"]
    # the printer's own reset prints what stands in the line; CAN drops it
    assert lines(b"kept\x1b@lost\x18next\n") == ["kept", "next"]


def test_sheets_end_at_cuts_with_their_kicks() -> None:
    paper = printed(b"one\n\x07\x1bd\x03" + b"two\x1a" + b"\x1bd1" + b"three")
    assert [(sheet.text, sheet.cut, sheet.drawer_kicks) for sheet in paper.sheets] == [
        ("one\n", True, 1),
        ("two\n", True, 1),
        ("three\n", False, 0),
    ]
    assert [(sheet.start, sheet.end) for sheet in paper.sheets] == [(0, 8), (8, 15), (15, 20)]
    assert paper.sheets[0].lines[0].start == 0


QR = b"\x1b\x1dyS0\x02\x1b\x1dyS1\x01\x1b\x1dyS2\x05"


def test_codes_are_printed_with_their_payload() -> None:
    url = b"https://suf.purs.gov.rs/v/?vl=Az\x1e"
    document = (
        QR + b"\x1b\x1dyD1\x00" + u16(len(url)) + url + b"\x1b\x1dyP"
        + b"\x1b\x1dyD2\x02\x01" + u16(4) + b"2026\x03" + u16(2) + b"-a" + b"\x1b\x1dyP"
        + b"\x1b\x1dxD" + u16(3) + b"abc" + b"\x1b\x1dxP"
        + b"\x1bb\x33\x02\x02\x40400638133393\x1e\x1bb\x06\x01\x02\x1e%8AB%0%^%1\x1e\x1bb4211*X\x1e"
        + b"\x1b\x1d(k" + u16(7) + b"3P00abc" + b"\x1b\x1d(k" + u16(3) + b"3Q0"
    )  # fmt: skip
    (sheet,) = printed(document).sheets
    assert [(code.symbology, code.data) for code in sheet.codes] == [
        ("QR", url), ("QR", b"2026-a"), ("PDF417", b"abc"), ("EAN13", b"400638133393"),
        ("CODE128", b"AB%\x1e"), ("CODE39", b"*X"), ("DATABAR", b"abc"),
    ]  # fmt: skip
    assert sheet.lines[0].text == "[QR https://suf.purs.gov.rs/v/?vl=Az\\x1e]"
    assert [line.kind for line in sheet.lines] == ["code"] * 7
    for code in sheet.codes:
        assert document[code.start : code.end]


def test_a_code_that_was_never_stored_is_not_printed() -> None:
    assert printed(b"\x1b\x1dyP\x1b\x1dxP\x1b\x1dyD1\x00\x01\x00a\x1b@\x1b\x1dyPtext\n").text == "text\n"


def test_strips_of_one_width_are_one_picture_with_its_dots() -> None:
    strip = b"\x1bX\x02\x00" + b"\x80\x00\x01\xff\x00\x00"
    (sheet,) = printed(b"\x1b0above\n" + (strip + b"\n") * 2 + b"below\n").sheets
    assert sheet.text == "above\n[image 2x48]\nbelow\n"
    picture = sheet.lines[1].picture
    assert picture is not None
    bitmap = picture.bitmap()
    assert (bitmap.width, bitmap.height) == (2, 48)
    assert bitmap.rows[0] == 0b11000000
    assert bitmap.rows[23] == 0b10000000


@pytest.mark.parametrize(
    ("command", "size"),
    [
        (b"\x1bK\x02\x00\xff\x00", (6, 24)),
        (b"\x1bL\x02\x00\xff\x00", (2, 24)),
        (b"\x1bk\x01\x00" + bytes(range(24)), (8, 24)),
        (b"\x1b\x1dS\x01\x02\x00\x03\x00\x00abcdef", (16, 3)),
    ],
)
def test_every_command_that_draws_gives_its_dots(command: bytes, size: tuple[int, int]) -> None:
    (sheet,) = printed(command + b"\n").sheets
    line = sheet.lines[0]
    assert line.text == f"[image {size[0]}x{size[1]}]"
    assert line.picture is not None
    bitmap = line.picture.bitmap()
    assert (bitmap.width, bitmap.height) == size
    assert sheet.is_raster_only


def test_raster_documents_are_pictures_and_noise_between_their_rows_is_not_text() -> None:
    document = (
        b"\x1b*rA" + b"b\x02\x00\xff\x00 noise " + b"k\x01\x00\x0f" + b"b\x01\x00\xf0" + b"\x1b*rY2\x00b\x01\x00\x01"
    )
    (sheet,) = printed(document + b"\x1b\x0c\x04\x1b*rB").sheets
    assert sheet.text == "[image 16x5]\n"
    assert sheet.cut
    assert sheet.lines[0].picture is not None
    assert sheet.lines[0].picture.bitmap().rows == b"\xff\x00\xff\x00\x00\x00\x00\x00\x01\x00"


def test_a_raster_document_between_texts() -> None:
    assert printed(b"a\n" + raster_document(3, ending=b"\x1b*rE1\x00\x1b*rB") + b"b\n").text == "a\n[image 112x3]\nb\n"
    # a drawer opened inside, and dots that were cleared
    (sheet,) = printed(b"\x1b*rA\x1b*rD1\x00b\x01\x00a\x1b*rC\x1b*rBtext\n").sheets
    assert (sheet.text, sheet.drawer_kicks) == ("text\n", 1)


def test_logos_are_named() -> None:
    assert printed(b"\x1b\x1cp\x02\x00\x1b\x1eL\x00\x1b\x1eL\xff").text == "[image stored 2]\n[image stored]\n"


def area(left: int, top: int, width: int = 400, height: int = 400) -> bytes:
    return b"\x1b\x1dP3" + u16(left) + u16(top) + u16(width) + u16(height)


def down(dots: int) -> bytes:
    return b"\x1b\x1dP4" + u16(dots)


def test_page_mode_is_read_as_it_stands_on_the_paper() -> None:
    document = (
        b"before\n\x1b\x1dP0" + area(0, 0) + down(300) + b"TOTAL" + down(100) + b"Bread\nMilk\n"
        + b"\x1b\x1dP5" + u16(0x10000 - 64) + b"\x1b\x1dyD1\x00\x01\x00a"
        + area(240, 100) + b"3,00\n1,20\n" + area(240, 300) + b"4,20" + down(64) + b"\x1b\x1dyP" + b"\x1b\x1dP7after\n"
    )  # fmt: skip
    (sheet,) = printed(document).sheets
    assert sheet.text.splitlines() == [
        "before",
        "Bread               3,00",
        "Milk                1,20",
        "TOTAL               4,20",
        "[QR a]",
        "after",
    ]
    assert [code.data for code in sheet.codes] == [b"a"]
    # every line of the page came from the whole page
    start, end = sheet.lines[1].start, sheet.lines[1].end
    assert document[start:end].startswith(b"\x1b\x1dP0")
    assert document[start:end].endswith(b"\x1b\x1dP7")
    assert {(line.start, line.end) for line in sheet.lines[1:5]} == {(start, end)}


@pytest.mark.parametrize("direction", [0, 1, 2, 3])
def test_a_page_is_read_along_its_lines_whatever_way_they_run(direction: int) -> None:
    turned = b"\x1b\x1dP2" + bytes((48 + direction,))
    document = b"\x1b\x1dP0" + turned + area(0, 0) + down(200) + b"third" + down(20) + b"first\nsecond\n\x1b\x1dP7"
    assert printed(document).text == "first\nsecond\nthird\n"


def test_a_page_is_printed_twice_or_never() -> None:
    assert printed(b"\x1b\x1dP0a\n\x1b\x1dP6b\n\x1b\x1dP7").text == "a\na\nb\n"
    assert printed(b"\x1b\x1dP0a\n\x1b\x1dP1b\n").text == "b\n"
    assert printed(b"\x1b\x1dP0a\n\x1b\x1dP8b\n\x1b\x1dP7").text == "b\n"
    assert printed(b"\x1b\x1dP0a\n\x1b@b\n").text == "b\n"


def test_a_roll_without_an_end_is_bounded() -> None:
    (sheet,) = printed(b"x\n" * (MAX_SHEET_LINES + 5) + b"\n" * 100).sheets
    assert len(sheet.lines) == MAX_SHEET_LINES
    assert sheet.lost_lines >= 5


def test_a_few_bytes_make_no_more_than_a_bounded_roll() -> None:
    # white paper between two rows of dots, again and again
    rows = b"b" + u16(72) + b"\xff" * 72 + b"\x1b*rY65535\x00b\x01\x00\x01\x1b\x0c\x04"
    sheets = printed(b"\x1b*rA" + rows * 200).sheets
    assert [sheet.text for sheet in sheets] == ["[image 576x65537]\n"] * 200
    drawn = [sheet.lines[0].picture is not None for sheet in sheets]
    assert drawn[0]
    assert sum(drawn) * 72 * 65537 <= MAX_WHITE_BYTES + 200 * len(rows)
    # a page of many lines, printed again and again
    sheets = printed(b"\x1b\x1dP0" + b"a\n" * 5_000 + b"\x1b\x1dP6\x1bd0" * 200).sheets
    assert sum(len(sheet.lines) for sheet in sheets) <= MAX_REPRINTED_LINES + 2 * 5_000
    # more dots than a sheet keeps, and then rows over each other
    many = b"b" + u16(MAX_ROW_BYTES) + b"\xff" * MAX_ROW_BYTES
    (sheet,) = printed(b"\x1b*rA" + many * 33_000 + b"k\x01\x00a" * 33_000 + b"\x1b*rB").sheets
    assert (sheet.text, sheet.lines[0].picture) == (f"[image {MAX_ROW_BYTES * 8}x33001]\n", None)
    # rows wider than any paper, printed over each other
    (sheet,) = printed(
        b"\x1b*rA" + (b"k" + u16(60_000) + bytes(60_000)) * 20 + b"k\x00\x00" * 5_000 + b"\x1b*rB"
    ).sheets
    assert sheet.text == f"[image {MAX_ROW_BYTES * 8}x1]\n"


def test_split_anywhere_it_is_the_same_paper() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    commands = [command for _, _, command in COMMANDS] + CUTS + KICKS + [b"MLEKO 2,8%\n"] * 20
    document = b"".join(dice.choice(commands) for _ in range(400))
    framer, printer, at = StarFramer(), StarPrinter(), 0
    while at < len(document):
        size = dice.randrange(1, 30)
        printer.feed(framer.feed(document[at : at + size]))
        at += size
    printer.feed(framer.finish())
    split = Paper(sheets=tuple(printer.finish()))
    assert split.text == printed(document).text


def test_mutated_streams_never_raise() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    commands = [command for _, _, command in COMMANDS] + CUTS + [raster_document(2), b"TOTAL 5,49\n", TRAP]
    for _ in range(20_000):
        stream = bytearray(b"".join(dice.choices(commands, k=6)))
        for _ in range(4):
            stream[dice.randrange(len(stream))] = dice.randrange(256)
        document = bytes(stream)
        sheets = printed(document).sheets
        at = 0
        for sheet in sheets:
            assert at == sheet.start <= sheet.end <= len(document)
            at = sheet.end
            for line in sheet.lines:
                assert 0 <= line.start <= line.end <= len(document)
                if line.picture is not None:
                    line.picture.bitmap()
