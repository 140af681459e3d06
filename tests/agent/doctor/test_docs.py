"""docs/scans.md names every finding, and none that there is not; the picture shows the sheet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import zxingcpp
from PIL import Image

from agent.doctor.findings import FindingKind
from agent.doctor.sheet import CODES

DOCS = Path(__file__).parents[3] / "docs"
MAX_PICTURE_BYTES = 150_000


def test_every_finding_is_described() -> None:
    section = (DOCS / "scans.md").read_text(encoding="utf-8").split("| finding | means |")[1].split("\n\n")[0]

    described = re.findall(r"`([a-z0-9_]+)`", "\n".join(line.split("|")[1] for line in section.splitlines() if line))

    assert sorted(described) == sorted(get_args(FindingKind))


def test_the_picture_is_of_this_sheet_and_small() -> None:
    picture = DOCS / "images" / "test-sheet.png"

    read = {symbol.text for symbol in zxingcpp.read_barcodes(Image.open(picture).convert("L"))}

    assert picture.stat().st_size < MAX_PICTURE_BYTES
    assert {code.text for code in CODES if code.symbol == "qr"} <= read
