"""`docs/decoding.md` and `docs/identity.md` say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from drivers.receipts import decode as door
from drivers.receipts import sheet_pieces
from drivers.receipts.classify import IgnoredKind
from drivers.receipts.decode import decode, formats
from drivers.receipts.port import DecodeOptions
from drivers.receipts.row_mapping import (
    Constants,
    LineColumns,
    NamedTender,
    ReceiptColumns,
    RowMapping,
    TaxColumn,
    TenderColumn,
    Values,
    mapping_from,
)
from loyalty.identity import NAMESPACE, key_of

DOCS = Path(__file__).parents[3] / "docs"
DECODING = (DOCS / "decoding.md").read_text(encoding="utf-8")
IDENTITY = (DOCS / "identity.md").read_text(encoding="utf-8")
SOURCES = [
    path.read_text(encoding="utf-8")
    for path in (
        Path(door.__file__).parent / name
        for name in (
            "decode.py",
            "pieces.py",
            "sheet_pieces.py",
            "journal.py",
            "layout.py",
            "poslog.py",
            "poslog_body.py",
            "poslog_tree.py",
            "csv_rows.py",
            "row_receipts.py",
        )
    )
]


def test_the_receipt_in_the_text_is_read_to_the_last_cent() -> None:
    (example,) = re.findall(r"```text\n(.*?)```", DECODING, re.DOTALL)
    (receipt,) = decode(example.encode(), DecodeOptions(time_zone="Europe/Belgrade")).receipts
    assert receipt.problems == ()
    assert (receipt.store, receipt.register, receipt.number) == ("12", "3", "4711")
    assert [line.amount_minor for line in receipt.lines] == [300, 120, 159, 450, -25]
    assert receipt.lines[3].gtin == "4006381333931"
    assert receipt.member


def test_every_format_kind_and_problem_is_described() -> None:
    for name in (*formats(), *get_args(IgnoredKind)):
        assert f"`{name}`" in DECODING or f"`--format {name}`" in DECODING, name
    codes = {code for source in SOURCES for code in re.findall(r'(?:MalformedReceiptError\(|code=)\s*"(\w+)"', source)}
    for code in codes | set(get_args(sheet_pieces._Rest)):
        assert f"`{code}`" in DECODING, code


def test_namespace_and_examples_of_identity() -> None:
    assert str(NAMESPACE) in IDENTITY
    examples = re.findall(r"^\| `((?:rs-purs|pos):[^`<]+)` \| `([0-9a-f-]{36})` \|$", IDENTITY, re.MULTILINE)
    assert len(examples) == 2
    for natural_id, key in examples:
        assert key_of(natural_id) == key


def test_every_key_of_a_mapping_is_described_and_the_example_is_read() -> None:
    page = (DOCS / "csv.md").read_text(encoding="utf-8")
    (mapping,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (table,) = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    options = DecodeOptions(format="csv", mapping=mapping_from(mapping.encode(), "docs"), time_zone="Europe/Belgrade")
    decoded = decode(table.encode(), options)
    assert decoded.problems == ()
    assert [(each.kind, each.total_minor, each.problems) for each in decoded.receipts] == [
        ("sale", 584, ()),
        ("return", -250, ()),
    ]
    parts = (RowMapping, ReceiptColumns, Constants, LineColumns, NamedTender, TenderColumn, TaxColumn, Values)
    for name in {name for part in parts for name in part.__struct_fields__}:
        assert f"`{name}`" in page or f"`[{name}]`" in page or f"`[[{name}]]`" in page, name
