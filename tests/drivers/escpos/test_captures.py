"""Captures of tills that print in ways of their own: what is kept is what the composer makes, and what paper shows."""

from __future__ import annotations

import pytest

from drivers.escpos.printer import printed
from drivers.escpos.styles import Span
from drivers.receipts.decode import paper_text
from tests.drivers.escpos.composer import CAPTURED, CAPTURES


@pytest.mark.parametrize("name", CAPTURED)
def test_what_is_kept_is_what_the_composer_makes(name: str) -> None:
    assert (CAPTURES / f"{name}.bin").read_bytes() == CAPTURED[name]()


def test_a_page_is_read_from_its_head_on_though_it_was_sent_from_its_amounts() -> None:
    (sheet,) = printed(CAPTURED["till-page-mode-cp852"]()).sheets
    assert [line.text for line in sheet.lines] == [
        "TRGOVINA ŠKOLJKA",
        "Prodavnica 12               Kasa 3",
        "Račun 4711            22.11.2026 09:07",
        "Mlijeko 1 l                      1.29",
        "Čokolada s lješnjacima           2.49",
        "Vrećica                          0.10",
        "UKUPNO EUR                   3.88",
        "GOTOVINA                         5.00",
        "POVRAĆAJ                         1.12",
        "[QR https://example.org/r/4711]",
    ]
    assert sheet.lines[0].spans == (Span(start=0, end=16, bold=True),)
    assert sheet.lines[6].spans[0].double_height


def test_what_an_old_till_prints_twice_is_printed_once_in_bold() -> None:
    (sheet,) = printed(CAPTURED["till-double-strike-cp858"]()).sheets
    bold = [line.text for line in sheet.lines if line.spans and all(span.bold for span in line.spans)]
    assert bold == ["EXAMPLE SHOP", "TOTAL EUR                         9.20"]
    assert "Crème fraîche                     1.20" in [line.text for line in sheet.lines]


def test_letters_that_nobody_tells_are_read_all_the_same() -> None:
    text = "".join(paper_text(CAPTURED["till-untold-cp1250"]()))
    assert "TRGOVINA ŽIŽULA d.o.o.\n" in text
    assert "Hvala što kupujete kod nas!\n" in text
