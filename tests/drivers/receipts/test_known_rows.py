"""What the journal reader remembers of lines: few enough, and none that names a buyer."""

from __future__ import annotations

import pytest

from drivers.receipts.journal_rows import KNOWN_ROWS, rows_of
from drivers.receipts.wording import WORDS_REMEMBERED, amount_minor

BUYER = "114877945"


@pytest.fixture(autouse=True)
def _nothing_is_known() -> None:
    KNOWN_ROWS.clear()


@pytest.mark.parametrize("lines", [(f"ИД купца: 10:{BUYER}",), ("ИД купца:", f"     10:{BUYER}")])
def test_a_buyer_is_read_and_not_remembered(lines: tuple[str, ...]) -> None:
    # when a journal's lines are read, a buyer's number among them, beside its label or below it
    rows = rows_of(["Касир: Ана", *lines])
    # then the buyer is told, and is forgotten
    assert BUYER in "".join(row.text for row in rows)
    assert "Касир: Ана" in KNOWN_ROWS
    assert not any(BUYER in line for line in KNOWN_ROWS)


def test_lines_beyond_the_limit_are_forgotten() -> None:
    for number in range(3 * WORDS_REMEMBERED):
        rows_of([f"Hleb {number}"])
        assert len(KNOWN_ROWS) <= WORDS_REMEMBERED


@pytest.mark.parametrize(
    ("line", "field", "mark", "is_number"),
    [
        ("Укупан износ      1.234,50", "total", "total", False),
        ("ПФР време  22.11.2026. 9.05", "time", "time", False),
        ("ПФР број рачуна  AB12DUV6-746DUV64-9", "number", "", False),
        ("Бројач рачуна  12/34ПП", "counter", "counter", False),
        ("Ознака Име Стопа 2", None, "tax columns", False),
        ("Хлеб 2 1.234,50", None, "", False),
        ("  1.234,50    2   2.469,00", None, "", False),
        ("   -1.234,50", None, "", True),
        ("ФИСКАЛНИ РАЧУН 2", None, "", False),
    ],
)
def test_a_line_is_told_by_its_words_before_a_number(line: str, field: str, mark: str, is_number: bool) -> None:
    (row,) = rows_of([line])
    assert (row.field, row.mark, row.is_number) == (field, mark, is_number)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("1.234,50", "RSD", 123450), ("1,234.50", "EUR", 123450), ("-3,05", "EUR", -305), ("1.234,00", "JPY", 1234)],
)
def test_amounts_as_most_papers_print_them(text: str, currency: str, minor: int) -> None:
    assert amount_minor(text, currency) == minor
