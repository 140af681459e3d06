"""The test sheet, read back by readers that know nothing of how it was drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pypdfium2  # type: ignore[import-untyped]
import pytest
import zxingcpp
from PIL import Image, ImageFilter

from agent.doctor.sheet import CODES, SheetCode
from agent.doctor.sheet_drawing import DPI, drawn_sheet, save_sheet
from drivers.scanning.scan import parse_scan
from loyalty.pan import first_pan

MM_PER_INCH = 25.4


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> Image.Image:
    file = tmp_path_factory.mktemp("sheet") / "sheet.png"
    save_sheet(file)
    return Image.open(file)


@pytest.fixture(scope="module")
def pdf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pypdfium2.PdfDocument]:
    file = tmp_path_factory.mktemp("sheet") / "sheet.pdf"
    save_sheet(file)
    document = pypdfium2.PdfDocument(file)
    yield document
    document.close()


def expected(code: SheetCode) -> str:
    """What a reader gives that tells a UPC-A as the standard has it: an EAN-13 with a leading zero."""
    return f"0{code.text}" if code.symbol == "upca" else code.text


def read(image: Image.Image) -> list[str]:
    return sorted(symbol.bytes.decode() for symbol in zxingcpp.read_barcodes(image))


def test_every_code_is_read_from_the_png(png: Image.Image) -> None:
    assert read(png) == sorted(map(expected, CODES))


def test_every_code_is_read_from_the_pdf(pdf: pypdfium2.PdfDocument) -> None:
    page = pdf[0].render(scale=DPI / 72).to_pil()

    assert len(pdf) == 1
    assert read(page) == sorted(map(expected, CODES))


def test_every_code_is_read_from_a_grey_and_blurred_copy(png: Image.Image) -> None:
    """As a worn print head and a camera out of focus show it: soft edges, half the contrast."""
    worn = png.filter(ImageFilter.GaussianBlur(1.2)).point([60 + grey * 140 // 255 for grey in range(256)])

    assert read(worn) == sorted(map(expected, CODES))


def test_readers_name_each_symbol_as_the_sheet_does(png: Image.Image) -> None:
    named = {symbol.bytes.decode(): symbol.symbology_identifier for symbol in zxingcpp.read_barcodes(png)}

    assert {code.number for code in CODES if named[expected(code)] not in code.aims} == set()


def test_the_page_is_a4(png: Image.Image, pdf: pypdfium2.PdfDocument) -> None:
    assert [round(side / DPI * MM_PER_INCH) for side in png.size] == [210, 297]
    assert png.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
    assert [round(side / 72 * MM_PER_INCH) for side in pdf[0].get_size()] == [210, 297]


def test_quiet_zones_are_white(png: Image.Image) -> None:
    """As much white at both sides of each symbol as its standard asks for, ten modules or more."""
    modules = {"ean13": (11, 7), "upca": (9, 9), "ean8": (7, 7), "qr": (4, 4)}
    by_text = {expected(code): code for code in CODES}
    for symbol in zxingcpp.read_barcodes(png):
        code = by_text[symbol.bytes.decode()]
        left, right = modules.get(code.symbol, (10, 10))
        module = {"gs1-128": 5, "qr": 9}.get(code.symbol, 4)
        place = symbol.position
        row = (place.top_left.y + place.bottom_left.y) // 2
        inner = 3 * module  # a reader's corner lies within the first bars
        before = range(place.top_left.x - inner - left * module, place.top_left.x - inner)
        after = range(place.top_right.x + inner, place.top_right.x + inner + right * module)
        assert {png.getpixel((x, row)) for x in (*before, *after)} == {255}, code.number


def test_drawing_twice_gives_the_same_page() -> None:
    assert drawn_sheet().tobytes() == drawn_sheet().tobytes()


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet", "sheet.pdf.txt"])
def test_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"\.pdf or \.png"):
        save_sheet(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


def test_codes_are_numbered_in_order_and_say_different_things() -> None:
    assert [code.number for code in CODES] == list(range(1, len(CODES) + 1))
    assert len({code.text for code in CODES}) == len(CODES)


def test_no_code_is_a_payment_card() -> None:
    assert [code.number for code in CODES if first_pan(code.text)] == []


@pytest.mark.parametrize("code", CODES, ids=lambda code: str(code.number))
def test_every_code_parses_without_a_problem(code: SheetCode) -> None:
    scan = parse_scan(code.aims[0] + expected(code))

    assert scan.problems == ()
