"""Every command that prints a picture gives its dots: what the composer drew is what we see."""

from __future__ import annotations

import random
import struct
import tracemalloc
from pathlib import Path

import pytest
from escpos.printer import Dummy
from PIL import Image

from drivers.escpos.framing import EscposFramer
from drivers.escpos.paper import PaperLine
from drivers.escpos.picture import MAX_PICTURE_DOTS, Bitmap, greys
from drivers.escpos.printer import printed
from drivers.escpos.raster import MAX_SHEET_PICTURE_BYTES, MAX_STRIPS

CORPORA = Path(__file__).parents[4] / "shared/corpora/escpos"
SEED = random.randrange(2**32)


def noise(width: int, height: int, seed: int = 7) -> Image.Image:
    """Dots that are nowhere alike, so that a row or a column too many shows."""
    return Image.frombytes("1", (width, height), random.Random(seed).randbytes((width + 7) // 8 * height))


def rows(image: Image.Image) -> bytes:
    """The image as printers take it, by rows: 1 is black."""
    return bytes(byte ^ 0xFF for byte in image.tobytes())


def columns(image: Image.Image) -> bytes:
    """By columns, the topmost dot in the highest bit."""
    turned = image.transpose(Image.Transpose.TRANSPOSE)
    return rows(turned)


def image_lines(document: bytes) -> list[PaperLine]:
    return [line for sheet in printed(document).sheets for line in sheet.lines if line.kind == "image"]


def picture(document: bytes) -> Bitmap:
    (line,) = image_lines(document)
    assert line.picture is not None
    return line.picture.bitmap()


def image_of(bitmap: Bitmap) -> Image.Image:
    dots, width, height = greys(bitmap)
    return Image.frombytes("L", (width, height), dots).convert("1")


def same(bitmap: Bitmap, image: Image.Image) -> bool:
    return image_of(bitmap).tobytes() == image.tobytes() and (bitmap.width, bitmap.height) == image.size


def wh(width: int, height: int) -> bytes:
    return struct.pack("<HH", width, height)


def graphics(parameters: bytes) -> bytes:
    return b"\x1d(L" + struct.pack("<H", len(parameters)) + parameters


def large_graphics(parameters: bytes) -> bytes:
    return b"\x1d8L" + struct.pack("<I", len(parameters)) + parameters


NOISE = noise(64, 48)
SIZE = wh(64, 48)
PRINT, PRINT_NV, PRINT_RAM = graphics(b"02"), graphics(b"0EG1\x01\x01"), graphics(b"0UG1\x01\x01")
PICTURES = {
    "GS v 0": b"\x1dv0\x00" + wh(8, 48) + rows(NOISE),
    "GS v 0, as a letter": b"\x1dv00" + wh(8, 48) + rows(NOISE),
    "GS ( L 112": graphics(b"0p0\x01\x011" + SIZE + rows(NOISE)) + PRINT,
    "GS 8 L 112": large_graphics(b"0p0\x01\x011" + SIZE + rows(NOISE)) + PRINT,
    "GS ( L 113": graphics(b"0q0\x01\x011" + SIZE + columns(NOISE)) + PRINT,
    "GS 8 L 67": large_graphics(b"0C0G1\x01" + SIZE + b"1" + rows(NOISE)) + PRINT_NV,
    "GS ( L 83": graphics(b"0S0G1\x01" + SIZE + b"1" + rows(NOISE)) + PRINT_RAM,
    "GS ( L 68": graphics(b"0D0G1\x01" + SIZE + b"1" + columns(NOISE)) + PRINT_NV,
    "GS ( L 84": graphics(b"0T0G1\x01" + SIZE + b"1" + columns(NOISE)) + PRINT_RAM,
    "GS Q 0": b"\x1dQ0\x00" + wh(64, 6) + columns(NOISE),
    "GS * and GS /": b"\x1d*\x08\x06" + columns(NOISE) + b"\x1d/\x00",
    "FS q and FS p": b"\x1cq\x02" + wh(1, 1) + b"\xff" * 8 + wh(8, 6) + columns(NOISE) + b"\x1cp\x02\x00",
    "ESC *": b"".join(
        b"\x1b*\x21" + struct.pack("<H", 64) + columns(NOISE.crop((0, top, 64, top + 24))) + b"\n" for top in (0, 24)
    ),
}


@pytest.mark.parametrize("document", PICTURES.values(), ids=PICTURES)
def test_every_command_gives_its_dots(document: bytes) -> None:
    assert same(picture(document), NOISE)


@pytest.mark.parametrize("document", PICTURES.values(), ids=PICTURES)
def test_fed_byte_by_byte_it_is_the_same_picture(document: bytes) -> None:
    framer = EscposFramer()
    frames = [frame for byte in document for frame in framer.feed(bytes((byte,)))]
    assert [frame.data for frame in frames if frame.kind == "command"] == [
        frame.data for frame in EscposFramer().feed(document) if frame.kind == "command"
    ]


@pytest.mark.parametrize(
    ("document", "size"),
    [
        (b"\x1dv0\x01" + wh(1, 2) + b"ab", (16, 2)),
        (b"\x1dv0\x02" + wh(1, 2) + b"ab", (8, 4)),
        (b"\x1dv0\x03" + wh(1, 2) + b"ab", (16, 4)),
        (b"\x1dQ0\x03" + wh(2, 1) + b"ab", (4, 16)),
        (b"\x1d*\x01\x01abcdefgh\x1d/\x03", (16, 16)),
        (b"\x1cq\x01" + wh(1, 1) + b"abcdefgh\x1cp\x01\x31", (16, 8)),
        (b"\x1b*\x00\x02\x00ab\n", (4, 24)),
        (b"\x1b*\x01\x02\x00ab\n", (2, 24)),
        (b"\x1b*\x20\x02\x00abcdef\n", (4, 24)),
        (b"\x1b*\x21\x02\x00abcdef\n", (2, 24)),
        (b"\x1d(L\x0c\x000p0\x02\x021" + wh(8, 2) + b"ab\x1d(L\x02\x0002", (16, 4)),
    ],
)
def test_modes_scale_the_dots(document: bytes, size: tuple[int, int]) -> None:
    bitmap = picture(document)
    assert (bitmap.width, bitmap.height) == size
    assert not bitmap.is_blank


def test_colours_of_one_picture_lie_on_top_of_each_other() -> None:
    def layer(colour: bytes, dots: bytes) -> bytes:
        return b"\x1d(L\x0b\x000p0\x01\x01" + colour + wh(8, 1) + dots

    assert picture(layer(b"1", b"\xf0") + layer(b"2", b"\x03") + PRINT).rows == b"\xf3"
    stored = b"\x1d(L\x0e\x000C0G1\x02" + wh(8, 1) + b"1\xf02\x03" + b"\x1d(L\x06\x000EG1\x01\x01"
    assert picture(stored).rows == b"\xf3"


def test_strips_side_by_side_are_one_line_of_the_picture() -> None:
    # given a picture of two lines, each in two strips without a line end between them
    left, right = NOISE.crop((0, 0, 32, 48)), NOISE.crop((32, 0, 64, 48))
    document = b"".join(
        b"".join(
            b"\x1b*\x21\x20\x00" + columns(half.crop((0, top, 32, top + 24))) for half in (left, right)
        ) + b"\n"
        for top in (0, 24)
    )  # fmt: skip
    # then it is one picture
    (line,) = image_lines(document)
    assert line.text == "[image 64x48]"
    assert (line.start, line.end) == (0, len(document) - 1)
    assert same(picture(document), NOISE)


def test_strips_that_fill_the_paper_are_below_each_other_without_a_line_end() -> None:
    strip = b"\x1b*\x21\x90\x01" + b"\xff" * 1200  # 400 dots
    assert [line.text for line in image_lines(strip * 3)] == ["[image 400x72]"]
    assert picture(strip * 3).height == 72


def test_text_between_strips_makes_two_pictures() -> None:
    strip = b"\x1b*\x21\x04\x00" + b"\xff" * 12 + b"\n"
    assert [line.text for line in printed(strip + b"a\n" + strip).sheets[0].lines] == [
        "[image 4x24]", "a", "[image 4x24]",
    ]  # fmt: skip


@pytest.mark.parametrize("implementation", ["bitImageRaster", "graphics", "bitImageColumn"])
def test_what_another_composer_draws(implementation: str) -> None:
    printer = Dummy()
    image = noise(320, 216)
    printer.image(image.convert("RGB"), impl=implementation, fragment_height=960)
    bitmap = picture(printer.output)
    assert same(bitmap, image)


@pytest.mark.skipif(not CORPORA.exists(), reason="needs the captures of other systems")
def test_the_logo_of_another_systems_receipt() -> None:
    bitmap = picture((CORPORA / "receipt-with-logo.bin").read_bytes())
    assert (bitmap.width, bitmap.height) == (300, 236)
    black = sum(byte.bit_count() for byte in bitmap.rows)
    assert 0.02 < black / (bitmap.width * bitmap.height) < 0.6


@pytest.mark.skipif(not CORPORA.exists(), reason="needs the captures of other systems")
def test_every_picture_of_another_systems_demo_has_dots() -> None:
    lines = image_lines((CORPORA / "demo.bin").read_bytes())
    for line in lines:
        assert line.picture is not None
        bitmap = line.picture.bitmap()
        assert line.text == f"[image {bitmap.width}x{bitmap.height}]"
        assert not bitmap.is_blank


@pytest.mark.parametrize(
    "document",
    [
        b"\x1cp\x01\x00",  # a logo that was stored before the stream began
        b"\x1d(L\x06\x000EG1\x01\x01",
    ],
)
def test_a_picture_that_the_stream_does_not_hold_has_no_dots(document: bytes) -> None:
    (line,) = image_lines(document)
    assert line.picture is None


def test_a_stored_picture_that_is_defined_anew_is_the_new_one() -> None:
    define = b"\x1d*\x01\x01" + b"\xff" * 8
    again = b"\x1d*\x01\x01" + b"\x0f" * 8
    assert picture(define + again + b"\x1d/\x00").rows == b"\0" * 4 + b"\xff" * 4
    logos = b"\x1cq\x01" + wh(1, 1) + b"\xff" * 8
    assert image_lines(logos + b"\x1cq\x00" + b"\x1cp\x01\x00")[0].picture is None


def test_more_strips_and_bytes_than_a_sheet_may_hold_are_named_and_not_kept() -> None:
    strip = b"\x1b*\x00\x01\x00\xff\n"
    (line,) = image_lines(strip * (MAX_STRIPS + 5))
    assert line.picture is not None
    assert line.text == f"[image 1x{8 * (MAX_STRIPS + 5)}]"
    assert len(line.picture.lines) == MAX_STRIPS
    band = b"\x1dv0\x00" + wh(64, 8192) + b"\xff" * 64 * 8192
    kept = [line.picture is not None for line in image_lines(band * 18)]
    assert kept == [True] * (MAX_SHEET_PICTURE_BYTES // len(band)) + [False] * (
        18 - MAX_SHEET_PICTURE_BYTES // len(band)
    )
    # and the next sheet has room again
    assert image_lines(band * 18 + b"\x1dV0" + band)[-1].picture is not None


def mutated(document: bytes, dice: random.Random) -> bytes:
    changed = bytearray(document)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(changed))
        match dice.randrange(4):
            case 0:
                changed[at] = dice.randrange(256)
            case 1:
                del changed[at : at + dice.randint(1, 9)]
            case 2:
                changed[at:at] = dice.randbytes(dice.randint(1, 9))
            case _:
                changed[at:at] = changed[: dice.randint(1, 40)]
        changed = changed or bytearray(b"\x1d")
    return bytes(changed)


def test_mutated_pictures_never_raise_and_stay_within_their_limits() -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    documents = list(PICTURES.values())
    tracemalloc.start()
    try:
        for _ in range(3_000):
            document = mutated(dice.choice(documents) + dice.choice(documents), dice)
            for line in image_lines(document):
                if line.picture is not None:
                    bitmap = line.picture.bitmap()
                    assert len(bitmap.rows) == bitmap.stride * bitmap.height
                    assert bitmap.width * bitmap.height <= MAX_PICTURE_DOTS
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_the_worst_picture_is_drawn_within_its_memory() -> None:
    # given the widest and longest picture that a frame can hold, four times as large on paper
    document = b"\x1dv0\x03" + wh(128, 65535) + b"\xaa" * (128 * 65535)
    tracemalloc.start()
    try:
        bitmap = picture(document)
        assert bitmap.width * bitmap.height <= MAX_PICTURE_DOTS
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()
