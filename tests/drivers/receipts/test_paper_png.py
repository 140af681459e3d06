"""A picture of the paper shows what was printed, and stays within its limits."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image, ImageChops

from drivers.receipts.decode import DecodeOptionsError, paper_sheets
from drivers.receipts.paper_png import (
    LINE_DOTS,
    MARGIN_DOTS,
    MAX_DRAWN_CODES,
    MAX_IMAGE_ROWS,
    MAX_IMAGES,
    MAX_LINE_DOTS,
    MIN_WIDTH_DOTS,
    paper_pngs,
)
from drivers.receipts.port import DecodeOptions
from tests.drivers.receipts.codes import HR_URL, purs_url
from tests.drivers.receipts.drawn import bands, page, qr

CAPTURES = Path(__file__).parents[2] / "captures"
CORPORA = Path(__file__).parents[4] / "shared/corpora/escpos"
SEED = random.randrange(2**32)


def images(document: bytes) -> list[Image.Image]:
    return [Image.open(io.BytesIO(png)) for png in paper_pngs(paper_sheets(document))]


def image(document: bytes) -> Image.Image:
    (one,) = images(document)
    return one


def codes(picture: Image.Image) -> list[tuple[str, str]]:
    return [(str(code.format), code.text) for code in zxingcpp.read_barcodes(picture)]


def black_rows(picture: Image.Image) -> int:
    return sum(min(picture.crop((0, y, picture.width, y + 1)).tobytes()) < 128 for y in range(picture.height))


def qr_command(text: bytes) -> bytes:
    return b"\x1d(k" + (len(text) + 3).to_bytes(2, "little") + b"1P0" + text + b"\x1d(k\x03\x001Q0"


def test_each_line_stands_in_its_row_and_columns() -> None:
    # given one letter at the third column of the second line
    picture = image(b"\x1b@\n  X\n")
    # then nothing is drawn but there
    left, top = MARGIN_DOTS + 2 * 12, MARGIN_DOTS + LINE_DOTS
    box = ImageChops.invert(picture).getbbox()
    assert box is not None
    assert left <= box[0] < box[2] <= left + 12
    assert top <= box[1] < box[3] <= top + LINE_DOTS


def test_letters_of_every_alphabet_of_the_shops_are_drawn_and_differ() -> None:
    shapes = {
        letter: image(f"{letter}\n".encode()).tobytes() for letter in "ЂЉЊЏЖШđčćžšĐČĆŽŠäöüßáéőűαβγ€A"
    }  # fmt: skip
    assert len(set(shapes.values())) == len(shapes)


def test_a_picture_is_drawn_dot_by_dot() -> None:
    drawn = page(["A DRAWN RECEIPT"], qr(HR_URL))
    picture = image(bands(drawn, height=9999))
    inner = picture.crop((MARGIN_DOTS, MARGIN_DOTS, MARGIN_DOTS + drawn.width, MARGIN_DOTS + drawn.height))
    assert inner.tobytes() == drawn.convert("L").tobytes()


@pytest.mark.parametrize("text", [HR_URL, purs_url(), "ž" * 20])
def test_qr_codes_can_be_scanned_from_the_picture(text: str) -> None:
    assert codes(image(b"text\n" + qr_command(text.encode()))) == [("QR Code", text)]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"\x1dkC\x0d4006381333931", ("EAN-13", "4006381333931")),
        (b"\x1dkD\x0896385074", ("EAN-8", "96385074")),
        (b"\x1dkE\x07CODE-39", ("Code 39", "CODE-39")),
        (b"\x1dkI\x08{BAbc123", ("Code 128", "Abc123")),
        (b"\x1dkF\x0612345670"[:10], ("ITF", "123456")),
    ],
)
def test_bar_codes_can_be_scanned_from_the_picture(command: bytes, code: tuple[str, str]) -> None:
    assert codes(image(command)) == [code]


@pytest.mark.parametrize(
    "command",
    [
        qr_command(b"x" * 2000),
        b"\x1dkC\x03abc",  # no EAN
        b"\x1dkI\x06{B\xff\xfe\x00\x01",
        b"\x1d(k\x06\x000P0abc\x1d(k\x03\x000Q0",  # PDF417
        b"\x1b@\x1cp\x01\x00",  # a logo in the printer's memory
    ],
)
def test_what_cannot_be_drawn_is_named_in_a_frame(command: bytes) -> None:
    picture = image(command)
    assert codes(picture) == []
    assert black_rows(picture) >= 10
    assert 128 in picture.tobytes()


def test_only_so_many_codes_are_drawn() -> None:
    picture = image(qr_command(b"1") * (MAX_DRAWN_CODES + 3))
    assert len(codes(picture)) == MAX_DRAWN_CODES


def test_cuts_are_drawn_and_text_pages_are_parted_likewise() -> None:
    assert 128 in image(b"one\n\x1dV\x00two\n").tobytes()
    assert image(b"one\n[cut]\ntwo\n").tobytes() == image(b"one\x0ctwo\n").tobytes()
    assert image(b"one\n").tobytes().count(128) < image(b"one\n[cut]\ntwo\n").tobytes().count(128)


def test_long_lines_are_wrapped() -> None:
    picture = image(b"x" * (MAX_LINE_DOTS // 12 + 1) + b"\n")
    assert picture.size == (MAX_LINE_DOTS + 2 * MARGIN_DOTS, 2 * LINE_DOTS + 2 * MARGIN_DOTS)


def box(document: bytes) -> tuple[int, int, int, int]:
    """Where ink is, within the margins."""
    found = ImageChops.invert(image(document)).getbbox()
    assert found is not None
    left, top, right, bottom = found
    return left - MARGIN_DOTS, top - MARGIN_DOTS, right - MARGIN_DOTS, bottom - MARGIN_DOTS


def ink(document: bytes) -> int:
    return sum(255 - dot for dot in image(document).tobytes())


def test_letters_are_as_large_as_they_were_printed() -> None:
    plain, wide, high, small = (
        box(b"\x1b@" + style + b"MMMM\n") for style in (b"", b"\x1b!\x20", b"\x1d!\x01", b"\x1bM\x01")
    )
    assert 3 * 12 < plain[2] <= 4 * 12
    assert 3 * 24 < wide[2] <= 4 * 24
    assert (high[2], LINE_DOTS < high[3] < 2 * LINE_DOTS) == (plain[2], True)
    assert 3 * 9 < small[2] <= 4 * 9


def test_bold_underlined_and_inverse_letters_have_more_ink() -> None:
    plain, bold, underlined, inverse = (
        ink(b"\x1b@" + style + b"MMMM\n") for style in (b"", b"\x1bE\x01", b"\x1b-\x01", b"\x1dB\x01")
    )
    assert plain < bold < inverse
    assert plain < underlined
    # and only the letters that are so
    assert ink(b"\x1b@MM\x1bE\x01MM\n") == (plain + bold) // 2


def test_lines_codes_and_pictures_stand_left_centred_or_right() -> None:
    dot = b"\x1dv0\x00\x01\x00\x08\x00" + b"\xff" * 8
    for thing in (b"MM\n", dot, b"\x1dkD\x0896385074"):
        left, centred, right = (box(b"\x1b@\x1ba" + bytes((where,)) + thing) for where in range(3))
        width = left[2] - left[0]
        assert left[0] < 40
        assert abs((centred[0] + centred[2]) // 2 - MIN_WIDTH_DOTS // 2) <= 2
        assert right[2] > MIN_WIDTH_DOTS - 40
        assert width == centred[2] - centred[0] == right[2] - right[0]


def test_nothing_printed_is_white_paper() -> None:
    picture = image(b"")
    assert picture.size == (MIN_WIDTH_DOTS + 2 * MARGIN_DOTS, 2 * MARGIN_DOTS)
    assert picture.getextrema() == (255, 255)


def test_a_long_roll_is_parted_and_at_last_left_off() -> None:
    lines = MAX_IMAGE_ROWS // LINE_DOTS
    parts = images(b"x\n" * (lines + 5))
    assert [part.height for part in parts] == [MAX_IMAGE_ROWS + 2 * MARGIN_DOTS, 5 * LINE_DOTS + 2 * MARGIN_DOTS]
    tall = bands(Image.new("1", (8, 29_000), 1), height=29_000)
    sheets = paper_sheets((tall + b"x\n") * (MAX_IMAGES + 2))
    assert sum(1 for _ in paper_pngs(sheets)) == MAX_IMAGES


def test_wrong_options_are_said() -> None:
    with pytest.raises(DecodeOptionsError, match="CP852"):
        list(paper_pngs(paper_sheets(b"x", DecodeOptions(code_page="nonsense"))))


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.bin")), ids=lambda path: path.stem)
def test_our_own_captures_are_drawn(path: Path) -> None:
    assert black_rows(image(path.read_bytes())) > 50


@pytest.mark.skipif(not CORPORA.exists(), reason="needs the captures of other systems")
def test_captures_of_other_systems_are_drawn() -> None:
    for path in sorted(CORPORA.glob("*.bin")):
        assert black_rows(image(path.read_bytes())) > 100, path.name
    assert codes(image((CORPORA / "qr-code.bin").read_bytes()))


def test_mutated_streams_are_drawn_all_the_same() -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    whole = [path.read_bytes() for path in sorted(CAPTURES.glob("*.bin"))]
    for _ in range(40):
        document = bytearray(dice.choice(whole))
        for _ in range(dice.randint(1, 20)):
            at = dice.randrange(len(document))
            document[at : at + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 2))
        for picture in images(bytes(document)):
            assert picture.height <= 2 * MAX_IMAGE_ROWS
