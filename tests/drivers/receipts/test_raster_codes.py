"""Codes are found in pictures however they were sent, and looking for them has its limits."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable

import pytest
import zxingcpp
from PIL import Image, ImageOps

from drivers.escpos.paper import PaperLine, PrintedCode
from drivers.escpos.printer import printed
from drivers.receipts.decode import decode
from drivers.receipts.raster_codes import MAX_CODES, MAX_SEARCHED_DOTS, MAX_SIDE_DOTS, codes_in, without_noise
from tests.drivers.receipts.codes import HR_URL, SI_DIGITS, purs_url
from tests.drivers.receipts.drawn import bands, graphics, page, qr, strips

SEED = random.randrange(2**32)
TEXT = ["ПРОДАВНИЦА ПРИМЕР", "Hleb 500 g        89,99", "УКУПНО           829,12"]


def found(document: bytes) -> tuple[PrintedCode, ...]:
    (sheet,) = printed(document).sheets
    return codes_in(sheet.lines)


def texts(document: bytes) -> list[str]:
    return [code.data.decode() for code in found(document)]


SENT: dict[str, Callable[[Image.Image], bytes]] = {
    "bands of 24": bands,
    "bands of 1": lambda image: bands(image, height=1),
    "bands of 256": lambda image: bands(image, height=256),
    "bands with line ends": lambda image: bands(image, between=b"\n"),
    "one picture": lambda image: bands(image, height=60_000),
    "strips": strips,
    "graphics": graphics,
}


@pytest.mark.parametrize("send", SENT.values(), ids=SENT)
def test_the_code_of_a_drawn_receipt(send: Callable[[Image.Image], bytes]) -> None:
    # given a receipt with the longest code that is met, drawn as pictures in pieces
    url = purs_url()
    document = b"\x1b@" + send(page(TEXT, qr(url))) + b"\x1dV\x00"
    # when its pictures are searched
    (code,) = found(document)
    # then the code is there, with the bytes that printed the whole picture
    assert (code.symbology, code.data.decode()) == ("QR", url)
    (sheet,) = printed(document).sheets
    pictures = [line for line in sheet.lines if line.kind == "image"]
    assert (code.start, code.end) == (pictures[0].start, pictures[-1].end)


@pytest.mark.parametrize("dots", [2, 3, 4, 6])
def test_codes_of_any_size(dots: int) -> None:
    assert texts(bands(page(TEXT, qr(HR_URL, dots=dots)))) == [HR_URL]


def test_a_code_without_white_paper_around_it() -> None:
    code = qr(HR_URL, dots=4)
    assert texts(bands(code.crop((16, 16, code.width - 16, code.height - 16)))) == [HR_URL]


@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270])
def test_turned_pages(turn: Image.Transpose) -> None:
    assert texts(bands(page(TEXT, qr(HR_URL), width=512).transpose(turn))) == [HR_URL]


def test_white_on_black() -> None:
    assert texts(bands(ImageOps.invert(page(TEXT, qr(HR_URL)).convert("L")).convert("1"))) == [HR_URL]


def test_a_picture_that_the_printer_makes_twice_as_large() -> None:
    image = qr(HR_URL, dots=2)
    document = bytearray(bands(image, height=9999))
    for mode in (1, 2, 3):
        document[3] = mode
        assert texts(bytes(document)) == [HR_URL]


@pytest.mark.parametrize(
    ("name", "symbology"), [("DataMatrix", "DATAMATRIX"), ("PDF417", "PDF417"), ("Code128", "CODE128")]
)
def test_other_symbologies(name: str, symbology: str) -> None:
    text = SI_DIGITS if name != "Code128" else SI_DIGITS[:20]
    made = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, name))
    drawn = Image.fromarray(zxingcpp.write_barcode_to_image(made, scale=2, add_quiet_zones=True))
    image = drawn.convert("1")
    (code,) = found(bands(page(TEXT, image, width=max(384, image.width))))
    assert (code.symbology, code.data.decode()) == (symbology, text)


def test_several_codes_come_in_the_order_of_the_paper() -> None:
    first, second, third = (qr(f"{HR_URL}{at}") for at in range(3))
    # given two in one picture and one in another, with text between them
    document = bands(page(TEXT, first)) + bands(page(TEXT, second)) + b"text\n" + bands(third)
    # then all are there
    assert texts(document) == [f"{HR_URL}{at}" for at in range(3)]
    starts = [code.start for code in found(document)]
    assert starts[0] == starts[1] < starts[2]


def test_pictures_without_codes() -> None:
    assert found(bands(page(TEXT))) == ()
    assert found(b"\x1dv0\x00\x02\x00\x03\x00abcdef") == ()
    assert found(b"text only\n") == ()
    assert found(bands(Image.new("1", (384, 500), 1))) == ()


def test_no_more_is_searched_than_the_foot_of_the_paper() -> None:
    # given a roll that is longer than what is searched, with a code at its head and one at its foot
    blank = Image.new("1", (576, MAX_SEARCHED_DOTS // 576), 1)
    head, foot = qr(f"{HR_URL}1"), qr(f"{HR_URL}2")
    assert texts(bands(head) + bands(blank, height=4000) + bands(foot)) == [f"{HR_URL}2"]
    assert texts(bands(head) + bands(blank, height=4000)) == []


def test_a_picture_longer_than_the_library_takes() -> None:
    # given a small picture printed below itself until the paper has more rows than the library reads, and a code
    code = qr("1", dots=2)
    above = b"\x1d*\x04\x04" + bytes(range(128)) + b"\x1d/\x00" * (MAX_SIDE_DOTS // 32 + 1)
    # when its pictures are searched, then nothing is raised, and the code is found
    assert texts(above) == []
    assert texts(above + b"paper\n" + bands(code)) == ["1"]


def test_no_more_codes_than_the_limit() -> None:
    tiny = qr("1", dots=2)
    row = Image.new("1", (8 * tiny.width, tiny.height), 1)
    for at in range(8):
        row.paste(tiny, (at * tiny.width, 0))
    assert len(found(b"".join(bands(row) for _ in range(MAX_CODES // 8 + 2)))) == MAX_CODES


def python(*code: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", "\n".join(code)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_register_whose_receipts_name_themselves_never_loads_the_library() -> None:
    out = python(
        "import sys",
        "from drivers.receipts.decode import decode",
        "from tests.drivers.receipts.journals import Journal, printed",
        "from tests.drivers.receipts.drawn import bands, page",
        "logo = bands(page(['LOGO']))",
        "decoded = decode(b'\\x1b@' + logo + b'\\x1bt\\x2e' + printed(Journal(tail='')).encode('cp1251', 'replace'))",
        "print(len(decoded.receipts), 'zxingcpp' in sys.modules)",
        "decode(logo)",
        "print('zxingcpp' in sys.modules)",
    )
    assert out.split() == ["1", "False", "True"]


def test_without_the_library_the_problem_says_so() -> None:
    out = python(
        "import sys",
        "sys.modules['zxingcpp'] = None",
        "from drivers.receipts.decode import decode",
        "from tests.drivers.receipts.drawn import bands, page",
        "(problem,) = decode(bands(page(['a receipt']))).problems",
        "print(problem.code, problem.detail)",
    )
    assert out.startswith("raster_only the printer driver draws")
    assert "zxing-cpp" in out


def test_mutated_drawn_receipts_are_read_or_said_to_be_unread() -> None:
    print(f"seed {SEED}")
    dice = random.Random(SEED)
    whole = [send(page(TEXT[:1], qr(HR_URL))) for send in SENT.values() if send is not SENT["bands of 1"]]
    for _ in range(120):
        document = bytearray(dice.choice(whole) + b"\x1dV\x00")
        for _ in range(dice.randint(1, 8)):
            at = dice.randrange(len(document))
            document[at : at + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 2))
        decoded = decode(bytes(document))
        assert decoded.receipts or decoded.problems or decoded.ignored
        assert all(0 <= problem.start <= problem.end <= len(document) for problem in decoded.problems)


def test_a_picture_without_dots_is_passed_over() -> None:
    line = PaperLine(text="[image stored 1]", start=0, end=4, kind="image")
    assert codes_in([line]) == ()


def test_noise_is_not_searched_and_hides_no_code() -> None:
    # given a page whose code stands below a picture of noise, and one of noise alone
    code = page(TEXT, qr(HR_URL, dots=2))
    noise = Image.frombytes("1", (code.width, 96), random.Random(SEED).randbytes(code.width * 96 // 8))
    whole = Image.new("1", (code.width, noise.height + code.height), 1)
    whole.paste(noise)
    whole.paste(code, (0, noise.height))
    print("seed", SEED)
    # when both are searched
    (sheet,) = printed(bands(noise)).sheets
    (band, *_) = [line.picture.bitmap() for line in sheet.lines if line.picture is not None]
    # then the code is found, and what is noise is white
    assert texts(bands(whole)) == [HR_URL]
    assert without_noise(band).is_blank
