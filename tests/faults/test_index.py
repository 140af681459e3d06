"""The tests that README.md names are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[a-z_/]+\.py)::(test_\w+)`")


def test_each_complaint_is_told_by_tests_that_are_there() -> None:
    index = Path(__file__).with_name("README.md").read_text(encoding="utf-8").partition("| complaint |")[2]
    rows = index.strip().splitlines()[2:]

    assert [row for row in rows if not NAMED.search(row)] == []
    missing = [
        f"{path}::{name}"
        for path, name in NAMED.findall(index)
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert missing == []
