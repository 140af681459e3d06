"""A Star stream is known by itself, and never is one of ESC/POS taken for it; its receipts are read like any other."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import qrcode

from agent.demo.pos import Article, Item, ReceiptSpec, Shop, compose_fiscal_receipt
from drivers.receipts.decode import decode, paper_text
from drivers.receipts.documents import printer_language
from drivers.receipts.port import DecodeOptions
from drivers.star.recognition import SAMPLE_BYTES, is_star_stream
from tests.drivers.star.commands import COMMANDS, raster_document, u16
from tests.drivers.star.composer import CAPTURES, FISCAL, line_mode_receipt

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "tests" / "captures"
CORPUS = ROOT.parent / "shared" / "corpora" / "escpos"
ESCPOS = [*CORPUS.glob("*.bin"), *(path for path in FOLDER.glob("*.bin") if "star" not in path.name)]
PICTURE = b"\x1dv0\x00\x10\x00\x20\x00" + (b"\x1b\x1dt\x05\x1b\x1ea\x01\x1b*rA" * 64)[:512]


def numbers(document: bytes, **options: Any) -> list[str]:
    return [str(receipt.number) for receipt in decode(document, DecodeOptions(**options)).receipts]


@pytest.mark.parametrize("name", CAPTURES)
def test_captures_are_what_the_composer_makes(name: str) -> None:
    assert (FOLDER / f"{name}.bin").read_bytes() == CAPTURES[name]()


@pytest.mark.parametrize("name", CAPTURES)
def test_a_star_receipt_is_read_told_or_not(name: str) -> None:
    document = CAPTURES[name]()
    decoded = decode(document)
    assert [receipt.source for receipt in decoded.receipts] == ["star"]
    assert decode(document, DecodeOptions(format="star")) == decoded
    assert "".join(paper_text(document)) == "".join(paper_text(document, DecodeOptions(format="star")))


def test_letters_follow_the_stream_the_printer_and_the_operator() -> None:
    receipt = b"R\xccun 4711  22.11.2026\nHleb  3,00\nUKUPNO EUR  3,00\n\x1bd\x03"
    for begin, options in (
        (b"\x1b@\x1b\x1dt\x0a", DecodeOptions()),
        (b"\x1b@", DecodeOptions(format="star", code_page="CP866")),
        (b"\x1b@\x1b\x1dt\x0a", DecodeOptions(profile="SP2000")),
    ):
        text = "".join(paper_text(begin + receipt, options))
        assert text.startswith("R╠un 4711"), options
    # where nothing is selected, what is valid UTF-8 is UTF-8
    assert "".join(paper_text(b"\x1b\x1ea\x00" + "Рачун\n".encode())) == "Рачун\n"


@pytest.mark.parametrize("path", ESCPOS, ids=lambda path: path.name)
def test_no_capture_of_escpos_is_taken_for_star(path: Path) -> None:
    document = path.read_bytes()
    assert printer_language(document) == "escpos"
    # nor is it with a Star's commands in a picture before it
    assert printer_language(b"\x1b@" + PICTURE + document) == "escpos"


def test_the_demo_till_is_not_taken_for_star() -> None:
    shop = Shop(
        store="12", register="3", tin="109876543", company="D", location_id="1", location="L", address="A", city="C",
        fiscal_device="TQ7XK2RD",
    )  # fmt: skip
    items = (Item(article=Article(name="HLEB", price_minor=8999)),)
    at = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    spec = ReceiptSpec(number=1, number_of_kind=1, items=items, issued_at=at, cashier="Savka")
    assert printer_language(compose_fiscal_receipt(spec, shop)) == "escpos"


@pytest.mark.parametrize(
    "command",
    [command for name, _, command in COMMANDS if name.startswith(("ESC GS t", "ESC GS y", "ESC * r", "ESC RS"))],
)
def test_star_is_known_by_any_of_its_own_commands(command: bytes) -> None:
    assert is_star_stream(b"\x1b@" + command + b"text\n\x1bd\x03")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"plain text",
        b"\x1b@text\n\x1bd\x03",
        b"\x1b!\x10text\x1b\x1dt\x05",
        b"\x1dV\x00\x1b\x1dt\x05",
        b"\x1b\x1dV\x00",
        b"\x10\x04\x01\x1b*rA",
        b"text" * SAMPLE_BYTES + b"\x1b\x1dt\x05",
        PICTURE,
        PICTURE[:-1],
    ],
)
def test_what_is_not_certain_is_escpos(document: bytes) -> None:
    assert not is_star_stream(document)


def drawn(text: str) -> bytes:
    """A QR code as rows of raster mode."""
    code = qrcode.QRCode(box_size=4, border=4)
    code.add_data(text)
    picture = code.make_image().get_image().convert("1")
    width = (picture.width + 7) // 8
    rows = bytes(byte ^ 0xFF for byte in picture.tobytes())
    return b"".join(b"b" + u16(width) + rows[at : at + width] for at in range(0, len(rows), width))


def test_a_fiscal_code_that_a_driver_drew_is_read() -> None:
    document = b"\x1b*rR\x1b*rA\x1b*rP0\x00\x1b*rE13\x00" + drawn(FISCAL) + b"\x1b\x0c\x04\x1b*rB"
    decoded = decode(document)
    assert "[image" in "".join(paper_text(document))
    assert FISCAL in str(decoded)


def test_a_raster_document_without_a_code_says_what_it_is() -> None:
    (problem,) = decode(raster_document(40)).problems
    assert (problem.code, problem.start, problem.end) == ("raster_only", 0, len(raster_document(40)))


def test_a_drawer_kick_alone_is_counted() -> None:
    assert [ignored.kind for ignored in decode(b"\x1b\x1ea\x00\x07").ignored] == ["drawer"]


def test_mutated_receipts_never_raise() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(1_000):
        document = bytearray(line_mode_receipt() * 2)
        for _ in range(dice.randrange(1, 8)):
            document[dice.randrange(len(document))] = dice.randrange(256)
        decoded = decode(bytes(document), DecodeOptions(format="star"))
        ranges = [(each.start, each.end) for each in decoded.ignored]
        ranges += [(each.start, each.end) for each in decoded.problems]
        assert all(0 <= start <= end <= len(document) for start, end in ranges)
